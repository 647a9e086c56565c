package envfile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func envFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnvironmentFilesAreReadAsSystemdReadsThem(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                 nil,
		"A=1\nB=2\n":                       {"A=1", "B=2"},
		"A=1":                              {"A=1"},
		"# A=1\n; B=2\n\n  \nC=3":          {"C=3"},
		"A=":                               {"A="},
		"A=  blanks around  \n":            {"A=blanks around"},
		`A="two  words " `:                 {"A=two  words "},
		`A='$HOME \n "x"'`:                 {`A=$HOME \n "x"`},
		`A="a \"quote\" and \\ backslash"`: {`A=a "quote" and \ backslash`},
		"A=one \\\n  line\nB=2":            {"A=one   line", "B=2"},
		"A=\"two\nlines\"\nB=2":            {"A=two\nlines", "B=2"},
		"A=b'c d'e\n":                      {"A=b'c d'e"},
		`A="a\nb\"c"`:                      {`A=a\nb"c`},
		`A=a\nb`:                           {`A=anb`},
		"A='x'  \"y\"z \n":                 {"A=xyz"},
		"A=it\"s\nB=2\"\n":                 {`A=it"s`, `B=2"`},
		"export A=1\n":                     {"A=1"},
		"A=b=c # no comment\n":             {"A=b=c # no comment"},
		"A=1\r\nB=2\r\n":                   {"A=1", "B=2"},
		"  A = 1\n":                        {"A=1"},
		"A=''\nB=x":                        {"A=", "B=x"},
	} {
		have, err := Read([]string{envFile(t, text)})
		if err != nil || !slices.Equal(have, want) {
			t.Errorf("%q: have %q, %v, want %q", text, have, err, want)
		}
	}
}

func TestValuesInDoubleQuotesNeedNoEscaping(t *testing.T) {
	for text, want := range map[string][]string{
		`A="{"a":1}"` + "\nB=2\n":                   {`A={"a":1}`, "B=2"},
		"A=\"{\n  \"a\": \"b\\n\"\n}\" \nB=\"x\"\n": {"A={\n  \"a\": \"b\\n\"\n}", "B=x"},
		`A="say "hi""`:                              {`A=say "hi"`},
		"A=\"a\"b\"\r\nB=2":                         {`A=a"b`, "B=2"},
	} {
		have, err := Read([]string{envFile(t, text)})
		if err != nil || !slices.Equal(have, want) {
			t.Errorf("%q: have %q, %v, want %q", text, have, err, want)
		}
		if SystemdAgrees(text) {
			t.Errorf("%q: systemd is said to find the same", text)
		}
	}
}

func TestMistakesInEnvironmentFilesNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nfoo bar\n":          `:2: write NAME=value, and not "foo bar"`,
		"1A=1":                    `:1: write NAME=value, and not "1A=1"`,
		"A=1\n\n# x\nB='open\n":   ":4: B: the quote ' is not closed",
		"A=\"two\nlines\"\nB-=2":  `:3: write NAME=value, and not "B-=2"`,
		"A=x\\":                   ":1: A: nothing follows the backslash at its end",
		"B=1\nA=\"x\" # y\nB=2\n": `:2: A: "# y" stands after the closing quote: take it out, or put a quote at the end of the line`,
		"A=\"x\"y\nB=\"2\"\n":     `:1: A: "y" stands after the closing quote: take it out, or put a quote at the end of the line`,
		"A=\"\xff\"":              ":1: A: it is not UTF-8: save the file as UTF-8",
		"A=\x00":                  ":1: A: a NUL byte cannot be part of it",
	} {
		path := envFile(t, text)
		_, err := Read([]string{path})
		if err == nil || err.Error() != path+want {
			t.Errorf("%q: have %v, want %s", text, err, want)
		}
	}
}

func TestAnEnvironmentFileMayBeMissingAfterADash(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	if env, err := Read([]string{"-" + gone}); err != nil || env != nil {
		t.Errorf("have %q, %v", env, err)
	}
	_, err := Read([]string{gone})
	if err == nil || !strings.Contains(err.Error(), "cannot read the environment file "+gone+": no such file or directory") {
		t.Errorf("have %v", err)
	}
}

func TestWhatIsWrittenIsReadTheSameByAll(t *testing.T) {
	env := []string{"A=1", "B=", "C= blanks ", `D={"a": "b\n"}`, "E=two\nlines\n", "F=$HOME `x` 'y' #z;", `G=\`, "H=ü", "I=a\r"}
	text := Format(env)
	have, err := Parse("", text)
	if err != nil || !slices.Equal(have, env) || !SystemdAgrees(text) {
		t.Errorf("have %q, %v, want %q", have, err, env)
	}
}

func TestWhatSystemdReadsOtherwiseIsKnown(t *testing.T) {
	for text, agrees := range map[string]bool{
		"# c\nA=1\n; d\n B = \"two\nlines\" \n": true,
		"A=1\nA=2\nC='x'\"y\"\n":                true,
		"export A=1\n":                          false,
		"# c \\\nA=1\n":                         false,
		"A=\"{\"a\":1}\"\n":                     false,
		"foo\n":                                 false,
		"":                                      true,
	} {
		if SystemdAgrees(text) != agrees {
			t.Errorf("%q: %v is not right", text, !agrees)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("A=\"{\"a\":1}\"\nB='x' \"y\" z\\\n w\nexport C=\n# d\n")
	f.Fuzz(func(t *testing.T, text string) {
		env, err := Parse("file", text)
		SystemdAgrees(text)
		if err != nil {
			return
		}
		again, err := Parse("file", Format(env))
		if err != nil || !slices.Equal(again, env) || !SystemdAgrees(Format(env)) {
			t.Fatalf("%q are %q, %v after writing", env, again, err)
		}
	})
}
