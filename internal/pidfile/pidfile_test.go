package pidfile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// The test binary runs itself again to be another running serval.
const childVar = "PIDFILE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		os.Exit(beChild(path))
	}
	os.Exit(m.Run())
}

// beChild holds a pidfile until its standard input ends.
func beChild(path string) int {
	file, err := Write(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("written")
	io.Copy(io.Discard, os.Stdin)
	file.Remove()
	return 0
}

// another is a process that holds the pidfile. End has it stop in order, kill does not.
func another(t *testing.T, path string) (pid int, end, kill func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVar+"="+path, "GORACE=atexit_sleep_ms=0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := false
	stop := func(how func()) func() {
		return func() {
			if !gone {
				gone = true
				how()
				cmd.Wait()
			}
		}
	}
	kill = stop(func() { cmd.Process.Kill() })
	t.Cleanup(kill)
	if said, _ := bufio.NewReader(out).ReadString('\n'); said != "written\n" {
		t.Fatalf("the other process said %q", said)
	}
	return cmd.Process.Pid, stop(func() { in.Close() }), kill
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestThePidfileHoldsTheProcessIDUntilTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "serval.pid")
	file, err := Write(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if want := strconv.Itoa(os.Getpid()) + "\n"; err != nil || string(text) != want {
		t.Errorf("have %q, %v, want %q", text, err, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("have %v, %v", info.Mode(), err)
	}
	file.Remove()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestALivingServalKeepsItsPidfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	pid, end, _ := another(t, path)
	want := fmt.Sprintf("already running, PID %d by %s: stop it or choose another --pidfile", pid, path)
	if _, err := Write(path); err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
	if err := Check(path); err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
	end()
	if _, err := os.Stat(path); err == nil {
		t.Error("the other process left its pidfile behind")
	}
}

func TestAPidfileThatNamesNoLivingServalIsReplaced(t *testing.T) {
	dir := t.TempDir()
	killed := filepath.Join(dir, "killed")
	_, _, kill := another(t, killed)
	kill()
	stranger := filepath.Join(dir, "stranger")
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait()
	defer sleep.Process.Kill()
	write(t, stranger, strconv.Itoa(sleep.Process.Pid))
	own, empty, garbage, negative := filepath.Join(dir, "own"), filepath.Join(dir, "empty"), filepath.Join(dir, "garbage"), filepath.Join(dir, "negative")
	write(t, own, strconv.Itoa(os.Getpid()))
	write(t, empty, "")
	write(t, garbage, "12x")
	write(t, negative, "-1\n")
	for _, path := range []string{killed, stranger, own, empty, garbage, negative} {
		if _, err := Write(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if pid, err := Read(path); err != nil || pid != os.Getpid() {
			t.Errorf("%s: have %d, %v", path, pid, err)
		}
	}
}

func TestOnlyOurOwnPidfileIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	file, err := Write(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "1\n")
	file.Remove()
	if pid, _ := Read(path); pid != 1 {
		t.Error("the pidfile of another process was removed")
	}
}

func TestAPidfileThatCannotBeWrittenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "pid")
	want := "cannot write the pidfile " + path + ": no such file or directory; choose another with --pidfile"
	if _, err := Write(path); err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
}

func TestAFileThatHoldsNoProcessIDIsNamed(t *testing.T) {
	dir := t.TempDir()
	garbage, gone := filepath.Join(dir, "garbage"), filepath.Join(dir, "gone")
	write(t, garbage, "12x")
	for path, want := range map[string]string{
		garbage: "the pidfile " + garbage + " holds no process id",
		gone:    "cannot read the pidfile " + gone + ": no such file or directory; is the server running?",
	} {
		if _, err := Read(path); err == nil || err.Error() != want {
			t.Errorf("have %v\nwant %s", err, want)
		}
	}
}
