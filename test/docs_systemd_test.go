package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

const systemdPage = "docs/how-to/run-under-systemd.md"

// systemdUnit writes the unit that the page shows, and returns where it is and what it sets.
func systemdUnit(t *testing.T, s *pageShell) (path string, setting map[string]string) {
	t.Helper()
	for _, b := range readPage(t, systemdPage).blocks() {
		if b.file() == "" {
			continue
		}
		s.carryOut(b)
		setting = map[string]string{}
		for line := range strings.Lines(s.here(b.text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
				setting[name] = value
			}
		}
		return s.here(b.file()), setting
	}
	t.Fatalf("%s shows no unit", systemdPage)
	return "", nil
}

func TestTheUnitOfThePageStartsServalAndStopsItWithoutCuttingRequests(t *testing.T) {
	t.Parallel()
	s := newPageShell(t)
	_, unit := systemdUnit(t, s)
	s.mkdir("srv/blog")
	s.mkdir("run/" + unit["RuntimeDirectory"])
	app := "run ->(env) { puts \"running\"; sleep 1; [200, {}, [\"slow\\n\"]] }\n"
	s.write(filepath.Join(unit["WorkingDirectory"], "config.ru"), "$stdout.sync = true\n"+app, 0o644)

	front := startTerminal(t, "bash", "-c", "exec "+unit["ExecStart"])
	front.cmd.Dir, front.cmd.Env = unit["WorkingDirectory"], s.environment()
	if err := front.start(); err != nil {
		t.Fatal(err)
	}
	s.servers = append(s.servers, front)
	if !front.settled() || front.ended() {
		t.Fatalf("the unit's command does not serve:\n%s", front.text())
	}
	conn, err := net.Dial("unix", filepath.Join(s.top, "run", unit["RuntimeDirectory"], "serval.sock"))
	if err != nil {
		t.Fatal(err)
	}
	c := testkit.NewClient(t, conn)
	c.Send(testkit.Request("GET", "/", ""))
	if !front.until(func(text string) bool { return strings.Contains(text, "running\n") }) {
		t.Fatalf("the request does not run:\n%s", front.text())
	}
	if unit["KillSignal"] != "SIGTERM" {
		t.Errorf("the unit stops Serval by %q", unit["KillSignal"])
	}
	syscall.Kill(front.cmd.Process.Pid, syscall.SIGTERM)
	if r := c.Response("GET"); r.Body != "slow\n" {
		t.Errorf("the request under way got %+v", r)
	}
	<-front.over
	// systemd.service(5), SuccessExitStatus: a SIGTERM is a clean end.
	if status := front.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %s", front.cmd.ProcessState)
	}
}

func TestTheUnitOfThePageIsOneForSystemd(t *testing.T) {
	t.Parallel()
	s := newPageShell(t)
	path, unit := systemdUnit(t, s)
	_, patience, _ := strings.Cut(unit["ExecStart"], "--shutdown-timeout ")
	patient, err1 := time.ParseDuration(patience + "s")
	stop, err2 := time.ParseDuration(unit["TimeoutStopSec"] + "s")
	if err1 != nil || err2 != nil || stop <= patient {
		t.Errorf("systemd kills after %s what may take %s (%v, %v)", stop, patient, err1, err2)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // a machine without systemd: what could be checked is checked
	}
	s.mkdir("srv/blog")
	verify := exec.Command(analyze, "verify", "--man=no", path)
	verify.Env = append(os.Environ(), "SYSTEMD_LOG_COLOR=0")
	out, err := verify.CombinedOutput()
	if err != nil || strings.Contains(string(out), "blog.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
