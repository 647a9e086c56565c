package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/testkit"
)

const systemdPage = "docs/how-to/run-under-systemd.md"

// release makes a release of an app that greets, inside a machine.
func release(s *testkit.Sandbox, dir, greeting string) {
	s.Write(dir+"/config.ru", "greeting = "+greeting+"\nrun ->(env) { [200, {}, [greeting, \"\\n\"]] }\n")
}

func TestThePageOnSystemdDoesWhatItShows(t *testing.T) {
	t.Parallel()
	s := testkit.NewSandbox(t)
	s.Write("/root/.curlrc", "no-progress-meter\n") // as on a terminal
	release(s, "/srv/blog/releases/1", `"Hello from the first release"`)
	release(s, "/srv/blog/releases/2", `"Hello from the second release"`)
	release(s, "/srv/blog/releases/3", `raise("a typo")`)
	s.Do("ln", "-s", "/srv/blog/releases/1", "/srv/blog/current")
	for _, b := range readPage(t, systemdPage).blocks() {
		switch {
		case b.file() != "":
			s.Write(b.file(), b.text)
		case b.lang == "sh":
			for _, command := range commandLines(b.text) {
				if said := s.Do("bash", "-c", command); strings.Contains(command, "verify") && strings.Contains(said, "blog") {
					t.Errorf("%s says\n%s", command, said)
				}
			}
		case b.lang == "console":
			converseInside(t, s, b)
		}
	}
}

// converseInside types the commands of a block and compares what they print.
func converseInside(t *testing.T, s *testkit.Sandbox, b pageBlock) {
	t.Helper()
	for _, part := range strings.Split("\n"+b.text, "\n$ ")[1:] {
		command, shown, _ := strings.Cut(part, "\n")
		printed, status := s.Run("bash", "-c", command)
		if status != 0 || !matches(shown, printed, `\z`) {
			t.Fatalf("%s (status %d) prints\n%s\nthe page, at line %d, shows\n%s", command, status, printed, b.line, shown)
		}
	}
}

func TestTheUnitsForAnyAppServeItBehindClosedDoors(t *testing.T) {
	t.Parallel()
	s := testkit.NewSandbox(t)
	s.Do("ln", "-s", s.Serval, "/usr/bin/serval")
	for _, name := range []string{"serval@.service", "serval@.socket"} {
		text, err := os.ReadFile(filepath.Join(testkit.Root(t), "packaging", "systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		s.Unit(name, string(text))
	}
	s.Do("useradd", "--system", "--user-group", "blog")
	release(s, "/srv/blog/1", `"one " + Process.uid.to_s`)
	release(s, "/srv/blog/2", `"two"`)
	s.Do("ln", "-s", "/srv/blog/1", "/srv/blog/current")
	s.Write("/etc/serval/blog.env", "WEB_CONCURRENCY=2\n")
	s.Do("chown", "-R", "blog:", "/srv/blog")

	if said := s.Do("systemd-analyze", "verify", "--man=no", "serval@blog.service"); strings.Contains(said, "serval@") {
		t.Errorf("systemd-analyze verify says\n%s", said)
	}
	s.Do("systemctl", "enable", "--now", "serval@blog.socket", "serval@blog.service")
	ask := func() string {
		return s.Do("curl", "--no-progress-meter", "--unix-socket", "/run/serval/blog.sock", "http://localhost/")
	}
	if uid := s.Do("id", "-u", "blog"); ask() != "one "+uid {
		t.Errorf("the app answers %q", ask())
	}
	if status := s.Show("serval@blog", "StatusText"); !strings.Contains(status, "cluster: 2/2") {
		t.Errorf("its status is %q", status)
	}
	s.Do("ln", "-sfn", "/srv/blog/2", "/srv/blog/current")
	s.Do("systemctl", "reload", "serval@blog")
	if body := ask(); body != "two\n" {
		t.Errorf("after the deployment the app answers %q", body)
	}
	if text := s.JournalBy("serval@blog", "err") + s.JournalBy("serval@blog", "warning"); text != "" {
		t.Errorf("it complains:\n%s", text)
	}
	s.Do("systemctl", "stop", "serval@blog.socket", "serval@blog.service")
	if result := s.Show("serval@blog", "Result"); result != "success" {
		t.Errorf("it ended with %s", result)
	}
}
