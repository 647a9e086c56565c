package dispatch

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"serval/internal/worker"
)

const (
	backoffFirst = 250 * time.Millisecond
	backoffMost  = 30 * time.Second
	stableAfter  = 30 * time.Second // a worker that lived so long was no failure to boot
	memoryEvery  = 5 * time.Second

	// settling is how long a replacement waits, to see whether it is worth its while: who sends a worker a TERM may be
	// sending one to all processes of the service, as systemd does.
	settling = 100 * time.Millisecond
)

// seat is a place for one worker, worker N. It boots one, waits for its end or for a reason to replace it, and boots
// the next.
type seat struct {
	pool     *Pool
	index    int
	member   *member // the one that serves; the seat's goroutine alone sets it
	failures int     // workers in a row that did not live long
}

// bootFirst boots the seat's first worker.
func (s *seat) bootFirst() (err error) {
	s.member, err = s.boot()
	return err
}

// abandon ends the worker of a seat that never ran.
func (s *seat) abandon() {
	if s.member != nil {
		s.member.worker.Kill()
		<-s.member.buried
	}
}

// boot starts a worker, waits until it is ready and lets it have requests.
func (s *seat) boot() (*member, error) {
	p := s.pool
	m := newMember(p, s, p.cfg.Threads)
	started := time.Now()
	w, err := p.cfg.Launch(s.index, m)
	if err != nil {
		return nil, err
	}
	m.worker = w
	if err := w.Boot(p.cfg.BootTimeout, p.stop); err != nil {
		<-w.Exited()
		return nil, err
	}
	p.cfg.Log.Detail("Worker %d (PID: %d) booted in %.2fs, phase: 0", s.index, w.PID(), time.Since(started).Seconds())
	p.mu.Lock()
	p.members = append(p.members, m)
	p.mu.Unlock()
	// Beside the seat's work: that may be booting a successor for minutes when the worker dies.
	p.running.Go(func() {
		<-w.Exited()
		p.bury(m)
	})
	p.fill(m)
	return m, nil
}

// run keeps the seat taken until the pool shuts down.
func (s *seat) run() {
	for {
		if s.member == nil && !s.reboot() {
			return
		}
		m := s.member
		select {
		case <-m.buried:
			s.member = nil
			s.lost(m)
		case r := <-m.retire:
			s.replace(m, r)
		case <-s.memoryCheck():
			s.checkMemory(m)
		case <-s.pool.stop:
			s.finish(m)
			return
		}
	}
}

// reboot boots a worker, again and again with growing pauses; false when the pool shuts down first.
func (s *seat) reboot() bool {
	for {
		if !s.pause() {
			return false
		}
		m, err := s.boot()
		if err == nil {
			s.member = m
			return true
		}
		if s.pool.stopping() {
			return false
		}
		s.failures++
		s.pool.cfg.Log.Error("worker %d did not boot (attempt %d, next in about %s): %v", s.index, s.failures, s.backoff(), err)
	}
}

// pause waits before the next boot; false when the pool shuts down.
func (s *seat) pause() bool {
	wait := s.backoff()
	if wait > 0 {
		// Seats whose workers died together should not boot together.
		wait += time.Duration(rand.Int64N(int64(wait)/4 + 1))
	}
	return s.wait(wait)
}

// wait lets time pass; false when the pool shuts down first.
func (s *seat) wait(d time.Duration) bool {
	select {
	case <-s.pool.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// backoff is nothing after the first failure, and doubles from there.
func (s *seat) backoff() time.Duration {
	if s.failures < 2 {
		return 0
	}
	return min(backoffFirst<<min(s.failures-2, 16), backoffMost)
}

// lost handles a worker that ended by itself.
func (s *seat) lost(m *member) {
	lived := time.Since(m.worker.Started)
	if lived > stableAfter {
		s.failures = 0
	}
	s.failures++
	s.pool.cfg.Log.Error("%s (PID %d) %s after %s%s; replacing it", m.worker, m.worker.PID(), m.worker.Exit(), human(lived), m.legacy)
}

// replace puts a new worker into the place of m. A stuck worker gets no more requests from this moment; another one
// serves until its successor is ready, so that capacity never shrinks.
func (s *seat) replace(m *member, r retirement) {
	if r.stuck {
		s.retire(m, r.reason)
		s.member = nil
		return
	}
	s.wait(settling)
	if s.pool.settled.Load() {
		return
	}
	next, err := s.boot()
	if err != nil {
		if !s.pool.stopping() {
			s.failures++
			s.pool.cfg.Log.Error("worker %d was to be replaced (%s), but its successor did not boot; the old one stays: %v", s.index, r.reason, err)
			s.pause()
		}
		return
	}
	s.failures = 0
	s.retire(m, r.reason)
	s.member = next
}

// retire drains m beside the seat's work.
func (s *seat) retire(m *member, reason string) {
	s.pool.running.Go(func() {
		exit := s.drain(m)
		s.pool.cfg.Log.Detail("Worker %d (PID: %d) retired: %s; it %s", m.worker.Index, m.worker.PID(), reason, exit)
	})
}

// finish drains m for good.
func (s *seat) finish(m *member) { s.drain(m) }

// drain gives m no more requests, lets it finish those it holds and waits for its end. It kills m when it takes longer
// than the drain timeout, or when only stuck threads are left: nobody waits for those.
func (s *seat) drain(m *member) worker.Exit {
	p := s.pool
	p.mu.Lock()
	m.state = draining
	p.mu.Unlock()
	finished := false
	var late <-chan time.Time
	if p.cfg.DrainTimeout > 0 {
		timer := time.NewTimer(p.cfg.DrainTimeout)
		defer timer.Stop()
		late = timer.C
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		p.mu.Lock()
		onlyStuck := m.stuck > 0 && m.held == m.stuck
		p.mu.Unlock()
		if onlyStuck {
			m.worker.Kill()
		} else if !finished {
			finished = true
			m.worker.Finish()
		}
		select {
		case <-m.buried:
			return m.worker.Exit()
		case <-late:
			p.mu.Lock()
			held := m.holdings()
			p.mu.Unlock()
			p.cfg.Log.Warn("killing %s (PID %d): it did not finish within %s (--shutdown-timeout)%s", m.worker, m.worker.PID(), p.cfg.DrainTimeout, held)
			m.worker.Kill()
		case <-look.C:
		}
	}
}

// memoryCheck ticks when the worker's memory should be looked at.
func (s *seat) memoryCheck() <-chan time.Time {
	if s.pool.cfg.MemoryLimit <= 0 {
		return nil
	}
	return time.After(memoryEvery)
}

func (s *seat) checkMemory(m *member) {
	pss, err := worker.PSS(m.worker.PID())
	if err != nil || pss <= s.pool.cfg.MemoryLimit {
		return
	}
	reason := fmt.Sprintf("its memory (PSS) is %d MB, the limit %d MB (--worker-memory-limit)", pss>>20, s.pool.cfg.MemoryLimit>>20)
	s.pool.cfg.Log.Warn("replacing %s (PID %d): %s", m.worker, m.worker.PID(), reason)
	s.replace(m, retirement{reason: reason})
}

// bury takes a dead worker out of the pool. Requests it held whose responses had not begun are repeated, if that is
// safe, or fail; the others are cut.
func (p *Pool) bury(m *member) {
	defer close(m.buried)
	p.mu.Lock()
	m.state = gone
	for i, other := range p.members {
		if other == m {
			p.members = append(p.members[:i], p.members[i+1:]...)
			break
		}
	}
	m.legacy = m.holdings()
	var failed, cut []*Request
	for i := len(m.slots) - 1; i >= 0; i-- {
		r := m.slots[i].request
		m.slots[i].request = nil
		if r == nil {
			continue
		}
		r.slot = nil
		switch {
		case r.began:
			cut = append(cut, r)
		case r.Repeatable && !r.retried && !p.stopping() && rewind(r):
			r.retried = true
			p.queue.pushFront(r)
			p.lookBy(time.Now().Add(lookEvery))
		default:
			failed = append(failed, r)
		}
	}
	// Workers often die together, by the same hand. What is to be repeated should not go to one that is dead as well.
	for _, other := range p.members {
		if other.worker.Dead() {
			other.state = draining
		}
	}
	others := append([]*member(nil), p.members...)
	p.mu.Unlock()

	for _, r := range cut {
		r.Responder.End(false)
	}
	for _, r := range failed {
		r.Responder.Fail(502, "its worker died before it answered")
	}
	for _, other := range others {
		p.fill(other)
	}
}

// rewind makes the body of a request readable again; the dead worker shared its position in the file.
func rewind(r *Request) bool {
	if r.Body == nil {
		return true
	}
	_, err := r.Body.Seek(0, 0)
	return err == nil
}

// holdings says in words what a member holds. The pool's lock is held.
func (m *member) holdings() string {
	var held []string
	for i := range m.slots {
		s := &m.slots[i]
		if s.id == 0 {
			continue
		}
		line := s.line
		if s.request != nil {
			line = string(s.request.Line)
		}
		if line == "" {
			line = "a request whose client is gone or answered"
		}
		held = append(held, fmt.Sprintf("%s (%s)", line, human(time.Since(s.since))))
	}
	switch len(held) {
	case 0:
		return ", holding no request"
	case 1:
		return ", holding 1 request: " + held[0]
	}
	return fmt.Sprintf(", holding %d requests: %s", len(held), strings.Join(held, ", "))
}

func human(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
