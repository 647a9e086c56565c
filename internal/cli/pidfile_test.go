package cli

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// The test binary runs itself again to be another running serval.
const childVar = "CLI_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		os.Exit(beChild(path))
	}
	os.Exit(m.Run())
}

// beChild holds a pidfile until its standard input ends.
func beChild(path string) int {
	file, err := writePidfile(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("written")
	io.Copy(io.Discard, os.Stdin)
	file.remove()
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
	file, err := writePidfile(path)
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
	file.remove()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestALivingServalKeepsItsPidfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	pid, end, _ := another(t, path)
	want := fmt.Sprintf("already running, PID %d by %s: stop it or choose another --pidfile", pid, path)
	if _, err := writePidfile(path); err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
	appDir(t)
	if status, out, errs := serval("--pidfile", path); status != 1 || out != "" || errs != "serval: "+want+"\n" {
		t.Errorf("a second start: have %d, %q, %q", status, out, errs)
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
		if _, err := writePidfile(path); err != nil || readPid(path) != os.Getpid() {
			t.Errorf("%s: have %d, %v", path, readPid(path), err)
		}
	}
}

func TestOnlyOurOwnPidfileIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	file, err := writePidfile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "1\n")
	file.remove()
	if readPid(path) != 1 {
		t.Error("the pidfile of another process was removed")
	}
}

func TestALinkInTheWayIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "precious")
	write(t, target, "precious")
	path := filepath.Join(dir, "pid")
	for _, link := range []string{path, filepath.Join(dir, fmt.Sprintf(".pid.%d", os.Getpid()))} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := writePidfile(path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
		t.Errorf("the target became %q, %v", text, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() == fs.ModeSymlink {
		t.Errorf("the pidfile is still a link: %v", err)
	}
}

func TestAPidfileThatCannotBeWrittenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "pid")
	want := "cannot write the pidfile " + path + ": no such file or directory; choose another with --pidfile"
	if _, err := writePidfile(path); err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
}
