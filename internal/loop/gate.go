package loop

import (
	"sync"
	"time"
)

// gate is where goroutines wait until a socket can be read or written, or the time for that is up. There is no limit in time
// in the zero value.
type gate struct {
	mu     sync.Mutex
	opened uint64        // how often it was
	bell   chan struct{} // closed to wake those who wait; nil: nobody does
	late   bool
	timer  *time.Timer
	limits uint64 // how often the time was set: a timer that had struck before it could be stopped learns by it that it is void
}

// open wakes those who wait and says whether there were any.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened++
	return g.ring()
}

func (g *gate) ring() bool {
	if g.bell == nil {
		return false
	}
	close(g.bell)
	g.bell = nil
	return true
}

// look returns a number for wait. It is called before looking whether there is anything to do.
func (g *gate) look() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

// wait returns when the gate was opened since the look, or the time is up.
func (g *gate) wait(look uint64) {
	g.mu.Lock()
	if g.opened != look || g.late {
		g.mu.Unlock()
		return
	}
	if g.bell == nil {
		g.bell = make(chan struct{})
	}
	bell := g.bell
	g.mu.Unlock()
	<-bell
}

func (g *gate) expired() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.late
}

// limit sets until when may be waited; the zero time is for ever.
func (g *gate) limit(t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	g.limits++
	g.late = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		g.late = true
		g.ring()
		return
	}
	set := g.limits
	g.timer = time.AfterFunc(left, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.limits == set {
			g.late = true
			g.ring()
		}
	})
}
