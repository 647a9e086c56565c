package bluepill

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serval/internal/testkit"
)

func evaluator(t *testing.T) Evaluator {
	t.Helper()
	lib := filepath.Join(testkit.Root(t), "ruby", "lib")
	return Evaluator{Ruby: "ruby", Script: func(name string) (string, error) { return filepath.Join(lib, name), nil }, BaseDir: "/base", Out: os.Stdout, Err: os.Stderr}
}

func TestPillsAreReadAsTheGoldenFilesSay(t *testing.T) {
	testkit.Golden(t, "test/pills", 20, func(t *testing.T, input string) string {
		e := evaluator(t)
		t.Chdir(t.TempDir())
		write(t, "app.pill", input)
		applications, found, err := e.Load(t.Context(), "app.pill")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, f := range found {
			b.WriteString(string(f.Level) + ": " + f.Error() + "\n")
		}
		if len(found.Errors()) == 0 {
			encoder := json.NewEncoder(&b)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(applications); err != nil {
				t.Fatal(err)
			}
		}
		return b.String()
	})
}

func TestAFileThatDoesNotEndIsGivenUp(t *testing.T) {
	e := evaluator(t)
	path := filepath.Join(t.TempDir(), "app.pill")
	write(t, path, "exit!")
	if _, _, err := e.Load(t.Context(), path); err == nil || !strings.Contains(err.Error(), "Ruby ended before it was done") {
		t.Errorf("%v", err)
	}
	e.Ruby = "no-such-ruby"
	if _, _, err := e.Load(t.Context(), path); err == nil || !strings.Contains(err.Error(), "cannot start Ruby (no-such-ruby)") {
		t.Errorf("%v", err)
	}
}

func TestCommandsAreTakenApartAsRubyDoes(t *testing.T) {
	for command, want := range map[string]string{
		`bundle exec puma -e $RACK_ENV`: `bundle|exec|puma|-e|$RACK_ENV`,
		`  a  "b c"  'd e' f\ g  `:      `a|b c|d e|f g`,
		`"b \x \" \$ c"`:                `b \x " $ c`,
		`'a\b'"c"d`:                     `a\bcd`,
		"a\tb\nc":                       "a|b|c",
		`'' x`:                          `|x`,
		``:                              ``,
	} {
		words, err := split(command)
		if got := strings.Join(words, "|"); err != nil || got != want {
			t.Errorf("%q is %q, %v, and should be %q", command, got, err, want)
		}
		again, err := split(join(words))
		if strings.Join(again, "|") != want || err != nil || len(again) != len(words) {
			t.Errorf("%q comes back as %q, %v", join(words), again, err)
		}
	}
	for _, command := range []string{`a 'b`, `a "b`, `a\`} {
		if words, err := split(command); err == nil {
			t.Errorf("%q is taken apart: %q", command, words)
		}
	}
}

func TestTheEarlierDaemonGetsHalfSeconds(t *testing.T) {
	e := evaluator(t)
	path := filepath.Join(t.TempDir(), "app.pill")
	write(t, path, `Bluepill.application("blog", kill_timeout: 30) { |app| app.process("web") { |p| p.start_command = "web" } }`)
	applications, _, err := e.Load(t.Context(), path)
	if err != nil || len(applications) != 1 || applications[0].Patience != 15*time.Second {
		t.Errorf("%+v, %v", applications, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
