package server

import (
	"time"

	"serval/internal/http1"
)

// sweepEvery is how often deadlines are looked at. A timeout never strikes early, and at most twice that late. One sweep
// over all connections replaces a timer per connection, which would be set and reset several times per request.
const sweepEvery = 250 * time.Millisecond

// phase is what a connection is waiting for, which decides how long it may.
type phase uint32

const (
	idle      phase = iota // for a request; nothing of it has come
	header                 // for the rest of a request's head
	receiving              // for the rest of a request's body
	running                // for the app
	lingering              // for the client to close, after the server did
	shaking                // for the client's part of the TLS handshake
)

func (p phase) String() string {
	return [...]string{"idle", "header", "receiving", "running", "lingering", "shaking"}[p]
}

// wait is a phase and when it began, on the server's clock: one word, so that whoever reads it sees what belongs together.
type wait uint64

const phaseBits = 3

func newWait(p phase, since time.Duration) wait { return wait(since)<<phaseBits | wait(p) }

func (w wait) phase() phase         { return phase(w & (1<<phaseBits - 1)) }
func (w wait) since() time.Duration { return time.Duration(w >> phaseBits) }

// lastChance is how long a client may take, in a shutdown, to send the head of a request.
const lastChance = time.Second

// lingerTime is how long a client may go on sending what nobody reads after it was refused (RFC 9112 §9.6).
const lingerTime = 2 * time.Second

// sweep runs until the server stops. It keeps the clock and ends connections whose time is up.
func (s *Server) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case now := <-ticker.C:
			s.tick(now)
			for _, c := range s.connected() {
				s.check(c)
			}
			s.checkIdle()
		}
	}
}

// tick sets the clock that connections read.
func (s *Server) tick(now time.Time) {
	s.now.Store(int64(now.Sub(s.born)))
	date := http1.AppendDate(make([]byte, 0, 32), now)
	s.date.Store(&date)
}

// check ends c's wait if it has lasted too long.
func (s *Server) check(c *conn) {
	now := time.Duration(s.now.Load())
	w := wait(c.wait.Load())
	if limit := s.patience(c, w.phase()); limit > 0 && now-w.since() > limit+sweepEvery || s.tooSlow(c, w, now) {
		c.endWait(w)
	}
	if w.phase() == running {
		c.mu.Lock()
		c.hear() // who waits that long should not wait for a client that has left
		c.mu.Unlock()
	}
	s.checkReader(c, now)
}

// patience is how long c may be in phase p; 0 means for ever.
func (s *Server) patience(c *conn, p phase) time.Duration {
	switch p {
	case idle:
		if s.parting(c) {
			return lastChance
		}
		if c.requests.Load() > 0 {
			return s.config().KeepAliveTimeout
		}
		return s.config().HeaderTimeout // nothing has come yet, and something should
	case header, shaking:
		if limit := s.config().HeaderTimeout; !s.parting(c) || limit > 0 && limit < lastChance {
			return limit
		}
		return lastChance
	case receiving:
		return s.config().BodyTimeout
	case lingering:
		return lingerTime
	}
	return 0
}

// parting says that c's next response is its last: the server stops, or gives its connections away and c speaks TLS, whose keys
// cannot go along.
func (s *Server) parting(c *conn) bool {
	return s.draining.Load() || c.tunnel != nil && s.releasing.Load() != nil
}

// rateWindow is the time over which the rate of a body is averaged.
const rateWindow = 20 * time.Second

// window is the stretch of a body over which its rate is measured.
type window struct {
	body  wait          // which body
	began time.Duration // on the server's clock
	read  int64         // of the body, before
}

// tooSlow says whether the body that c receives comes too slowly.
func (s *Server) tooSlow(c *conn, w wait, now time.Duration) bool {
	if s.config().MinBodyRate <= 0 || w.phase() != receiving {
		return false
	}
	if c.window.body != w {
		c.window = window{body: w, began: w.since()}
	}
	span := now - c.window.began
	if span < rateWindow {
		return false
	}
	read := c.bodyRead.Load()
	slow := float64(read-c.window.read) < float64(s.config().MinBodyRate)*span.Seconds()
	c.window.began, c.window.read = now, read
	return slow
}

// checkReader cuts c if its client has taken nothing of its response for too long.
func (s *Server) checkReader(c *conn, now time.Duration) {
	tookAt := c.tookAt.Load()
	if tookAt == 0 || s.config().WriteTimeout <= 0 {
		return
	}
	if taken := c.taken(); taken != c.tookAll {
		c.tookAll = taken
		c.tookAt.CompareAndSwap(tookAt, int64(now))
	} else if now-time.Duration(tookAt) > s.config().WriteTimeout+sweepEvery {
		c.cutOff()
	}
}

// endWait makes the connection's read return, if w is still what it waits for.
func (c *conn) endWait(w wait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expired.Store(uint64(w))
	c.call()
}

// late says that the sweeper ended what the connection waits for now.
func (c *conn) late() bool { return c.expired.Load() == c.wait.Load() }

// phase is what the connection waits for now.
func (c *conn) phase() phase { return wait(c.wait.Load()).phase() }

// enter begins a phase.
func (c *conn) enter(p phase) { c.wait.Store(uint64(newWait(p, time.Duration(c.srv.now.Load())))) }

// enterBody begins the receiving of a body.
func (c *conn) enterBody() {
	c.bodyRead.Store(0)
	c.enter(receiving)
}
