package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/sequence"
)

// start runs a program that the test's end takes away.
func start(t *testing.T, words ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func hold(t *testing.T, pid int) *Handle {
	t.Helper()
	id, err := Find(pid)
	if err != nil {
		t.Fatal(err)
	}
	h, err := id.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func TestOldKernelsDo(t *testing.T) {
	real := pidfdOpen
	pidfdOpen = func(int, int) (int, error) { return -1, unix.ENOSYS }
	t.Cleanup(func() { pidfdOpen = real })
	t.Run("TestTheEndOfAProcessIsNoticed", TestTheEndOfAProcessIsNoticed)
	t.Run("TestAnotherProcessWithTheNumberIsNotTakenForIt", TestAnotherProcessWithTheNumberIsNotTakenForIt)
	t.Run("TestAStopSequenceCanBeRunOnAHandle", TestAStopSequenceCanBeRunOnAHandle)
	t.Run("TestAClosedHandleReportsNothing", TestAClosedHandleReportsNothing)
}

func TestTheEndOfAProcessIsNoticed(t *testing.T) {
	cmd := start(t, "sleep", "60")
	h := hold(t, cmd.Process.Pid)
	select {
	case <-h.Exited():
		t.Fatal("it has not ended")
	case <-time.After(10 * time.Millisecond):
	}
	if err := h.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-h.Exited() // although nobody has waited for it yet
	if h.Alive() {
		t.Error("a zombie is taken for alive")
	}
	cmd.Wait()
	if err := h.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal to what has ended: %v", err)
	}
	if _, err := h.Open(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("what has ended can be held: %v", err)
	}
	if _, err := Find(h.PID); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("what has ended is found: %v", err)
	}
}

func TestAnotherProcessWithTheNumberIsNotTakenForIt(t *testing.T) {
	cmd := start(t, "sleep", "60")
	id, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	id.Start--
	if id.Alive() {
		t.Error("it is taken for one that began at another time")
	}
	if h, err := id.Open(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%v, %v", h, err)
	}
	for _, none := range []ID{{}, {PID: -1}} {
		if h, err := none.Open(); !errors.Is(err, os.ErrProcessDone) || none.Alive() {
			t.Errorf("%v, %v", h, err)
		}
	}
}

func TestAStopSequenceCanBeRunOnAHandle(t *testing.T) {
	cmd := start(t, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	h := hold(t, cmd.Process.Pid)
	if err := sequence.MustParse("term, 0, kill").Run(t.Context(), h); err != nil {
		t.Error(err)
	}
}

func TestAClosedHandleReportsNothing(t *testing.T) {
	id, err := Find(start(t, "sleep", "60").Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	h, err := id.Open()
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	select {
	case <-h.Exited():
		t.Error("it has not ended")
	default:
	}
}

func TestTheTableKnowsFamiliesAndFigures(t *testing.T) {
	cmd := start(t, "sh", "-c", "sh -c 'sleep 60; :'; :")
	pid := cmd.Process.Pid
	var found []Row
	for deadline := time.Now().Add(20 * time.Second); len(found) < 2; time.Sleep(10 * time.Millisecond) {
		table, err := All()
		if err != nil || time.Now().After(deadline) {
			t.Fatal(found, err)
		}
		found = table.Descendants(pid)
	}
	t.Cleanup(func() { syscall.Kill(found[0].PID, syscall.SIGKILL); syscall.Kill(found[1].PID, syscall.SIGKILL) })
	if found[0].Parent != pid || found[1].Parent != found[0].PID || found[0].Memory <= 0 || found[0].Group != syscall.Getpgrp() {
		t.Errorf("%+v", found)
	}
	age, err := found[0].Age()
	if err != nil || age < 0 || age > time.Minute {
		t.Errorf("its age is %s, %v", age, err)
	}
	row, err := Look(os.Getpid())
	if err != nil || row.State != 'R' && row.State != 'S' || row.CPU < 0 {
		t.Errorf("%+v, %v", row, err)
	}
}
