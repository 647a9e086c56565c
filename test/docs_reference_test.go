package test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// envLister is an app that lists its env: key, class and value, a line each.
const envLister = `run ->(env) { [200, {}, env.map { |key, value| "#{key}\t#{value.class}\t#{value.inspect}\n" }] }`

func TestTheEnvIsAsThePageSays(t *testing.T) {
	t.Parallel()
	p := readPage(t, "docs/reference/env.md")
	s := startApp(t, envLister, "-w", "2", "--early-hints")
	c := s.Dial()
	for _, b := range p.blocks() {
		if b.lang == "http" {
			c.Send(strings.ReplaceAll(b.text, "\n", "\r\n"))
		}
	}
	have := map[string][]string{} // class and value by key
	for line := range strings.Lines(c.Response("POST").Body) {
		field := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		have[field[0]] = field[1:]
	}
	told := map[string]bool{}
	for _, row := range p.rows() {
		want := code(t, row["in the example"])
		for _, key := range codes(row["key"]) {
			told[key] = true
			if value := have[key]; !slices.Contains(value, want) {
				t.Errorf("%s is a %q, the page says %s", key, value, want)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if !told[key] {
			t.Errorf("the page does not tell of %s: %q", key, have[key])
		}
	}
}

func TestResponsesAreAsThePageSays(t *testing.T) {
	t.Parallel()
	rows := readPage(t, "docs/reference/responses.md").rows()
	s := startAnswers(t, rows, "--early-hints")
	for i, row := range rows {
		t.Run(row["the app answers"], func(t *testing.T) {
			checkSeen(t, s, sent(t, s, testkit.Request("GET", fmt.Sprintf("/%d", i), "")), row)
		})
	}
}

// logMarks are the methods of logs.Log, with what their lines begin with.
var logMarks = map[string]string{"Line": "", "Event": "* ", "Detail": "- ", "Warn": "! ", "Error": "ERROR: ", "complain": "! ", "warnOnce": "! "}

// readers are the packages that complain about files to whoever asked to read them, and log nothing.
var readers = []string{"procfile", "manifest", "plan", "sequence"}

// logLines returns the lines that the code can log, with … for what varies, and the name of each as an event.
func logLines(t *testing.T) map[string]string {
	t.Helper()
	lines := map[string]string{}
	verb := regexp.MustCompile(`(%[^a-z%]*[a-z])+`)
	files, err := filepath.Glob(filepath.Join(testkit.Root(t), "internal/*/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || filepath.Base(filepath.Dir(file)) == "testkit" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			mark, format, event := logCall(n)
			if mark == "! " && slices.Contains(readers, filepath.Base(filepath.Dir(file))) {
				return true
			}
			if line, _, _ := strings.Cut(verb.ReplaceAllString(format, "…"), "\n"); line != "" && line != "…" {
				lines[mark+line] = event
			}
			return true
		})
	}
	return lines
}

// logCall returns what the line of a call that logs begins with, its format, and its name as an event.
func logCall(n ast.Node) (mark, format, event string) {
	name, args := methodCall(n)
	mark, logs := logMarks[name]
	if !logs || name[0] <= 'Z' && !onLog(n.(*ast.CallExpr)) {
		return "", "", ""
	}
	for _, arg := range args {
		text := literal(arg)
		if strings.Contains(text, " ") && format == "" {
			format = text
		} else if text != "" && format == "" {
			event = text // the throttled ones are named first
		}
		if name, args := methodCall(arg); name == "Named" || name == "about" {
			event = literal(args[0])
		}
	}
	return mark, format, event
}

// onLog says that a method is one of something called a log.
func onLog(call *ast.CallExpr) bool {
	switch on := call.Fun.(*ast.SelectorExpr).X.(type) {
	case *ast.Ident:
		return on.Name == "log" || on.Name == "lines"
	case *ast.SelectorExpr:
		return strings.EqualFold(on.Sel.Name, "log") || on.Sel.Name == "lines"
	}
	return false
}

func methodCall(n ast.Node) (name string, args []ast.Expr) {
	if call, ok := n.(*ast.CallExpr); ok {
		if method, ok := call.Fun.(*ast.SelectorExpr); ok {
			return method.Sel.Name, call.Args
		}
	}
	return "", nil
}

// literal is a string that stands in the code, with … for what is added to it.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value)
			return text
		}
	case *ast.BinaryExpr:
		if text := literal(e.X); text != "" {
			return text + "…"
		}
	}
	return ""
}

func TestThePageOnTheLogHasEveryLine(t *testing.T) {
	want := logLines(t)
	if len(want) < 25 {
		t.Fatalf("only %d lines were found in the code: %q", len(want), want)
	}
	told := map[string]bool{}
	for _, row := range readPage(t, "docs/reference/log.md").rows() {
		for _, line := range codes(row["line"]) {
			told[line] = true
			if event, logged := want[line]; !logged {
				t.Errorf("no code logs %q", line)
			} else if have := strings.Trim(row["event"], "`"); have != event {
				t.Errorf("%q is the event %q, the page says %q", line, event, have)
			}
		}
	}
	for line, event := range want {
		if !told[line] {
			t.Errorf("the page leaves out\n| `%s` | `%s` |", line, event)
		}
	}
}

var update = flag.Bool("update", false, "write the output of serval --help into docs/reference/command-line.md")

func TestCLIReference(t *testing.T) {
	help, err := exec.Command(testkit.Binary(t), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	p := readPage(t, "docs/reference/command-line.md")
	before, rest, _ := strings.Cut(p.text, "```text\n")
	shown, after, found := strings.Cut(rest, "```\n")
	switch {
	case !found:
		t.Errorf("%s has no block that shows the help", p.path)
	case shown == string(help):
	case *update:
		text := before + "```text\n" + string(help) + "```\n" + after
		if err := os.WriteFile(filepath.Join(testkit.Root(t), p.path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s shows another help: go test ./test -run TestCLIReference -update", p.path)
	}
}

func TestThePageOnVariablesHasThoseThatAreRead(t *testing.T) {
	p := readPage(t, "docs/reference/environment-variables.md")
	told := map[string]string{} // the flag by the variable
	for _, row := range p.rows() {
		for _, name := range codes(row["variable"]) {
			told[name] += row["flag"]
		}
	}
	settings := regexp.MustCompile(`\{\[\]string\{(.*?)\}, "(.*?)"`).FindAllStringSubmatch(readPage(t, "internal/config/settings.go").text, -1)
	if len(settings) < 5 {
		t.Fatalf("only these were found in the code: %q", settings)
	}
	for _, s := range settings {
		want := "`--" + strings.Replace(s[2], "min-threads", "threads", 1) + "`"
		for name := range strings.SplitSeq(s[1], ", ") {
			if name = strings.Trim(name, `"`); !strings.HasPrefix(told[name], want) {
				t.Errorf("%s sets %s, the page says %q", name, want, told[name])
			}
		}
	}
	for file, read := range map[string]string{
		"internal/config/load.go": `env\["(\w+)"\]`, "internal/worker/runtime.go": `os.Getenv\("(\w+)"\)`,
		"ruby/lib/serval/env.rb": `ENV.fetch\("(\w+)"`, "internal/listener/activation.go": `os.Getenv\("(\w+)"\)`,
		"internal/systemd/notifier.go": `lookup\(environ, "(\w+)"\)`, "internal/systemd/environ.go": `lookup\(environ, "(\w+)"\)`,
		"internal/systemd/journal.go": `lookup\(environ, "(\w+)"\)`,
	} {
		found := regexp.MustCompile(read).FindAllStringSubmatch(readPage(t, file).text, -1)
		if len(found) == 0 {
			t.Errorf("%s reads no variable any more: is the page right?", file)
		}
		for _, name := range found {
			if _, ok := told[name[1]]; !ok {
				t.Errorf("%s reads %s, which the page does not name", file, name[1])
			}
		}
	}
}

func TestThePageOnTheConfigurationFileHasEveryMethod(t *testing.T) {
	out, err := exec.Command("ruby", "-r", filepath.Join(testkit.Root(t), "ruby/lib/serval/configuration.rb"), "-e",
		"puts Serval::Configuration::DSL.known - Serval::Configuration::Own.instance_methods").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := readPage(t, "docs/reference/configuration.md").text
	for _, method := range strings.Fields(string(out)) {
		if !regexp.MustCompile("`" + regexp.QuoteMeta(method) + "[` (]").MatchString(text) {
			t.Errorf("the page leaves out %s", method)
		}
	}
}

func TestThePageOnPumaRemovesWhatHasNoEffect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/config.ru", "run ->(_) { [200, {}, []] }\n")
	var lines string
	removed := strings.Split(readPage(t, "docs/how-to/switch-from-puma.md").section(t, "## Then remove").text, "\n- ")[1]
	for _, name := range codes(removed) {
		lines += name + "\n"
	}
	write(t, dir+"/puma.rb", lines)
	cmd := exec.Command(testkit.Binary(t), "config", "-C", dir+"/puma.rb", "--dir", dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range codes(removed) {
		if !strings.Contains(string(out), name+" has no effect: ") {
			t.Errorf("%s has an effect, or is not known:\n%s", name, out)
		}
	}
}

func TestTheWirePageNamesEverySettingOfAWorker(t *testing.T) {
	p := readPage(t, "docs/reference/wire.md")
	names := regexp.MustCompile(`"(\w+)="`).FindAllStringSubmatch(readPage(t, "internal/generation/settings.go").text, -1)
	if len(names) < 10 {
		t.Fatalf("only these were found in the code: %q", names)
	}
	for _, name := range names {
		if !strings.Contains(p.text, "`"+name[1]+"`") {
			t.Errorf("the page leaves out %s", name[1])
		}
	}
}

// numbers are what pages say in words, and where the code says it.
var numbers = []struct{ page, says, file, code string }{
	{"explanation/accelerator.md", "more than 16 KiB in several parts", "ruby/lib/serval/accelerator.c", "#define COPIED 16384"},
	{"explanation/accelerator.md", "256 KiB in one", "ruby/lib/serval/accelerator.c", "#define LONGEST 262144"},
	{"explanation/accelerator.md", "asked again after an hour", "ruby/lib/serval/accelerator.rb", "RETRY = 3600 # seconds"},
	{"explanation/bodies.md", "| up to 64 KiB |", "internal/wire/wire.go", "InlineBody = 64 << 10"},
	{"explanation/bodies.md", "up to 128 KiB wait in memory", "internal/server/backlog.go", "backlogMemory = 128 << 10"},
	{"explanation/bodies.md", "up to 1 GiB for one response", "internal/server/server.go", "SpoolLimit = 1 << 30"},
	{"explanation/bodies.md", "in one frame, up to 256 KiB", "ruby/lib/serval/wire.rb", "LONGEST_IN_FRAMES = 256 * 1024"},
	{"explanation/bodies.md", "lasts more than a second", "ruby/lib/serval/body_stream.rb", "LASTING = 1 # seconds"},
	{"explanation/threads.md", "twice the time that its requests took", "internal/dispatch/pace.go", "2*p.service"},
	{"explanation/threads.md", "at least a millisecond and at most ten", "internal/dispatch/pace.go", "pokeSoonest = time.Millisecond"},
	{"reference/wire.md", "at least a millisecond and at\nmost ten", "internal/dispatch/pace.go", "pokeLatest = 10 * time.Millisecond"},
	{"explanation/threads.md", "took\nlonger than a millisecond", "ruby/lib/serval/crew.rb", "SLOW = 0.001 # seconds"},
	{"explanation/threads.md", "for its next 64 requests", "ruby/lib/serval/crew.rb", "EAGER_REQUESTS = 64"},
	{"explanation/molds.md", "a tenth of a second at most", "ruby/lib/serval/crew.rb", "STAND = 0.1"},
	{"explanation/molds.md", "tries again, for 20 seconds", "ruby/lib/serval/crew.rb", "PATIENCE = 20"},
	{"explanation/shutdown.md", "sends its request within a second", "internal/server/sweeper.go", "lastChance = time.Second"},
	{"explanation/shutdown.md", "for up to two seconds more", "internal/server/sweeper.go", "lingerTime = 2 * time.Second"},
	{"how-to/limit-requests.md", "looked at every five seconds", "internal/dispatch/seat.go", "checkEvery   = 5 * time.Second"},
	{"reference/failures.md", "200 lines are cut in the middle", "ruby/lib/serval/failure.rb", "LONGEST_BACKTRACE = 200 # lines"},
	{"reference/failures.md", "four times a second", "internal/server/sweeper.go", "sweepEvery = 250 * time.Millisecond"},
	{"reference/failures.md", "over 20 s", "internal/server/sweeper.go", "rateWindow = 20 * time.Second"},
	{"reference/log.md", "the pause grows to 30 s", "internal/dispatch/seat.go", "backoffMost  = 30 * time.Second"},
	{"reference/log.md", "at most a tenth of a second late", "internal/logs/stream.go", "flushInterval = 100 * time.Millisecond"},
	{"reference/log.md", "past 4 MiB", "internal/logs/stream.go", "maxWaiting    = 4 << 20"},
	{"reference/responses.md", "up to 256 KiB it is gathered", "ruby/lib/serval/wire.rb", "LONGEST_IN_FRAMES = 256 * 1024"},
	{"reference/wire.md", "took less than half a\nmillisecond each", "ruby/lib/serval/closings.rb", "QUICK = 0.0005 # seconds"},
	{"reference/wire.md", "A frame has at most 4 MiB", "internal/wire/wire.go", "MaxFrame = 4 << 20"},
	{"reference/wire.md", "after 1,024 of them", "internal/wire/keys.go", "maxShapes    = 1024"},
}

func TestNumbersOfThePagesAreThoseOfTheCode(t *testing.T) {
	for _, n := range numbers {
		if !strings.Contains(readPage(t, "docs/"+n.page).text, n.says) {
			t.Errorf("docs/%s does not say %q any more", n.page, n.says)
		}
		if !strings.Contains(readPage(t, n.file).text, n.code) {
			t.Errorf("%s does not say %q any more: look what docs/%s should say in place of %q", n.file, n.code, n.page, n.says)
		}
	}
}
