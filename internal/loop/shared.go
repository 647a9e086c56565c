package loop

import (
	"slices"
)

// Shared is memory that another process writes to while the loop is awake, instead of to a socket, which would take system
// calls on both sides. Its methods are called by the loop's thread, several times a turn, and must not wait.
type Shared interface {
	// Look takes what is there, and lets others go on who wait for that. Answer follows, once all memories were looked at, and does
	// what takes its time.
	Look()
	Answer()

	// Doze says that the loop is about to sleep: who writes from now on has to wake it, by the socket. False: something is
	// there already, and the loop does not sleep.
	Doze() bool

	// Wake says that the loop looks by itself again.
	Wake()
}

// Share has the socket's loop look at m as well, for as long as the socket is watched. It is called once at most, by the loop's thread.
func (s *Socket) Share(m Shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop == nil || s.shared != nil {
		return
	}
	s.shared = m
	s.loop.share(func(all []Shared) []Shared { return append(all, m) })
}

// unshare is called with s.mu held.
func (s *Socket) unshare() {
	if s.shared != nil {
		s.loop.share(func(all []Shared) []Shared {
			return slices.DeleteFunc(all, func(m Shared) bool { return m == s.shared })
		})
	}
}

func (l *Loop) share(change func(all []Shared) []Shared) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := change(slices.Clone(l.listShared()))
	l.shared.Store(&all)
}

func (l *Loop) listShared() []Shared {
	if all := l.shared.Load(); all != nil {
		return *all
	}
	return nil
}

// look takes what is in all memories.
func (l *Loop) look() {
	all := l.listShared()
	for _, m := range all {
		m.Look()
	}
	for _, m := range all {
		m.Answer()
	}
}

// doze says whether the loop may sleep. Wake has to follow.
func (l *Loop) doze() bool {
	may := true
	for _, m := range l.listShared() {
		may = m.Doze() && may
	}
	return may
}

func (l *Loop) wake() {
	for _, m := range l.listShared() {
		m.Wake()
	}
}
