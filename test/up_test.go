package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"serval/internal/testkit"
)

// upApp is a directory with files, for serval up.
func upApp(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// upEnviron is this test's environment without what serval up looks at.
func upEnviron(more ...string) (env []string) {
	for _, entry := range os.Environ() {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "PORT", "APP_ENV", "RACK_ENV", "RAILS_ENV", "NO_COLOR", "TERM":
		default:
			env = append(env, entry)
		}
	}
	return append(env, more...)
}

// up runs serval up to its end.
func up(t *testing.T, dir string, args ...string) (output string, status int) {
	t.Helper()
	cmd := exec.Command(testkit.Binary(t), append([]string{"up"}, args...)...)
	cmd.Dir, cmd.Env = dir, upEnviron()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// upSaid are the lines of a process, without their times.
func upSaid(output, name string) (lines []string) {
	for line := range strings.Lines(output) {
		if m := regexp.MustCompile(`^\d\d:\d\d:\d\d (\S+) +\| (.*)\n$`).FindStringSubmatch(line); m != nil && m[1] == name {
			lines = append(lines, m[2])
		}
	}
	return lines
}

func TestUpRunsAllUntilOneEnds(t *testing.T) {
	t.Parallel()
	dir := upApp(t, map[string]string{
		"Procfile": "web: sh -c 'echo $PORT $PS $GREETING; sleep 1; exit 3'\nworker: sh -c 'trap \"echo bye; exit\" TERM; echo $PORT; while :; do sleep 0.1; done'\n",
		".env":     "GREETING=hello\n",
	})
	out, status := up(t, dir, "-m", "all=1,worker=2")
	if status != 3 {
		t.Errorf("its status is %d", status)
	}
	web, first, second := strings.Join(upSaid(out, "web.1"), "\n"), strings.Join(upSaid(out, "worker.1"), "\n"), strings.Join(upSaid(out, "worker.2"), "\n")
	if !strings.Contains(web, "5000 web.1 hello") || !strings.Contains(web, "exited with status 3") {
		t.Errorf("web said %s", web)
	}
	for port, said := range map[string]string{"5100": first, "5101": second} {
		if !strings.Contains(said, port+"\n") || !strings.Contains(said, "bye") || !strings.Contains(said, "has stopped") {
			t.Errorf("a worker said %s", said)
		}
	}
}

func TestUpTakesNoWebWhereThereIsACustomWeb(t *testing.T) {
	t.Parallel()
	dir := upApp(t, map[string]string{"Procfile": "web: echo wrong\ncustom_web: sh -c 'echo right; sleep 0.2'\nclock: echo $PORT\n"})
	out, status := up(t, dir, "custom_web", "-p", "7000")
	if status != 0 || len(upSaid(out, "web.1")) > 0 || len(upSaid(out, "clock.1")) > 0 || !strings.Contains(out, "| right\n") {
		t.Errorf("%d\n%s", status, out)
	}
}

func TestUpShowsWholeLinesAndDoesNotKeepBackUnfinishedOnes(t *testing.T) {
	t.Parallel()
	dir := upApp(t, map[string]string{
		"talk.rb":  `$stdout.sync = true; 2000.times { |i| $stdout.write("#{ARGV[0]} li"); $stdout.write("ne #{i}\n") }; $stdout.write("unfinished"); sleep`,
		"Procfile": "one: ruby talk.rb one\ntwo: ruby talk.rb two\n",
	})
	cmd := exec.Command(testkit.Binary(t), "up")
	var out lockedBuffer
	cmd.Dir, cmd.Env, cmd.Stdout = dir, upEnviron(), &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "both are done", func() bool { return strings.Count(out.String(), "| unfinished\n") == 2 })
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"one", "two"} {
		next := 0
		for _, line := range upSaid(out.String(), name+".1") {
			if line == fmt.Sprintf("%s line %d", name, next) {
				next++
			}
		}
		if next != 2000 {
			t.Errorf("%s: line %d is torn or missing", name, next)
		}
	}
}

func TestUpStartsWhatEndsAgain(t *testing.T) {
	t.Parallel()
	dir := upApp(t, map[string]string{"Procfile": "web: sh -c 'echo begun; exit 1'\n"})
	cmd := exec.Command(testkit.Binary(t), "up", "--on-exit", "restart")
	var out lockedBuffer
	cmd.Dir, cmd.Env, cmd.Stdout = dir, upEnviron(), &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "it has begun twice", func() bool { return strings.Count(out.String(), "| begun\n") == 2 })
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestUpRefusesWhatItCannotRun(t *testing.T) {
	t.Parallel()
	dir := upApp(t, map[string]string{"Procfile": "web: true\nbad: sh -c 'x\n", "good": "web: no-such-program-at-all\n"})
	for want, args := range map[string][]string{
		"Procfile:2":                            {},
		"there is no process nope: there are":   {"-f", "good", "nope"},
		"there is no process x: there are web":  {"-f", "good", "-m", "x=1"},
		`"web=-1" is none`:                      {"-f", "good", "-m", "web=-1"},
		"--on-exit maybe: write stop":           {"--on-exit", "maybe"},
		"there is no Procfile_x":                {"-f", "Procfile_x"},
		"--port 70000 is out of range":          {"-f", "good", "-p", "70000"},
		"there is nothing to run: good has web": {"-f", "good", "-m", "all=0"},
		"cannot read the environment file":      {"--env-file", "nowhere"},
		"no program no-such-program-at-all":     {"-f", "good"},
	} {
		out, status := up(t, dir, args...)
		if status == 0 || !strings.Contains(out, want) {
			t.Errorf("%v: %d, %s", args, status, out)
		}
	}
}

// upTerminal is a pseudo-terminal (pty(7)).
func upTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func TestUpOnATerminalHasColoursAndCtrlCStopsIt(t *testing.T) {
	t.Parallel()
	dir := upApp(t, map[string]string{"Procfile": "web: sh -c 'trap \"echo bye; exit\" TERM; echo begun; while :; do sleep 0.1; done'\nstubborn: sh -c 'trap \"\" TERM INT; echo begun; while :; do sleep 0.1; done'\n"})
	master, slave := upTerminal(t)
	cmd := exec.Command(testkit.Binary(t), "up")
	cmd.Dir, cmd.Env = dir, upEnviron("TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var out lockedBuffer
	var reader sync.WaitGroup
	reader.Go(func() {
		chunk := make([]byte, 4096)
		for {
			n, err := master.Read(chunk)
			out.Write(chunk[:n])
			if err != nil {
				return
			}
		}
	})
	testkit.WaitFor(t, "both have begun", func() bool { return strings.Count(out.String(), "begun") == 2 })
	master.Write([]byte{3}) // Ctrl-C
	testkit.WaitFor(t, "one has stopped", func() bool { return strings.Contains(out.String(), "bye") })
	master.Write([]byte{3}) // again: there is one that does not heed TERM
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	reader.Wait()
	for _, want := range []string{"\x1b[36m", "\x1b[33m", "stopping all processes, at INT; once more kills them"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %q", want, out.String())
		}
	}
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
