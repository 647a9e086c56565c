package dispatch

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
)

// Progress is a step of a restart.
type Progress struct {
	Step  Step
	Index int // of the worker
	PID   int // of the worker
	Done  int // workers of the new generation that are at this step
	Total int
}

// Step is what has come about in a restart.
type Step int

// The steps, in the order in which a worker goes through them.
const (
	Booted  Step = iota // a worker of the new generation is ready
	Serving             // it gets the requests
	Retired             // the worker that it replaced is gone
)

func (s Step) String() string { return [...]string{"booted", "serving", "retired"}[s] }

// ErrStopping is the error of a restart which the end of the pool overtook.
var ErrStopping = errors.New("the server is stopping")

// order has a seat boot a worker of another generation, and then, when whoever gave it says so, change over to it.
type order struct {
	seat   *seat
	cfg    *Config
	booted chan error      // says that the successor is ready, or why not
	commit chan bool       // says whether it is to take over
	pid    int             // of the successor, once booted
	gone   <-chan struct{} // closed when the predecessor is gone; set when the seat has changed over
	done   chan struct{}   // closed when the seat has done what commit says
}

func newOrder(s *seat, cfg *Config) *order {
	return &order{seat: s, cfg: cfg, booted: make(chan error, 1), commit: make(chan bool, 1), done: make(chan struct{})}
}

// follow carries out an order. It runs on the seat's goroutine.
func (s *seat) follow(o *order) {
	defer close(o.done)
	next, err := s.launch(o.cfg)
	if err != nil {
		o.booted <- err
		return
	}
	o.pid = next.worker.PID()
	o.booted <- nil
	if !<-o.commit {
		s.discard(next)
		return
	}
	old := s.member
	s.cfg, s.failures = o.cfg, 0
	s.admit(next)
	if old != nil {
		o.gone = s.retire(old, "replaced by a restart")
	}
}

// Phased replaces all workers by ones of the generation next, one after the other, each as soon as its successor is
// ready: so there is one worker more than usual at most. When one does not boot, those that were replaced are replaced
// back, and its error is returned. Only one restart runs at a time; another one waits.
func (p *Pool) Phased(next Config, report func(Progress)) error {
	if !p.begin() {
		return ErrStopping
	}
	defer p.end()
	before := p.config()
	next.Workers = before.Workers // as TTIN and TTOU left it
	seats := p.places()
	for i, s := range seats {
		if err := p.change(s, &next, i, len(seats), report); err != nil {
			p.back(seats[:i], before)
			return err
		}
	}
	p.cfg.Store(&next)
	return nil
}

// back has seats return to an earlier generation, as far as that still boots.
func (p *Pool) back(seats []*seat, before *Config) {
	for i, s := range seats {
		if err := p.change(s, before, i, len(seats), func(Progress) {}); err != nil && !p.stopping() {
			p.log.Error("worker %d stays as it is, since the release before does not boot any more: %v", s.index, err, s.about("worker_stays"))
		}
	}
}

// change has one seat change to another generation, and waits until the old worker is gone.
func (p *Pool) change(s *seat, next *Config, at, total int, report func(Progress)) error {
	o := newOrder(s, next)
	if err := p.boot(o); err != nil {
		return err
	}
	step := Progress{Index: s.index, PID: o.pid, Done: at + 1, Total: total}
	report(step)
	o.commit <- true
	<-o.done
	step.Step = Serving
	report(step)
	if o.gone != nil {
		<-o.gone
	}
	step.Step = Retired
	report(step)
	return nil
}

// boot gives an order to its seat and waits until the worker has booted.
func (p *Pool) boot(o *order) error {
	if p.settled.Load() {
		return ErrStopping
	}
	select {
	case o.seat.orders <- o:
		return <-o.booted
	case <-p.stop:
		return ErrStopping
	}
}

// Hot replaces all workers by ones of the generation next at once, when all of these are ready, and takes over its
// limits and its number of workers. When one does not boot, nothing has changed, and its error is returned. It returns
// when the new workers serve; the old ones finish what they hold.
func (p *Pool) Hot(next Config, report func(Progress)) error {
	if !p.begin() {
		return ErrStopping
	}
	defer p.end()
	staying, leaving, coming := p.rearrange(&next)
	seats := slices.Concat(staying, coming)
	orders, err := p.bootAll(seats, &next, report)
	for _, o := range orders {
		o.commit <- err == nil
	}
	if err != nil {
		for _, s := range coming {
			close(s.leave)
		}
		return err
	}
	p.cfg.Store(&next)
	p.mu.Lock()
	p.seats = seats
	p.mu.Unlock()
	for i, o := range orders {
		<-o.done
		report(Progress{Step: Serving, Index: o.seat.index, PID: o.pid, Done: i + 1, Total: len(seats)})
	}
	for _, s := range leaving {
		close(s.leave)
	}
	return nil
}

// rearrange says which seats stay and which leave when there are to be so many as next says, and makes those that come.
func (p *Pool) rearrange(next *Config) (staying, leaving, coming []*seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.seats), next.Workers)
	staying, leaving = slices.Clone(p.seats[:n]), slices.Clone(p.seats[n:])
	for i := n; i < next.Workers; i++ {
		s := newSeat(p, p.freeIndex(coming), next)
		coming = append(coming, s)
		p.running.Go(func() {
			// It has no worker until the order comes, and no reason to boot one before.
			select {
			case o := <-s.orders:
				s.follow(o)
			case <-s.leave:
			case <-p.stop:
			}
			if s.member != nil {
				s.run()
			}
		})
	}
	return staying, leaving, coming
}

// freeIndex is the lowest number that no seat has. The lock is held.
func (p *Pool) freeIndex(more []*seat) int {
	for i := 0; ; i++ {
		has := func(s *seat) bool { return s.index == i }
		if !slices.ContainsFunc(p.seats, has) && !slices.ContainsFunc(more, has) {
			return i
		}
	}
}

// gently is how many workers may boot at a time while others serve, which need processors, too.
func gently() int { return max(1, runtime.NumCPU()/2) }

// bootAll boots a worker for each seat, and returns the orders of those that booted. They wait for their commit. Not all
// boot at the same time: the workers that serve need processors, too.
func (p *Pool) bootAll(seats []*seat, next *Config, report func(Progress)) (orders []*order, err error) {
	type result struct {
		order *order
		err   error
	}
	results := make(chan result, len(seats))
	turns := make(chan struct{}, gently())
	failed := make(chan struct{})
	for _, s := range seats {
		go func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			o := newOrder(s, next)
			select {
			case <-failed:
				results <- result{o, ErrStopping}
			default:
				results <- result{o, p.boot(o)}
			}
		}()
	}
	for range seats {
		r := <-results
		switch {
		case r.err == nil:
			orders = append(orders, r.order)
			report(Progress{Step: Booted, Index: r.order.seat.index, PID: r.order.pid, Done: len(orders), Total: len(seats)})
		case err == nil:
			err = r.err
			close(failed)
		}
	}
	return orders, err
}

// Scale adds a worker (by 1) or takes one away (by -1), and returns how many there are then. One stays in any case.
func (p *Pool) Scale(by int) (int, error) {
	if !p.begin() {
		return 0, ErrStopping
	}
	defer p.end()
	if by > 0 {
		return p.grow()
	}
	return p.shrink()
}

func (p *Pool) grow() (int, error) {
	next := *p.config()
	next.Workers++
	if next.Workers > maxWorkers {
		return next.Workers - 1, fmt.Errorf("there are %d workers already, which is the most", next.Workers-1)
	}
	_, _, coming := p.rearrange(&next)
	s := coming[0]
	orders, err := p.bootAll(coming, &next, func(Progress) {})
	if err != nil {
		close(s.leave)
		return next.Workers - 1, err
	}
	p.cfg.Store(&next)
	p.mu.Lock()
	p.seats = append(p.seats, s)
	p.mu.Unlock()
	orders[0].commit <- true
	<-orders[0].done
	return next.Workers, nil
}

// maxWorkers is the most that config allows.
const maxWorkers = 1024

func (p *Pool) shrink() (int, error) {
	next := *p.config()
	if next.Workers == 1 {
		return 1, errors.New("there is one worker only, and one has to stay")
	}
	next.Workers--
	p.cfg.Store(&next)
	p.mu.Lock()
	at := p.oldestOrYoungest(next.CullOldest)
	s := p.seats[at]
	p.seats = slices.Delete(p.seats, at, at+1)
	p.mu.Unlock()
	close(s.leave)
	return next.Workers, nil
}

// oldestOrYoungest finds the seat whose worker has lived longest or shortest. The lock is held.
func (p *Pool) oldestOrYoungest(oldest bool) int {
	at := len(p.seats) - 1
	if !oldest {
		return at
	}
	first := -1
	for i, s := range p.seats {
		for _, m := range p.members {
			if m.seat == s && m.state == serving && (first < 0 || m.worker.Started.Before(p.members[first].worker.Started)) {
				first = slices.Index(p.members, m)
				at = i
			}
		}
	}
	return at
}

// places are the seats there are.
func (p *Pool) places() []*seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seats)
}

// begin waits until no worker is being replaced and no other restart runs; false when the pool shuts down first.
func (p *Pool) begin() bool {
	select {
	case p.rolling <- struct{}{}:
		if p.settled.Load() || p.stopping() {
			p.end()
			return false
		}
		return true
	case <-p.stop:
		return false
	}
}

func (p *Pool) end() { <-p.rolling }
