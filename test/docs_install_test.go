package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestThePageOnInstallingDoesWhatItShows(t *testing.T) {
	t.Parallel()
	s := testkit.NewSandbox(t)
	s.Write("/root/.curlrc", "no-progress-meter\n") // as on a terminal
	s.Do("useradd", "--system", "--user-group", "deploy")
	release(s, "/srv/blog/releases/1", `"Hello"`)
	s.Write("/srv/blog/releases/1/worker.rb", "$stdout.sync = true\nputs \"working\"\nsleep\n")
	s.Do("ln", "-s", "releases/1", "/srv/blog/current")
	s.Do("chown", "-R", "deploy:", "/srv/blog")
	for _, b := range readPage(t, "docs/how-to/install-an-app.md").blocks() {
		switch {
		case b.file() != "":
			s.Write(b.file(), b.text)
		case b.lang == "sh":
			for _, command := range commandLines(b.text) {
				s.Do("bash", "-c", command)
			}
		case b.lang == "console":
			b.text = strings.ReplaceAll(b.text, "$ ", "$ cd /srv/blog/current; ")
			converseInside(t, s, b)
		}
	}
}

func TestThePageOnInstallShowsTheHelp(t *testing.T) {
	text := readPage(t, "docs/reference/install.md").text
	for _, command := range []string{"install", "diff", "uninstall"} {
		help, err := exec.Command(testkit.Binary(t), command, "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "```text\n"+string(help)+"```\n") {
			t.Errorf("the page does not show serval %s --help", command)
		}
	}
}

func TestThePageOnUnitsTellsOfEverySetting(t *testing.T) {
	text := readPage(t, "docs/reference/units.md").text
	golden, err := filepath.Glob(filepath.Join(testkit.Root(t), "test", "units", "*.txt"))
	if err != nil || len(golden) == 0 {
		t.Fatalf("%d files, %v", len(golden), err)
	}
	setting := regexp.MustCompile(`(?m)^([A-Z]+[a-z][A-Za-z]*)=`)
	missing := map[string]bool{"Description": true} // which tells of itself
	for _, file := range golden {
		units, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, written, _ := strings.Cut(string(units), "----------\n")
		for _, m := range setting.FindAllStringSubmatch(written, -1) {
			if !strings.Contains(text, "`"+m[1]+"=") && !missing[m[1]] {
				missing[m[1]] = true
				t.Errorf("the page does not tell of %s=", m[1])
			}
		}
	}
}
