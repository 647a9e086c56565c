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
		"A=b'c d'e\n":                      {"A=bc de"},
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

func TestMistakesInEnvironmentFilesNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nfoo bar\n":         `:2: write NAME=value, and not "foo bar"`,
		"1A=1":                   `:1: write NAME=value, and not "1A=1"`,
		"A=1\n\n# x\nB='open\n":  ":4: B: the quote ' is not closed",
		"A=\"two\nlines\"\nB-=2": `:3: write NAME=value, and not "B-=2"`,
		"A=x\\":                  ":1: A: nothing follows the backslash at its end",
		"A=\x00":                 ":1: A: a NUL byte cannot be part of it",
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
