package main

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"sync"
)

// output collects what a process prints, and lets others wait for what they want to read there.
type output struct {
	mu   sync.Mutex // guards the following
	text bytes.Buffer
	more chan struct{} // closed and replaced at each write
}

func newOutput() *output {
	return &output{more: make(chan struct{})}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// count says how often pattern occurs so far, and gives a channel that is closed when there is more to read.
func (o *output) count(pattern *regexp.Regexp) (int, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(pattern.FindAllIndex(o.text.Bytes(), -1)), o.more
}

// wait returns when pattern was printed n times. It is an error if the process exits or ctx ends before.
func (o *output) wait(ctx context.Context, pattern *regexp.Regexp, n int, exited <-chan struct{}) error {
	for {
		found, more := o.count(pattern)
		if found >= n {
			return nil
		}
		select {
		case <-more:
		case <-exited:
			return errors.New("it exited")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
