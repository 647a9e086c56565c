package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Sandbox is a machine of the test's own with a real systemd as PID 1 (script/systemd-sandbox). It sees this machine's
// files, besides /tmp and /run, and what is changed in it is gone when the test ends.
type Sandbox struct {
	Serval string // the path of serval inside
	Top    string // a directory that has the same path inside and outside, for apps

	t    testing.TB
	name string
	root string // where its root directory is, from outside
}

var sandboxes atomic.Int32

// NeedSandbox skips the test where this user may not boot a machine, or the kernel refuses.
func NeedSandbox(t testing.TB) {
	t.Helper()
	NeedRoot(t, "boot a machine with a systemd of its own")
	if out, err := exec.Command(Need(t, "unshare"), "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "true").CombinedOutput(); err != nil {
		t.Skipf("this kernel refuses namespaces, so there can be no machine with a systemd of its own: %s", bytes.TrimSpace(out))
	}
	Need(t, "systemd-nspawn")
	Need(t, "ip")
}

// NewSandbox boots a machine. See NeedSandbox for where there can be none.
func NewSandbox(t testing.TB) *Sandbox {
	t.Helper()
	NeedSandbox(t)
	s := &Sandbox{t: t, Serval: "/usr/local/bin/serval", Top: "/srv/test", name: fmt.Sprintf("t-%d-%d", os.Getpid(), sandboxes.Add(1))}
	top := t.TempDir()
	// Users other than root are to reach the app.
	for dir := top; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	up := []string{"up", s.name, "--ttl", "900", "--bind", top + ":" + s.Top, "--bind-ro", Binary(t) + ":" + s.Serval}
	if out, err := s.script(up...); err != nil {
		// It reads the files of this machine, which may change at that moment: somebody installs a package.
		t.Logf("the machine did not boot, trying once more: %v\n%s", err, out)
		if out, err = s.script(up...); err != nil {
			t.Fatalf("the machine does not boot: %v\n%s", err, out)
		}
	}
	booted := fmt.Sprintf("--since=@%d", time.Now().Unix())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- its journal\n%s---", s.journalctl("--no-hostname", "--output=short-monotonic", "--lines=200", booted))
		}
		if out, err := s.script("down", s.name); err != nil {
			t.Errorf("the machine does not go down: %v\n%s", err, out)
		}
	})
	root, err := s.script("path", s.name, "")
	if err != nil {
		t.Fatalf("the machine is not there: %v\n%s", err, root)
	}
	s.root = strings.TrimSpace(root)
	return s
}

func (s *Sandbox) script(args ...string) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(Root(s.t), "script", "systemd-sandbox"), args...).CombinedOutput()
	return string(out), err
}

// Run runs a command inside and returns what it said, on both streams, and its exit status.
func (s *Sandbox) Run(command ...string) (said string, status int) {
	s.t.Helper()
	out, err := s.script(append([]string{"exec", s.name, "--"}, command...)...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0 && exit.ExitCode() != 125:
		return out, exit.ExitCode()
	}
	s.t.Fatalf("%q cannot be run inside: %v\n%s", command, err, out)
	return "", 0
}

// Do runs a command that must succeed.
func (s *Sandbox) Do(command ...string) string {
	s.t.Helper()
	said, status := s.Run(command...)
	if status != 0 {
		s.t.Fatalf("%q ended with status %d\n%s", command, status, said)
	}
	return said
}

// Path is where a path inside is outside. It works for unix sockets.
func (s *Sandbox) Path(path string) string { return s.root + path }

// IP is the machine's address.
func (s *Sandbox) IP() string {
	s.t.Helper()
	out, err := s.script("ip", s.name)
	if err != nil {
		s.t.Fatalf("the machine has no address: %v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// Write writes a file inside, and makes its directory.
func (s *Sandbox) Write(path, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.Path(path)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(path), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// Unit writes a unit's file and has systemd read it.
func (s *Sandbox) Unit(name, text string) {
	s.t.Helper()
	s.Write("/etc/systemd/system/"+name, text)
	s.Do("systemctl", "daemon-reload")
}

// Show is a property of a unit.
func (s *Sandbox) Show(unit, property string) string {
	s.t.Helper()
	return strings.TrimSpace(s.Do("systemctl", "show", "--property="+property, "--value", unit))
}

// AwaitShow waits until a property of a unit has a value.
func (s *Sandbox) AwaitShow(unit, property, value string) {
	s.t.Helper()
	WaitFor(s.t, unit+" has "+property+"="+value, func() bool { return s.Show(unit, property) == value })
}

// Journal is what a unit has written, line by line without times.
func (s *Sandbox) Journal(unit string) string {
	s.t.Helper()
	return s.journalctl("--unit="+unit, "--output=cat")
}

// AwaitJournal waits for a text in what a unit writes.
func (s *Sandbox) AwaitJournal(unit, text string) {
	s.t.Helper()
	if !waitFor(Patience, func() bool { return strings.Contains(s.Journal(unit), text) }) {
		s.t.Fatalf("the journal of %s does not say %q:\n%s", unit, text, s.Journal(unit))
	}
}

// JournalBy is what a unit has written with one priority, "err", "warning" or "info" (journalctl(1), -p).
func (s *Sandbox) JournalBy(unit, priority string) string {
	s.t.Helper()
	return s.journalctl("--unit="+unit, "--output=cat", "--priority="+priority+".."+priority)
}

func (s *Sandbox) journalctl(args ...string) string {
	s.t.Helper()
	s.Run("journalctl", "--sync")
	said, _ := s.Run(append([]string{"journalctl", "--no-pager", "--quiet"}, args...)...)
	return said
}
