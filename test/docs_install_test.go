package test

import (
	"os/exec"
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
