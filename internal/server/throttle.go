package server

import (
	"fmt"
	"sync"
	"time"

	"serval/internal/logs"
)

// throttle keeps complaints of one kind to one a second: under overload there may be thousands, and the log must neither
// fill the disk nor slow down what is left of the service. What was left out is counted.
type throttle struct {
	mu    sync.Mutex
	kinds map[string]*complaints
}

type complaints struct {
	last    time.Time
	omitted int
}

// allow says whether to complain now, and what to add about those left out before.
func (t *throttle) allow(kind string, now time.Time) (note string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds == nil {
		t.kinds = map[string]*complaints{}
	}
	c := t.kinds[kind]
	if c == nil {
		c = &complaints{}
		t.kinds[kind] = c
	}
	if now.Sub(c.last) < time.Second {
		c.omitted++
		return "", false
	}
	if c.omitted > 0 {
		note = fmt.Sprintf(" (and %d more since)", c.omitted)
	}
	c.last, c.omitted = now, 0
	return note, true
}

// complain logs a warning, unless one of its kind was logged within the last second.
func (s *Server) complain(event, format string, args ...any) {
	if note, ok := s.throttle.allow(event, time.Now()); ok {
		s.config().Log.Warn(format+"%s", append(args, note, logs.Named(event))...)
	}
}

// warnOnce logs a kind of complaint the first time it comes up; a broken app would fill the disk with them.
func (s *Server) warnOnce(event, format string, args ...any) {
	if _, again := s.warned.LoadOrStore(event, true); !again {
		s.config().Log.Warn(format, append(args, logs.Named(event))...)
	}
}
