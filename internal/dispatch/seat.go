package dispatch

import (
	"cmp"
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
	checkEvery   = 5 * time.Second  // memory, age and signs of life

	// settling is how long a replacement waits, to see whether it is worth its while: who sends a worker a TERM may be
	// sending one to all processes of the service, as systemd does.
	settling = 100 * time.Millisecond
)

// seat is a place for one worker, worker N. It boots one, waits for its end or for a reason to replace it, and boots
// the next. What follows is its goroutine's alone.
type seat struct {
	pool     *Pool
	index    int
	cfg      *Config // the generation of its worker, and of the next one should that die
	member   *member // the one that serves; nil: there is none just now
	failures int     // workers in a row that did not live long
	admitted int     // workers that it ever had; guarded by the pool's lock

	orders chan *order   // to replace the worker by one of another generation
	leave  chan struct{} // closed when the seat is given up
}

func newSeat(p *Pool, index int, cfg *Config) *seat {
	return &seat{pool: p, index: index, cfg: cfg, orders: make(chan *order), leave: make(chan struct{})}
}

// launch starts a worker and waits until it is ready. It gets no requests yet.
func (s *seat) launch(cfg *Config) (*member, error) {
	p := s.pool
	m := newMember(s, cfg)
	w, err := cfg.Launch(s.index, m)
	if err != nil {
		return nil, err
	}
	m.worker = w
	if err := w.Boot(cfg.BootTimeout, p.stop); err != nil {
		<-w.Exited()
		s.ended(m)
		return nil, err
	}
	p.log.Detail("Worker %d (PID: %d) booted in %.2fs, phase: %d", s.index, w.PID(), time.Since(w.Started).Seconds(), cfg.Phase, m.about("worker_booted"))
	return m, nil
}

// admit lets a worker that is ready have requests, as the seat's own.
func (s *seat) admit(m *member) {
	p := s.pool
	s.member = m
	p.mu.Lock()
	p.members = append(p.members, m)
	m.before = s.admitted
	s.admitted++
	p.mu.Unlock()
	// Beside the seat's work: that may be booting a successor for minutes when the worker dies.
	p.running.Go(func() {
		<-m.worker.Exited()
		p.bury(m)
	})
	p.fill(m)
}

// discard ends a worker that never got a request.
func (s *seat) discard(m *member) {
	m.worker.Kill()
	<-m.worker.Exited()
	s.ended(m)
}

// ended tells whoever launched a worker that it is gone, and never was the pool's.
func (s *seat) ended(m *member) {
	if m.cfg.Ended == nil {
		return
	}
	s.pool.mu.Lock()
	last := m.stats()
	s.pool.mu.Unlock()
	m.cfg.Ended(last)
}

// run keeps the seat taken until it is given up or the pool shuts down.
func (s *seat) run() {
	for s.turn() {
	}
	m := s.member
	if m == nil {
		return
	}
	exit := s.drain(m)
	if !s.pool.stopping() {
		s.pool.log.Detail("Worker %d (PID: %d) retired: fewer are wanted; it %s", m.worker.Index, m.worker.PID(), exit, m.about("worker_retired"))
	}
}

// turn waits for the next event in the seat's life and deals with it; false when that is over.
func (s *seat) turn() bool {
	var reboot, check <-chan time.Time
	var buried chan struct{}
	var retire chan retirement
	if m := s.member; m == nil {
		reboot = time.After(s.pause())
	} else {
		buried, retire = m.buried, m.retire
		if s.cfg.MemoryLimit > 0 || s.cfg.MaxAge > 0 || s.cfg.Timeout > 0 {
			check = time.After(cmp.Or(s.cfg.CheckEvery, checkEvery))
		}
	}
	select {
	case <-reboot:
		s.reboot()
	case <-buried:
		s.lost()
	case r := <-retire:
		s.replace(r)
	case <-check:
		if s.hears() {
			s.check()
		}
	case o := <-s.orders:
		s.follow(o)
	case <-s.leave:
		return false
	case <-s.pool.stop:
		return false
	}
	return true
}

// reboot tries to fill the seat.
func (s *seat) reboot() {
	if s.pool.stopping() {
		return
	}
	m, err := s.launch(s.cfg)
	switch {
	case err == nil:
		s.admit(m)
	case !s.pool.stopping():
		s.failed(err)
	}
}

// failed counts an attempt to boot that came to nothing.
func (s *seat) failed(err error) {
	s.failures++
	s.pool.log.Error("worker %d did not boot (attempt %d, next in about %s): %v", s.index, s.failures, s.backoff(), err, s.about("worker_not_booted", "attempt", s.failures))
}

// pause is the time before the next boot.
func (s *seat) pause() time.Duration {
	wait := s.backoff()
	if wait > 0 {
		// Seats whose workers died together should not boot together.
		wait += time.Duration(rand.Int64N(int64(wait)/4 + 1))
	}
	return wait
}

// wait lets time pass, unless the pool shuts down first.
func (s *seat) wait(d time.Duration) {
	select {
	case <-s.pool.stop:
	case <-time.After(d):
	}
}

// backoff is nothing after the first failure, and doubles from there.
func (s *seat) backoff() time.Duration {
	if s.failures < 2 {
		return 0
	}
	return min(backoffFirst<<min(s.failures-2, 16), backoffMost)
}

// lost handles a worker that ended by itself. One that has answered a request did boot: however often such workers are
// killed, their successors do not wait, since each of them can serve.
func (s *seat) lost() {
	m := s.member
	s.member = nil
	lived := time.Since(m.worker.Started)
	s.pool.mu.Lock()
	served := m.requests > 0
	s.pool.mu.Unlock()
	if lived > stableAfter || served {
		s.failures = 0
	}
	s.failures++
	s.pool.log.Error("%s (PID %d) %s after %s%s; replacing it", m.worker, m.worker.PID(), m.worker.Exit(), human(lived), m.legacy, m.about("worker_died"))
}

// replace puts a new worker of the same generation into the place of this one. A stuck worker gets no more requests from
// this moment; another one serves until its successor is ready, so that capacity never shrinks.
func (s *seat) replace(r retirement) {
	m := s.member
	if r.stuck {
		s.member = nil
		s.retire(m, r.reason)
		return
	}
	s.wait(settling)
	if s.pool.settled.Load() {
		return
	}
	select {
	case s.pool.rolling <- struct{}{}:
		defer func() { <-s.pool.rolling }()
	case o := <-s.orders: // a restart is under way: it replaces this worker, too
		m.ask(r)
		s.follow(o)
		return
	case <-m.buried:
		return
	case <-s.pool.stop:
		return
	}
	next, err := s.launch(s.cfg)
	if err != nil {
		if !s.pool.stopping() {
			s.failures++
			s.pool.log.Error("worker %d was to be replaced (%s), but its successor did not boot; the old one stays: %v", s.index, r.reason, err, m.about("worker_stays"))
			s.pool.postpone(m)
		}
		return
	}
	s.failures = 0
	s.admit(next)
	<-s.retire(m, r.reason)
}

// retire drains m beside the seat's work. The channel is closed when it is gone.
func (s *seat) retire(m *member, reason string) (gone <-chan struct{}) {
	s.pool.mu.Lock()
	m.rest()
	s.pool.mu.Unlock()
	over := make(chan struct{})
	s.pool.running.Go(func() {
		defer close(over)
		exit := s.drain(m)
		s.pool.log.Detail("Worker %d (PID: %d) retired: %s; it %s", m.worker.Index, m.worker.PID(), reason, exit, m.about("worker_retired"))
	})
	return over
}

// rest lets a member have no more requests. The pool's lock is held.
func (m *member) rest() {
	if m.state == serving {
		m.state = draining
	}
}

// drain gives m no more requests, lets it finish those it holds and waits for its end. It kills m when it takes longer
// than the drain timeout, or when only stuck threads are left: nobody waits for those.
func (s *seat) drain(m *member) worker.Exit {
	p := s.pool
	p.mu.Lock()
	m.rest()
	p.mu.Unlock()
	finished := false
	var late <-chan time.Time
	patience := p.config().DrainTimeout
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		p.mu.Lock()
		onlyStuck := m.stuck > 0 && m.stuck == min(m.held, m.cfg.Threads)
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
			p.log.Warn("killing %s (PID %d): it did not finish within %s (--shutdown-timeout)%s", m.worker, m.worker.PID(), patience, held, m.about("worker_killed"))
			m.worker.Kill()
		case <-look.C:
		}
	}
}

// hears asks the worker for a sign of life, and kills one that gave none for too long: its interpreter hangs, and with it
// all requests that it holds. What counts is how many questions it left unanswered, not the clock: that goes on while a
// machine is suspended.
func (s *seat) hears() bool {
	m := s.member
	if s.cfg.Timeout <= 0 {
		return true
	}
	if m.asked.IsZero() || !m.worker.LastCheckIn().Before(m.asked) {
		m.silent = 0
	} else {
		m.silent++
	}
	if time.Duration(m.silent)*cmp.Or(s.cfg.CheckEvery, checkEvery) >= s.cfg.Timeout {
		s.pool.mu.Lock()
		held := m.holdings()
		s.pool.mu.Unlock()
		s.pool.log.Error("killing %s (PID %d): its interpreter has not answered for %s (--worker-timeout)%s", m.worker, m.worker.PID(), s.cfg.Timeout, held, m.about("worker_killed"))
		m.worker.Kill()
		return false
	}
	if m.silent == 0 {
		m.asked = time.Now()
		m.worker.CheckIn()
	}
	return true
}

// check replaces a worker that has grown too large or too old.
func (s *seat) check() {
	m := s.member
	if age := time.Since(m.worker.Started); m.expires.tooOld(age) {
		s.replace(retirement{reason: fmt.Sprintf("it is %s old (--worker-max-age)", human(age))})
		return
	}
	if s.cfg.MemoryLimit <= 0 {
		return
	}
	pss, err := worker.PSS(m.worker.PID())
	if err != nil || pss <= s.cfg.MemoryLimit {
		return
	}
	reason := fmt.Sprintf("its memory (PSS) is %d MB, the limit %d MB (--worker-memory-limit)", pss>>20, s.cfg.MemoryLimit>>20)
	s.pool.log.Warn("replacing %s (PID %d): %s", m.worker, m.worker.PID(), reason, m.about("worker_replaced"))
	s.replace(retirement{reason: reason})
}

// bury takes a dead worker out of the pool. Requests it held whose responses had not begun are repeated, if that is
// safe or they were never begun, or fail; the others are cut.
func (p *Pool) bury(m *member) {
	defer close(m.buried)
	p.mu.Lock()
	if m.cfg.Ended != nil {
		defer m.cfg.Ended(m.stats())
	}
	m.state = gone
	for i, other := range p.members {
		if other == m {
			p.members = append(p.members[:i], p.members[i+1:]...)
			break
		}
	}
	m.legacy = m.holdings()
	heard := m.worker.Exit().Fault == nil // all that it said: what it has not answered is known
	var failed, cut []*Request
	for _, s := range m.youngest() {
		r := s.request
		if r == nil {
			continue
		}
		untouched := heard && m.untouched(s)
		s.request = nil
		r.slot = nil
		switch {
		case r.began:
			cut = append(cut, r)
		case (untouched || r.Repeatable && !r.retried) && !p.stopping() && rewind(r):
			r.retried = !untouched
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
