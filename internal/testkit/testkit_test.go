package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWaitForReturnsWhenTheConditionHolds(t *testing.T) {
	tries := 0
	if !waitFor(Patience, func() bool { tries++; return tries == 5 }) || tries != 5 {
		t.Errorf("it tried %d times", tries)
	}
	if waitFor(time.Millisecond, func() bool { return false }) {
		t.Error("it says that something came about that never does")
	}
}

func TestAProcessIsAliveUntilItsEnd(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := FindProcess(cmd.Process.Pid)
	if !p.Alive() || !slices.Contains(Children(os.Getpid()), p) {
		t.Errorf("%s is not found alive among the children %v", p, Children(os.Getpid()))
	}
	cmd.Process.Kill()
	WaitFor(t, "a zombie counts as dead", func() bool { return !p.Alive() })
	cmd.Wait()
	if slices.Contains(Children(os.Getpid()), p) {
		t.Error("it is still among the children")
	}
	if (Process{os.Getpid(), "0"}).Alive() {
		t.Error("a process of another start time was taken for this one")
	}
}

func TestDescendantsIncludeGrandchildren(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sh -c 'sleep 1000 & wait'; true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	var found []Process
	WaitFor(t, "there are two generations", func() bool {
		found = Descendants(cmd.Process.Pid)
		return len(found) == 2
	})
	for _, p := range found {
		proc, err := os.FindProcess(p.PID)
		if err != nil || proc.Kill() != nil {
			t.Errorf("cannot kill %s: %v", p, err)
		}
	}
}

func TestOutputIsKeptByLinesAndEndsWithItsLastWriter(t *testing.T) {
	o, err := newOutput()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(o.write, "one\ntwo th")
	WaitFor(t, "the text arrives", func() bool { return o.String() == "one\ntwo th" })
	if line, ok := o.line("two"); ok {
		t.Errorf("half a line was found: %q", line)
	}
	fmt.Fprint(o.write, "ree\n")
	WaitFor(t, "the line is whole", func() bool { line, _ := o.line("two"); return line == "two three" })
	select {
	case <-o.ended:
		t.Error("it ended while somebody could write")
	default:
	}
	o.write.Close()
	<-o.ended
}

func TestAppsAreFound(t *testing.T) {
	if path := App(t, "hello"); !strings.HasSuffix(path, "/test/apps/hello.ru") {
		t.Errorf("got %s", path)
	}
}

func TestRequestsAndChunksAreWrittenOut(t *testing.T) {
	have := Request("POST", "/a", "body", "X-A: b")
	want := "POST /a HTTP/1.1\r\nHost: serval.test\r\nX-A: b\r\nContent-Length: 4\r\n\r\nbody"
	if have != want {
		t.Errorf("got %q, want %q", have, want)
	}
	if have := Chunked("hello", strings.Repeat("x", 16)); have != "5\r\nhello\r\n10\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n" {
		t.Errorf("got %q", have)
	}
}
