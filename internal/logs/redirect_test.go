package logs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary runs itself again, since redirecting is done to a whole process.
const childVar = "LOGS_TEST_CHILD"

func TestMain(m *testing.M) {
	if script := os.Getenv(childVar); script != "" {
		os.Exit(beChild(script, os.Args[1], os.Args[2]))
	}
	os.Exit(m.Run())
}

// beChild carries out one word of the script after the other on two log files.
func beChild(script, out, errs string) int {
	for _, word := range strings.Fields(script) {
		var err error
		switch word {
		case "empty":
			err = Redirect(out, errs, false)
		case "continue":
			err = Redirect(out, errs, true)
		case "rotate":
			if err = os.Rename(out, out+".1"); err == nil {
				err = Reopen(out, errs)
			}
		case "reopen":
			err = Reopen(out, errs)
		case "worker":
			cmd := exec.Command("/bin/echo", "from a worker")
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			err = cmd.Run()
		default:
			fmt.Println("out", word)
			fmt.Fprintln(os.Stderr, "err", word)
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

// runChild returns what the child wrote to the streams it was given.
func runChild(t *testing.T, script, out, errs string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", out, errs)
	cmd.Env = append(os.Environ(), childVar+"="+script, "GORACE=atexit_sleep_ms=0")
	said, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(said), "cannot write the log") {
		t.Fatalf("%v: %s", err, said)
	}
	return string(said)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestStreamsGoToTheirFiles(t *testing.T) {
	dir := t.TempDir()
	out, errs := filepath.Join(dir, "out"), filepath.Join(dir, "err")
	said := runChild(t, "before empty after worker", out, errs)
	if said != "out before\nerr before\n" {
		t.Errorf("the streams got %q", said)
	}
	if have := read(t, out); have != "out after\nfrom a worker\n" {
		t.Errorf("standard output got %q", have)
	}
	if have := read(t, errs); have != "err after\n" {
		t.Errorf("standard error got %q", have)
	}
}

func TestOneFileCanTakeBothStreams(t *testing.T) {
	both := filepath.Join(t.TempDir(), "log")
	runChild(t, "empty a worker b", both, both)
	if have, want := read(t, both), "out a\nerr a\nfrom a worker\nout b\nerr b\n"; have != want {
		t.Errorf("have %q, want %q", have, want)
	}
}

func TestAStreamWithoutAFileStays(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if said := runChild(t, "empty a", out, ""); said != "err a\n" {
		t.Errorf("the streams got %q", said)
	}
	if have := read(t, out); have != "out a\n" {
		t.Errorf("have %q", have)
	}
	if said := runChild(t, "empty b", "", ""); said != "out b\nerr b\n" {
		t.Errorf("the streams got %q", said)
	}
}

func TestFilesAreEmptiedOnlyWhenAsked(t *testing.T) {
	dir := t.TempDir()
	out, errs := filepath.Join(dir, "out"), filepath.Join(dir, "err")
	runChild(t, "empty a", out, errs)
	runChild(t, "continue b reopen c", out, errs)
	if have := read(t, out); have != "out a\nout b\nout c\n" {
		t.Errorf("continued: have %q", have)
	}
	runChild(t, "empty d", out, errs)
	if have := read(t, out); have != "out d\n" {
		t.Errorf("emptied: have %q", have)
	}
}

func TestReopeningFollowsARotation(t *testing.T) {
	dir := t.TempDir()
	out, errs := filepath.Join(dir, "out"), filepath.Join(dir, "err")
	runChild(t, "empty a rotate b", out, errs)
	if have := read(t, out+".1"); have != "out a\n" {
		t.Errorf("the old file has %q", have)
	}
	if have := read(t, out); have != "out b\n" {
		t.Errorf("the new file has %q", have)
	}
	if have := read(t, errs); have != "err a\nerr b\n" {
		t.Errorf("the file that was not rotated has %q", have)
	}
}

func TestAFileThatCannotBeOpenedChangesNothing(t *testing.T) {
	dir := t.TempDir()
	out, errs := filepath.Join(dir, "out"), filepath.Join(dir, "gone", "err")
	said := runChild(t, "empty", out, errs)
	want := "cannot write the log " + errs + ": no such file or directory; choose another file or change its permissions\n"
	if said != want {
		t.Errorf("have %q\nwant %q", said, want)
	}
}
