package test

import (
	"strings"
	"testing"

	"serval/internal/testkit"
)

// hostPages begin on a host with nothing of an app, and are typed by root.
var hostPages = []string{"tutorial/from-an-empty-host.md", "how-to/deploy-with-puma.md", "how-to/control-with-systemd.md", "how-to/reload-without-downtime.md"}

func TestThePagesForAHostDoWhatTheyShow(t *testing.T) {
	testkit.Need(t, "nginx")
	testkit.Need(t, "puma")
	for _, name := range hostPages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewSandbox(t)
			s.Write("/root/.curlrc", "no-progress-meter\n") // as on a terminal
			carryOutInside(t, s, readPage(t, "docs/"+name))
		})
	}
}

// carryOutInside writes a page's files and types its commands, in the directory that its last cd has gone to.
func carryOutInside(t *testing.T, s *testkit.Sandbox, p page) {
	t.Helper()
	dir := "/root"
	for _, b := range p.blocks() {
		switch {
		case b.file() != "":
			s.Write(b.file(), b.text)
		case b.lang == "sh":
			for _, command := range commandLines(b.text) {
				s.Do("bash", "-c", "cd "+dir+" && "+command)
				dir = wentTo(dir, command)
			}
		case b.lang == "console":
			for _, part := range strings.Split("\n"+b.text, "\n$ ")[1:] {
				command, shown, _ := strings.Cut(part, "\n")
				if shown != "" {
					shown = strings.TrimSuffix(shown, "\n") + "\n"
				}
				converseInside(t, s, pageBlock{text: "$ cd " + dir + " && " + command + "\n" + shown, line: b.line})
				dir = wentTo(dir, command)
			}
		}
	}
}

func wentTo(dir, command string) string {
	if to, went := strings.CutPrefix(command, "cd "); went {
		return to
	}
	return dir
}
