package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"serval/internal/analysis"
)

// analyzed runs serval analyze in a directory of its own, with a memory of its own.
type analyzed struct {
	t   *testing.T
	dir string
}

func newAnalyzed(t *testing.T, files map[string]string) analyzed {
	t.Helper()
	a := analyzed{t, filepath.Join(t.TempDir(), "blog")}
	t.Setenv("SERVAL_STATE_DIR", filepath.Join(filepath.Dir(a.dir), "state"))
	for _, name := range []string{"APP_ENV", "RACK_ENV", "RAILS_ENV"} {
		t.Setenv(name, "")
	}
	for name, text := range files {
		a.write(name, text)
	}
	return a
}

func (a analyzed) write(name, text string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

func (a analyzed) run(args ...string) (status int, out, errs string) {
	a.t.Helper()
	return runs(a.t, append([]string{"analyze"}, args...)...)
}

// runs runs a command of serval.
func runs(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = Run(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

const (
	pumaLine    = "custom_web: bundle exec puma -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid\n"
	unicornLine = "custom_web: bundle exec unicorn -l /tmp/web_server.sock -P /tmp/web_server.pid\n"
)

func TestAChangeToOrFromPassengerIsRefused(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1"})
	steps := []struct {
		procfile, flag string
		status         int
		says           string
	}{
		{"worker: x\n", "", 0, ""},
		{pumaLine, "", 1, "serval: Procfile:1:13: Passenger was the web server of the first analysis"},
		{"worker: y\n", "", 0, ""}, // the refusal has changed nothing
		{pumaLine, "--reset", 0, ""},
		{unicornLine, "", 0, ""}, // changes among the others are free
		{"worker: x\n", "", 1, "serval: Procfile: Puma was the web server of the first analysis"},
		{pumaLine, "", 0, ""},
	}
	for i, step := range steps {
		a.write("Procfile", step.procfile)
		args := []string{a.dir}
		if step.flag != "" {
			args = append(args, step.flag)
		}
		status, out, errs := a.run(args...)
		if status != step.status || !strings.HasPrefix(errs, step.says) || (step.says == "") != (errs == "") || !strings.HasPrefix(out, "blog in "+a.dir+", production\n") {
			t.Errorf("step %d: %d\n%s%s", i, status, out, errs)
		}
		if step.status == 1 && !strings.Contains(errs, "serval analyze --reset") {
			t.Errorf("step %d: no remedy in %s", i, errs)
		}
	}
}

func TestAnAppWithErrorsIsNotRemembered(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": "custom_web\n../x: y\n"})
	status, _, errs := a.run(a.dir)
	if status != 1 || errs != "serval: Procfile:1:1: there is no colon in \"custom_web\": write NAME: COMMAND, or # before a comment\n"+
		"serval: Procfile:2:1: the name \"../x\" has a '.' in it: use letters, digits, - and _\n" {
		t.Errorf("%d, %s", status, errs)
	}
	a.write("Procfile", pumaLine)
	if status, _, errs := a.run(a.dir); status != 0 {
		t.Errorf("%d, %s", status, errs)
	}
}

func TestTheResultIsJSON(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": pumaLine + "worker: a && exec b\n", ".cloud66/manifest.yml": "procfile_metadata:\n  wrker: {}\n"})
	status, out, errs := a.run("--json", "-e", "staging", "--app", "shop", "--prefix", "acme", a.dir)
	var result struct {
		App, Environment, Prefix string
		WebServer                struct{ Name, Why string } `json:"web_server"`
		Processes                []map[string]any
		Findings                 []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || status != 0 || errs != "" {
		t.Fatalf("%d, %v\n%s%s", status, err, out, errs)
	}
	if result.App != "shop" || result.Environment != "staging" || result.Prefix != "acme" || result.WebServer.Name != "Puma" || len(result.Processes) != 2 {
		t.Errorf("%+v", result)
	}
	web := result.Processes[0]
	if web["restart_signal"] != "usr2" || web["stop_sequence"] != "term, 90, kill" || web["unit"] != "acme_web_server.service" || web["restart_signal_from"] != "default of Puma" {
		t.Errorf("%v", web)
	}
	if len(result.Findings) != 1 || result.Findings[0]["line"] != 2.0 || result.Findings[0]["remedy"] != "write worker if that is meant" {
		t.Errorf("%v", result.Findings)
	}
	if !strings.Contains(out, "a && exec b") {
		t.Errorf("commands are escaped:\n%s", out)
	}
}

func TestMistakesInTheCallAreOneSentence(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "file": ""})
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"a b", 2, `serval: one directory is enough, and here are 2 ("a", "b"): name one. See serval analyze --help`},
		{"--jsn", 2, "serval: unknown flag --jsn: did you mean --json?"},
		{"--json=maybe", 2, "serval: "},
		{"-e ../x " + a.dir, 1, `serval: the environment's name "../x" has a '.' in it`},
		{"--app ../x " + a.dir, 2, `serval: the app's name "../x" has a '.' in it`},
		{a.dir + "/nope", 1, "serval: cannot analyze " + a.dir + "/nope: no such file or directory"},
		{a.dir + "/file", 1, "serval: cannot analyze " + a.dir + "/file: it is no directory"},
		{"/", 1, "serval: no name can be made of /"},
	} {
		status, out, errs := a.run(strings.Fields(c.args)...)
		if status != c.status || !strings.HasPrefix(errs, c.says) || strings.Count(errs, "\n") != 1 || c.status == 2 && out != "" {
			t.Errorf("%s: %d\n%s%s", c.args, status, out, errs)
		}
	}
}

func TestDamagedMemoriesAreReportedAndReset(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": pumaLine})
	state := filepath.Join(os.Getenv("SERVAL_STATE_DIR"), "blog", "analysis.json")
	if status, _, errs := a.run(a.dir); status != 0 {
		t.Fatal(errs)
	}
	if err := os.WriteFile(state, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, out, errs := a.run(a.dir); status != 1 || out != "" || !strings.HasPrefix(errs, "serval: "+state+" holds what is remembered of the first analysis, and is damaged") {
		t.Errorf("%d, %s%s", status, out, errs)
	}
	if status, _, errs := a.run(a.dir, "--reset"); status != 0 {
		t.Error(errs)
	}
	if status, _, errs := a.run(a.dir); status != 0 {
		t.Error(errs)
	}
}

func TestTwoAppsCannotHaveTheSameName(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": pumaLine})
	if status, _, errs := a.run(a.dir); status != 0 {
		t.Fatal(errs)
	}
	other := a
	other.dir = filepath.Join(t.TempDir(), "blog")
	other.write("config.ru", "run 1")
	if status, _, errs := other.run(other.dir); status != 1 || !strings.Contains(errs, "blog is the name of the app in "+a.dir+" already: name this one with --app NAME") {
		t.Errorf("%d, %s", status, errs)
	}
	if status, _, errs := other.run(other.dir, "--app", "blog2"); status != 0 {
		t.Error(errs)
	}
}

func TestReleasesOfAnAppShareItsMemory(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"releases/1/config.ru": "run 1", "releases/1/Procfile": pumaLine, "releases/2/config.ru": "run 1", "releases/2/Procfile": "worker: x\n"})
	if err := os.Symlink("releases/1", filepath.Join(a.dir, "current")); err != nil {
		t.Fatal(err)
	}
	if status, out, errs := a.run(filepath.Join(a.dir, "current")); status != 0 || !strings.HasPrefix(out, "blog in "+a.dir+"/current,") {
		t.Fatalf("%s%s", out, errs)
	}
	if status, _, errs := a.run(filepath.Join(a.dir, "releases", "2")); status != 1 || !strings.Contains(errs, "Puma was the web server of the first analysis") {
		t.Errorf("%d, %s", status, errs)
	}
	t.Chdir(filepath.Join(a.dir, "releases", "1"))
	t.Setenv("PWD", filepath.Join(a.dir, "current"))
	if status, out, errs := a.run(); status != 0 || !strings.HasPrefix(out, "blog in "+a.dir+"/current,") {
		t.Errorf("in a directory that the shell has come to through a symlink:\n%s%s", out, errs)
	}
}

func TestWhatIsCalledAnalyzeIsNotTakenForTheCommand(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": pumaLine, "analyze/config.ru": "run 1"})
	t.Chdir(a.dir)
	t.Setenv("PWD", a.dir)
	if status, out, errs := a.run(); status != 0 || !strings.HasPrefix(out, "blog in "+a.dir+",") {
		t.Errorf("%d, %s%s", status, out, errs)
	}
	if status, out, errs := a.run("analyze"); status != 0 || !strings.HasPrefix(out, "analyze in "+a.dir+"/analyze,") {
		t.Errorf("%d, %s%s", status, out, errs)
	}
}

func TestTheHelpOfAnalyzeFitsATerminal(t *testing.T) {
	a := newAnalyzed(t, nil)
	status, out, errs := a.run("--help")
	if status != 0 || errs != "" || out != analyzeHelp {
		t.Errorf("%d, %s%s", status, out, errs)
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("too wide: %s", line)
		}
	}
}

func TestWhatCannotBeRememberedIsAnError(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": pumaLine})
	if err := os.WriteFile(os.Getenv("SERVAL_STATE_DIR"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := a.run(a.dir); status != 1 || !strings.Contains(errs, "not a directory") {
		t.Errorf("%d, %s", status, errs)
	}
	memory := analysis.Memory{Server: "Puma"}
	if err := memory.Store(filepath.Join(os.Getenv("SERVAL_STATE_DIR"), "blog")); err == nil || !strings.Contains(err.Error(), "cannot remember the analysis") {
		t.Error(err)
	}
}
