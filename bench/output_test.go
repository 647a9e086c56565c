package main

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"
)

func TestWaitingEndsWithTheNthMatch(t *testing.T) {
	o := newOutput()
	done := make(chan error, 1)
	go func() { done <- o.wait(t.Context(), regexp.MustCompile(`worker \d ready`), 2, nil) }()
	o.Write([]byte("worker 0 ready\nwork"))
	select {
	case err := <-done:
		t.Fatalf("it ended after one: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	o.Write([]byte("er 1 ready\n"))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := o.String(); got != "worker 0 ready\nworker 1 ready\n" {
		t.Errorf("the output is %q", got)
	}
}

func TestWaitingEndsWithTheProcessOrTheContext(t *testing.T) {
	exited := make(chan struct{})
	close(exited)
	if err := newOutput().wait(t.Context(), regexp.MustCompile("x"), 1, exited); err == nil {
		t.Error("the process has exited, and nobody says so")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newOutput().wait(ctx, regexp.MustCompile("x"), 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
