package analysis

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"unicode"

	"serval/internal/finding"
	"serval/internal/procfile"
)

// The golden files in test/analysis show what becomes of whole apps; here are the parts.

func TestCommentsOfRubyAreNoCode(t *testing.T) {
	var got []string
	for _, line := range rubyCode([]byte("# a\na 1 # b\n  b '#' , \"\\\"#\"#c\n=begin\nc\n=end\n\n\td\r\n__END__\ne\n")) {
		got = append(got, fmt.Sprintf("%d:%d %s", line.number, line.column, line.code))
	}
	if want := `2:1 a 1|3:3 b '#' , "\"#"|8:2 d`; strings.Join(got, "|") != want {
		t.Errorf("%s", strings.Join(got, "|"))
	}
}

func TestTheProgramOfACommandIsFound(t *testing.T) {
	for command, want := range map[string]string{
		"puma":                  "puma",
		"bundle exec puma -C x": "puma bundled [-C x]",
		"exec env -u A B=1 /usr/bin/nice -n 5 bundle exec bin/puma -t 5": "puma bundled [-t 5]",
		"A=1 bundle exec sidekiq":     "sidekiq bundled",
		"cd x && bundle exec unicorn": "unicorn bundled",
		"ruby -I lib script.rb x":     "script.rb [x]",
		"ruby":                        "ruby",
		"bundle install":              "bundle [install]",
		"env A=1":                     "",
		"puma | tee log":              "tee [log]",
	} {
		parsed, err := procfile.Split(command)
		if err != nil {
			t.Fatal(err)
		}
		p := mainProgram(parsed)
		got := p.name
		if p.bundled {
			got += " bundled"
		}
		var args []string
		for _, arg := range p.args {
			args = append(args, arg.Text)
		}
		if args != nil {
			got += fmt.Sprintf(" %v", args)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

func TestAllFormsOfAFlagAreUnderstood(t *testing.T) {
	parsed, _ := procfile.Split("puma -b a --bind b --bind=c -bd --bindings e -b")
	var got []string
	for _, value := range mainProgram(parsed).flags("-b", "--bind") {
		got = append(got, fmt.Sprintf("%d %s", value.Column, value.Text))
	}
	if want := "9 a|18 b|20 c|29 d"; strings.Join(got, "|") != want {
		t.Errorf("the values are %s", strings.Join(got, "|"))
	}
}

func TestFilesThatCannotBeReadAreErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "Procfile"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "Gemfile"), 0o644); err != nil {
		t.Fatal(err)
	}
	large, err := os.Create(filepath.Join(dir, ".ruby-version"))
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	if err := large.Truncate(maxFile + 1); err != nil {
		t.Fatal(err)
	}
	result := Analyze(os.DirFS(dir), Options{App: "blog", Directory: dir, Environment: "production"})
	var all []string
	for _, f := range result.Findings.Errors() {
		all = append(all, f.Error())
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"Procfile: this file cannot be read, it is no file but a directory", "Gemfile: this file cannot be read, it is no file but a pipe", ".ruby-version: this file cannot be read, it has more than"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestBluepillHasSignalsOfItsOwn(t *testing.T) {
	app := fstest.MapFS{
		"config.ru":            {},
		"Procfile":             {Data: []byte("custom_web: bundle exec puma -b unix:///tmp/web_server.sock\nmail: bundle exec sidekiq\nwork: bundle exec rake resque:work\nclock: x\n")},
		".serval/manifest.yml": {Data: []byte("procfile_metadata: {clock: {stop_sequence: 'int, 5, kill'}}")},
	}
	result := Analyze(app, Options{App: "blog", Directory: "/srv/blog", Environment: "production", Bluepill: true})
	want := map[string]string{"web": "usr2 quit, 30, term, 11, kill", "mail": "stop + start term, 31, kill", "work": "stop + start quit, 30, term, 11, kill", "clock": "stop + start int, 5, kill"}
	for _, p := range result.Processes {
		if got := p.RestartSignal.String() + " " + p.StopSequence.String(); got != want[p.Name] {
			t.Errorf("%s has %q", p.Name, got)
		}
	}
	if text := fmt.Sprint(result.Findings); !strings.Contains(text, "quit means an end without finishing requests to Puma") {
		t.Errorf("nothing is said about Puma's quit: %s", text)
	}
}

// Files of an app may come from strangers, and what they say is printed on a terminal of root's.
func TestWhatFilesSayCannotTalkToTheTerminal(t *testing.T) {
	const evil = "\x1b[31m"
	app := fstest.MapFS{
		"config.ru": {}, "Gemfile": {Data: []byte("ruby '3" + evil + "'\ngem 'rails'")}, ".ruby-version": {Data: []byte("3.1" + evil)}, ".tool-versions": {Data: []byte("ruby 3" + evil)},
		"Gemfile.lock":          {Data: []byte("GEM\n    rails (6" + evil + ")\nBUNDLED WITH\n   2" + evil + "\n")},
		"Procfile":              {Data: []byte("worker: x\nclock: y" + evil + "\n")},
		".cloud66/manifest.yml": {Data: []byte("procfile_metadata:\n  \"a\\e[31m\": {}\n  worker: {health_check: {command: \"\\e[31m\"}, \"\\e\": 1, count: \"\\e\"}\n")},
	}
	result := Analyze(app, Options{App: "blog", Directory: "/srv/blog", Environment: "production"})
	result.Findings = append(result.Findings, finding.Finding{Text: fmt.Sprintf("%+v", result)})
	for _, f := range result.Findings {
		if strings.Contains(f.Error(), "\x1b") {
			t.Errorf("%q", f.Error())
		}
	}
}

func TestThePlanHasWhatBackendsNeed(t *testing.T) {
	app := fstest.MapFS{
		"config.ru":            {Data: []byte("run 1")},
		"Procfile":             {Data: []byte("worker: bundle exec sidekiq -i {{UNIQUE_INT}}\ncustom_web: serval\n")},
		".serval/manifest.yml": {Data: []byte("procfile_metadata:\n  worker: {count: 2, user: deploy, memory_limit: 1G, depends_on: custom_web}\n")},
	}
	result := Analyze(app, Options{App: "blog", Directory: "/srv/blog", Environment: "staging"})
	p := result.Plan
	if len(p.Processes) != 2 || p.Processes[0].Name != "web" || p.App != "blog" || p.Directory != "/srv/blog" || p.Prefix != "serval" {
		t.Fatalf("the plan is %+v, with %v", p, result.Findings)
	}
	worker := p.Process("worker")
	if worker.Count != 2 || worker.User != "deploy" || worker.MemoryLimit != 1<<30 || len(worker.DependsOn) != 1 || worker.DependsOn[0] != "web" || !worker.RestartOnDeploy {
		t.Errorf("the worker is %+v", worker)
	}
	if env := worker.Environment; env["RACK_ENV"] != "staging" || env["STACK_PATH"] != "/srv/blog" || env["CUSTOM_WEB_SOCKET_FILE"] != "unix:///tmp/web_server.sock" {
		t.Errorf("its environment is %v", env)
	}
	if n := worker.UniqueInt(2); n != 1012 {
		t.Errorf("its second instance has %d", n)
	}
}

func TestAServerWithoutASocketHasAnAddress(t *testing.T) {
	for command, want := range map[string]string{
		"puma -b tcp://0.0.0.0:3000": "tcp://0.0.0.0:3000", "puma -p $PORT": "$PORT", "unicorn -l 127.0.0.1:8080": "127.0.0.1:8080", "rails server -p 3000": "3000", "serval --port=3000": "3000",
		"puma": "4000", "puma -b unix:///tmp/web_server.sock -p 3000": "", "thin start": "",
	} {
		app := fstest.MapFS{"config.ru": {}, "Procfile": {Data: []byte("custom_web: " + command)}, "config/puma.rb": {Data: []byte("port 4000\n")}}
		if got := Analyze(app, Options{App: "blog", Directory: "/srv/blog", Environment: "production"}).Plan.Process("web").Address; got != want {
			t.Errorf("%s: %q in place of %q", command, got, want)
		}
	}
}

func FuzzAnalyze(f *testing.F) {
	f.Add("custom_web: bundle exec puma -C config/puma.rb", "procfile_metadata:\n  web: {restart_signal: usr1}", "workers 2\npreload_app!", "GEM\n  specs:\n    puma (5.6.5)\n")
	f.Add("custom_web: bundle exec unicorn -c config/puma.rb -D", "", "before_fork", "")
	f.Fuzz(func(t *testing.T, procfile, manifest, puma, lock string) {
		app := fstest.MapFS{"Procfile": {Data: []byte(procfile)}, ".cloud66/manifest.yml": {Data: []byte(manifest)}, "config/puma.rb": {Data: []byte(puma)},
			"Gemfile": {}, "Gemfile.lock": {Data: []byte(lock)}}
		for _, found := range Analyze(app, Options{App: "a", Directory: "/a", Environment: "production"}).Findings {
			if found.Text == "" || strings.ContainsFunc(found.Error(), unicode.IsControl) {
				t.Fatalf("%+v", found)
			}
		}
	})
}
