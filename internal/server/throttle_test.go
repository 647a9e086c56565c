package server

import (
	"testing"
	"time"
)

func TestComplaintsOfAKindComeOnceASecond(t *testing.T) {
	var th throttle
	now := time.Now()
	for i, step := range []struct {
		kind string
		at   time.Duration
		note string
		ok   bool
	}{
		{"a", 0, "", true},
		{"a", 500 * time.Millisecond, "", false},
		{"b", 500 * time.Millisecond, "", true},
		{"a", 900 * time.Millisecond, "", false},
		{"a", 1100 * time.Millisecond, " (and 2 more since)", true},
		{"a", 2200 * time.Millisecond, "", true},
	} {
		if note, ok := th.allow(step.kind, now.Add(step.at)); note != step.note || ok != step.ok {
			t.Errorf("step %d: %q, %v instead of %q, %v", i, note, ok, step.note, step.ok)
		}
	}
}
