package test

import (
	"slices"
	"strings"
	"testing"

	"serval/internal/backend"
	"serval/internal/testkit"
)

func TestThePageOnProcfilesUnderSystemdDoesWhatItShows(t *testing.T) {
	t.Parallel()
	s := testkit.NewSandbox(t)
	s.Write("/root/.curlrc", "no-progress-meter\n") // as on a terminal
	s.Write("/srv/blog/current/config.ru", `RELEASE = File.read("release").strip
raise "this release is broken" if RELEASE == "broken"
run ->(env) { [200, {}, ["#{ENV["GREETING"]} from release #{RELEASE}\n"]] }
`)
	s.Write("/srv/blog/current/worker.rb", "$stdout.sync = true\nputs \"working, GREETING is #{ENV[\"GREETING\"]}\"\nsleep\n")
	s.Write("/srv/blog/current/release", "1\n")
	for _, b := range readPage(t, "docs/how-to/run-a-procfile-under-systemd.md").blocks() {
		switch {
		case b.file() != "":
			_, text, _ := strings.Cut(b.text, "\n") // YAML has comments, and Procfiles and variables have none of that kind
			s.Write(b.file(), text)
		case b.lang == "console":
			s.Do("chown", "-R", "www-data:", "/srv/blog")
			var typed []string
			for line := range strings.Lines(b.text) {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					line = "$ cd /srv/blog/current; " + command
				}
				typed = append(typed, line)
			}
			b.text = strings.Join(typed, "")
			converseInside(t, s, b)
		}
	}
}

func TestThePageOnServicesHasAllStates(t *testing.T) {
	var told []string
	for _, row := range readPage(t, "docs/reference/services.md").section(t, "## Status").rows() {
		told = append(told, code(t, row["state"]))
	}
	states := []backend.State{backend.Running, backend.Starting, backend.Reloading, backend.Stopping, backend.Stopped, backend.Restarting, backend.Failed, backend.NotThere}
	for _, state := range states {
		if !slices.Contains(told, string(state)) {
			t.Errorf("the page has no %s", state)
		}
	}
	if len(told) != len(states) {
		t.Errorf("the page has %q", told)
	}
}
