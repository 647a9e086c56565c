package server

import (
	"time"

	"serval/internal/http1"
)

// sweepEvery is how often deadlines are looked at; so much late may a timeout strike. One sweep over all connections
// replaces a timer per connection, which would be set and reset several times per request.
const sweepEvery = 250 * time.Millisecond

// phase is what a connection is waiting for, which decides how long it may.
type phase uint32

const (
	idle      phase = iota // for a request; nothing of it has come
	header                 // for the rest of a request's head
	receiving              // for the rest of a request's body
	running                // for the app
	lingering              // for the client to close, after the server did
)

func (p phase) String() string {
	return [...]string{"idle", "header", "receiving", "running", "lingering"}[p]
}

// rateWindow is the time over which the rate of a body is averaged.
const rateWindow = 20 * time.Second

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
			s.mu.Lock()
			for c := range s.conns {
				s.check(c)
			}
			s.mu.Unlock()
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
	waited := now - time.Duration(c.since.Load())
	switch phase(c.phase.Load()) {
	case idle:
		limit := s.cfg.KeepAliveTimeout
		if s.draining.Load() {
			limit = lastChance
		} else if c.requests.Load() == 0 {
			limit = s.cfg.HeaderTimeout // nothing has come yet, and something should
		}
		c.endWaitAfter(limit, waited)
	case header:
		limit := s.cfg.HeaderTimeout
		if s.draining.Load() && (limit <= 0 || limit > lastChance) {
			limit = lastChance
		}
		c.endWaitAfter(limit, waited)
	case receiving:
		c.endWaitAfter(s.cfg.BodyTimeout, waited)
		s.checkRate(c, now)
	case lingering:
		c.endWaitAfter(lingerTime, waited)
	}
	s.checkReader(c, now)
}

// checkReader cuts c if its client has taken nothing of its response for too long.
func (s *Server) checkReader(c *conn, now time.Duration) {
	tookAt := c.tookAt.Load()
	if tookAt == 0 || s.cfg.WriteTimeout <= 0 {
		return
	}
	if taken := c.taken(); taken != c.tookAll {
		c.tookAll = taken
		c.tookAt.CompareAndSwap(tookAt, int64(now))
	} else if now-time.Duration(tookAt) > s.cfg.WriteTimeout {
		c.cutOff()
	}
}

// checkRate ends c's wait if the body comes too slowly.
func (s *Server) checkRate(c *conn, now time.Duration) {
	if began := time.Duration(c.since.Load()); c.windowStart < began {
		c.windowStart, c.windowRead = began, 0
	}
	span := now - c.windowStart
	if s.cfg.MinBodyRate <= 0 || span < rateWindow {
		return
	}
	read := c.bodyRead.Load()
	if float64(read-c.windowRead) < float64(s.cfg.MinBodyRate)*span.Seconds() {
		c.endWait()
	}
	c.windowStart, c.windowRead = now, read
}

func (c *conn) endWaitAfter(limit, waited time.Duration) {
	if limit > 0 && waited > limit {
		c.endWait()
	}
}

// endWait makes the connection's read return.
func (c *conn) endWait() {
	if !c.expired.Swap(true) {
		c.nc.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection waits for nothing
	}
}

// enter begins a phase.
func (c *conn) enter(p phase) {
	c.since.Store(c.srv.now.Load())
	c.phase.Store(uint32(p))
}

// enterBody begins the receiving of a body.
func (c *conn) enterBody() {
	c.bodyRead.Store(0)
	c.enter(receiving)
}
