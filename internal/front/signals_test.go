package front

import (
	"context"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"serval/internal/logs"
)

func watching(t *testing.T) *signals {
	t.Helper()
	s := watchSignals(t.Context(), logs.New(io.Discard, io.Discard, false))
	t.Cleanup(s.stop)
	return s
}

// raise sends this process a signal and gives it time to arrive: two of a kind that wait count as one.
func raise(t *testing.T, signals ...syscall.Signal) {
	t.Helper()
	for _, sig := range signals {
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s was not noticed", what)
	}
}

func pending(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestTermStopsAndASecondOneEndsThePatience(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := watching(t)
		raise(t, sig)
		await(t, "the first", s.ended)
		if pending(s.again) {
			t.Errorf("one %v counts as two", sig)
		}
		raise(t, sig)
		await(t, "the second", s.again)
		raise(t, sig) // a third one has nothing left to do
		if byTerm := s.outcome() != nil; byTerm != (sig == syscall.SIGTERM) {
			t.Errorf("after %v the outcome is %v", sig, s.outcome())
		}
	}
}

func TestTheEndOfTheContextStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := watchSignals(ctx, logs.New(io.Discard, io.Discard, false))
	defer s.stop()
	cancel()
	await(t, "the end of the context", s.ended)
	if err := s.outcome(); err != nil {
		t.Errorf("the outcome is %v", err)
	}
}

func TestHupReopensTheLogsAndStopsNothing(t *testing.T) {
	s := watching(t)
	raise(t, syscall.SIGHUP)
	await(t, "the HUP", s.reopen)
	if pending(s.ended) {
		t.Error("it stops the server")
	}
}

// Every client that leaves before its response is written makes for a PIPE. However many there are, none of the signals
// that matter may be lost for them.
func TestNoSignalIsLostInAFloodOfBrokenPipes(t *testing.T) {
	s := watching(t)
	s.mu.Lock() // whoever handles the signals is held up
	raise(t, syscall.SIGINT)
	for range 50 {
		raise(t, syscall.SIGPIPE)
	}
	raise(t, syscall.SIGHUP)
	s.mu.Unlock()
	await(t, "the INT", s.ended)
	await(t, "the HUP", s.reopen)
}
