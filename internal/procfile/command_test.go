package procfile

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

func TestACommandIsTakenApartIntoWords(t *testing.T) {
	command := `RAILS_ENV=$E bundle exec "puma" -e $RACK_ENV -b 'unix:///tmp/a b' --tag x\ y "${PORT:-3000}"`
	c, err := Split(command)
	if err != nil {
		t.Fatal(err)
	}
	want := []Call{{Assignments: []string{"RAILS_ENV=$E"}, Words: []Word{{"bundle", 14}, {"exec", 21}, {"puma", 26}, {"-e", 33}, {"$RACK_ENV", 36},
		{"-b", 46}, {"unix:///tmp/a b", 49}, {"--tag", 67}, {"x y", 73}, {"${PORT:-3000}", 78}}}}
	if !reflect.DeepEqual(c.Calls, want) {
		t.Errorf("the calls are %+v", c.Calls)
	}
	variables := []Variable{{"E", 11, false}, {"RACK_ENV", 36, false}, {"PORT", 79, true}}
	if !reflect.DeepEqual(c.Variables, variables) || !c.Shell {
		t.Errorf("the variables are %+v, shell %v", c.Variables, c.Shell)
	}
}

func TestWhatTakesAShellIsKnown(t *testing.T) {
	for command, want := range map[string]string{
		"bundle exec puma":                "",
		"puma -e $RACK_ENV '*' \\*":       "",
		"echo ${A:-b} \"${C}\"":           "",
		"cd app && bundle exec puma":      "shell",
		"cd app && exec bundle exec puma": "shell",
		"exec puma":                       "shell",
		"true; exec puma":                 "shell",
		"puma | tee log":                  "shell, bare",
		"puma | exec tee log":             "shell, bare",
		"puma >log":                       "shell",
		"puma &":                          "shell, bare",
		"exec puma &":                     "shell, bare",
		"A=1 puma":                        "shell",
		"rake jobs/*":                     "shell",
		"echo $(date)":                    "shell",
		"echo `date`":                     "shell",
		"echo $((1+1))":                   "shell",
		"echo $1 $$":                      "shell",
		"ls ~":                            "shell",
		"rake {a,b}":                      "shell",
		"if true; then puma; fi":          "shell, bare",
	} {
		c, err := Split(command)
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		got := ""
		if c.Shell {
			got = "shell"
		}
		if c.Bare {
			got += ", bare"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

func TestTheLastProgramTakesTheShellsPlace(t *testing.T) {
	for command, want := range map[string]string{
		"cd app && puma -b x":          "cd app && exec puma -b x",
		"A=1 B=\"x y\" puma":           "A=1 B=\"x y\" exec puma",
		"ulimit -n 9; puma > log 2>&1": "ulimit -n 9; exec puma > log 2>&1",
		"test -f x || exit 1; puma":    "test -f x || exit 1; exec puma",
		"false || puma":                "false || exec puma",
		"cd app && exec puma":          "",
		"cd app":                       "",
		"puma; wait":                   "",
		"puma | tee log":               "",
		"puma &":                       "",
		"! puma":                       "",
		"trap 'rm x' EXIT; puma":       "",
		"f() { puma; }; f":             "",
		"(puma)":                       "",
		"A=1":                          "",
	} {
		if want == "" {
			want = command
		}
		if c, err := Split(command); err != nil || c.Line != want {
			t.Errorf("%s: %q, %v, want %q", command, c.Line, err, want)
		}
	}
	argv, _, err := Argv("A='x y' env", func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(argv[0], argv[1:]...).Output(); err != nil || !strings.Contains(string(said), "A=x y\n") {
		t.Errorf("the program has %q, %v", said, err)
	}
}

func TestAMistakeInACommandHasItsColumn(t *testing.T) {
	for command, column := range map[string]int{"puma 'x": 6, "puma && ": 6, "puma )": 6, "(puma": 1, "puma \"$A": 6} {
		if _, err := Split(command); err == nil || err.Column != column {
			t.Errorf("%q: %+v, want column %d", command, err, column)
		}
	}
}

// The shell itself says what the words of a command are.
func TestWordsAreThoseOfTheShell(t *testing.T) {
	t.Parallel()
	env := map[string]string{"A": "one", "B": "two words", "EMPTY": "", "Q": `it's "x" \n`, "STAR": "*"}
	lookup := func(name string) (string, bool) { value, found := env[name]; return value, found }
	for _, words := range []string{
		"a b  c", "$A", "$B", `"$B"`, "'$B'", "${A}x", "x$A$B.y", "$EMPTY -b", `"$EMPTY" -b`, "$UNSET -b", "${UNSET:-3000}", "${UNSET:-a b}",
		`"${UNSET:-a b}"`, "${UNSET-x}", "${EMPTY-x}", "${EMPTY:-x}", "${A:+set}", "$Q", `"$Q"`, `\$A`, `"\$A"`, `a\ b`, `''`, `a''b`, "{{UNIQUE_INT}}",
		"-e $A -b unix:///tmp/$A.sock", "a#b", "a #b", "${B#two }", "${#A}", "%i $A%", "a=$B", "--x=$A",
	} {
		command := "printf <%s> " + words
		shell := exec.Command("/bin/sh", "-c", `f() { for w; do printf '<%s>' "$w"; done; }; f `+words)
		for name, value := range env {
			shell.Env = append(shell.Env, name+"="+value)
		}
		want, err := shell.Output()
		if err != nil {
			t.Fatalf("%s: %v", words, err)
		}
		argv, _, err := Argv(strings.Replace(command, "<%s>", "x", 1), lookup)
		if err != nil {
			t.Errorf("%s: %v", words, err)
			continue
		}
		if len(argv) == 3 && argv[0] == "/bin/sh" {
			t.Errorf("%s is left to a shell", words)
			continue
		}
		got := ""
		for _, word := range argv[2:] {
			got += "<" + word + ">"
		}
		if got != string(want) {
			t.Errorf("%s: %s, and the shell has %s", words, got, want)
		}
	}
}

func TestVariablesWithoutAValueAreNamedOnce(t *testing.T) {
	lookup := func(name string) (string, bool) { return "", name == "EMPTY" }
	argv, missing, err := Argv("puma -e $RACK_ENV $RACK_ENV $EMPTY ${PORT:-1} '$QUOTED' $X", lookup)
	if err != nil || !reflect.DeepEqual(argv, []string{"puma", "-e", "1", "$QUOTED"}) || !reflect.DeepEqual(missing, []string{"RACK_ENV", "X"}) {
		t.Errorf("%q, %q, %v", argv, missing, err)
	}
	argv, missing, _ = Argv("cd $DIR && exec puma", lookup)
	if !reflect.DeepEqual(argv, []string{"/bin/sh", "-c", "cd $DIR && exec puma"}) || !reflect.DeepEqual(missing, []string{"DIR"}) {
		t.Errorf("%q, %q", argv, missing)
	}
	if _, _, err := Argv("puma '", lookup); err == nil {
		t.Error("an open quote is taken")
	}
}

func TestANumberTakesThePlaceOfUniqueInt(t *testing.T) {
	if got := Unique("sidekiq -i {{UNIQUE_INT}} -P /tmp/{{ UNIQUE_INT }}.pid {{OTHER}}", 1021); got != "sidekiq -i 1021 -P /tmp/1021.pid {{OTHER}}" {
		t.Error(got)
	}
}
