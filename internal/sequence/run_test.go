package sequence

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a real process that says which signals it heard.
type process struct {
	*exec.Cmd
	out    *bufio.Reader
	exited chan struct{}
}

func (p *process) Signal(signal syscall.Signal) error { return p.Process.Signal(signal) }
func (p *process) Exited() <-chan struct{}            { return p.exited }

// startShell starts a shell with traps and waits until they are set. A trap that says a line shows what arrived.
func startShell(t *testing.T, traps string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command("/bin/bash", "-c", traps+"\necho ready\nwhile :; do read -t 0.02 <> <(:); done"), exited: make(chan struct{})}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.exited
	})
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the shell says %q, %v", line, err)
	}
	return p
}

// reap waits for the process; what it returns waits for that, and tells what the process said.
func (p *process) reap() (heard func() string) {
	said := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(p.out)
		p.Wait()
		close(p.exited)
		said <- strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", " ")
	}()
	return func() string { return <-said }
}

func TestASequenceEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	p := startShell(t, "trap 'echo term; exit 0' TERM")
	heard := p.reap()
	began := time.Now()
	if err := MustParse("term, 600, kill").Run(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if said := heard(); said != "term" || p.ProcessState.ExitCode() != 0 {
		t.Errorf("it heard %q and ended with %v", said, p.ProcessState)
	}
}

func TestAProcessThatIgnoresSignalsIsKilledInTheEnd(t *testing.T) {
	t.Parallel()
	p := startShell(t, "trap 'echo quit' QUIT; trap 'echo term' TERM")
	heard := p.reap()
	began := time.Now()
	if err := MustParse("quit, 1, term, 1, kill").Run(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was killed after %s, and should have had 2 s", took)
	}
	if said := heard(); said != "quit term" {
		t.Errorf("it heard %q", said)
	}
	if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v", status.Signal())
	}
}

func TestWhatOutlivesASequenceIsReported(t *testing.T) {
	t.Parallel()
	p := startShell(t, "trap '' TERM")
	heard := p.reap()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := MustParse("term").Run(ctx, p)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "still there") {
		t.Errorf("the error is %v", err)
	}
	cancelled, stop := context.WithCancel(context.Background())
	stop()
	if err := MustParse("term, 600, kill").Run(cancelled, p); !errors.Is(err, context.Canceled) {
		t.Errorf("between two signals the error is %v", err)
	}
	p.Process.Kill()
	heard()
}

func TestNothingIsSentToAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	p := startShell(t, "")
	heard := p.reap()
	p.Process.Kill()
	heard()
	if err := MustParse("term, 600, kill").Run(context.Background(), p); err != nil {
		t.Error(err)
	}
	for _, gone := range []error{os.ErrProcessDone, syscall.ESRCH} {
		if err := MustParse("term, 600, kill").Run(context.Background(), refusing{gone}); err != nil {
			t.Errorf("%v is reported as %v", gone, err)
		}
	}
}

func TestASignalThatMayNotBeSentEndsTheSequence(t *testing.T) {
	err := MustParse("term, 600, kill").Run(context.Background(), refusing{syscall.EPERM})
	if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "cannot send term") {
		t.Errorf("the error is %v", err)
	}
}

// refusing is a target of somebody else's: the kernel's answer is all there is to it.
type refusing struct{ err error }

func (r refusing) Signal(syscall.Signal) error { return r.err }
func (r refusing) Exited() <-chan struct{}     { return nil }
