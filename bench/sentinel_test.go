package main

import (
	"bytes"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	generator "serval/internal/load"
)

// A thread that goes before the sentinel itself is as good as a machine below that has something else to do.
func TestASentinelNoticesAProcessorThatStandsStill(t *testing.T) {
	mayGoFirst(t)
	guard, err := startSentinel()
	if err != nil {
		t.Fatal(err)
	}
	defer guard.dismiss()
	const still = 60 * time.Millisecond
	for range 50 { // the sentinel has to begin first
		span := stand(t, still)
		if found := guard.stills([]generator.Span{span})[0]; found >= inMilliseconds(still)*0.9 {
			if before := (generator.Span{From: span.From.Add(-time.Hour), To: span.From.Add(-time.Hour + time.Second)}); guard.stills([]generator.Span{before})[0] != 0 {
				t.Error("it stood still an hour ago as well, it is said")
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("a processor that nobody else gets for %v is not noticed", still)
}

// stand keeps a processor for so long.
func stand(t *testing.T, length time.Duration) generator.Span {
	t.Helper()
	var span generator.Span
	over := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with it
		var first unix.CPUSet
		first.Set(0)
		if err := errors.Join(unix.SchedSetaffinity(0, &first), goFirst(0, sentinelPriority+1)); err != nil {
			over <- err
			return
		}
		span.From = time.Now()
		for time.Since(span.From) < length { //nolint:revive // that is what it is for
		}
		span.To = time.Now()
		over <- nil
	}()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // until it is told
	return span
}

// mayGoFirst skips a test on machines that give this process no real-time priority: a benchmark does without there, and says so.
func mayGoFirst(t *testing.T) {
	t.Helper()
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with it
		tried <- goFirst(0, sentinelPriority)
	}()
	if err := <-tried; errors.Is(err, unix.EPERM) {
		t.Skip("this machine gives no real-time priorities")
	}
}

func TestWhatTheLoadGeneratorStartsDoesNotGoFirst(t *testing.T) {
	mayGoFirst(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := goFirst(0, clientPriority); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr}, 0) //nolint:errcheck // it was allowed
	if err := sendFirst(); err != nil {
		t.Fatal(err)
	}
	cmd, out := exec.Command("/bin/cat", "/proc/self/stat"), bytes.Buffer{}
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	stat := out.String()
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if policy := fields[41-3]; policy != "0" { // proc_pid_stat(5)
		t.Errorf("a process that it starts has the scheduling policy %s, not 0: it takes the processor from the servers", policy)
	}
	mine := string(read("/proc/thread-self/stat"))
	if policy := strings.Fields(mine[strings.LastIndex(mine, ")")+1:])[41-3]; policy != "1" {
		t.Errorf("its own policy is %s, not 1", policy)
	}
}
