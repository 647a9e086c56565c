package dispatch

import (
	"context"

	"serval/internal/loop"
)

// Start boots all workers, and returns when one of them is ready: the others go on booting while that one serves, and Manned says when
// they have. A pool beside another one that serves (Config.Beside) is in no hurry; there Start returns when all are ready. If a worker
// fails before, Start stops the others and returns its error: with an app that does not load there is nothing to serve. One that fails
// later is tried again, like one that dies.
func (p *Pool) Start(ctx context.Context) error {
	alarm, err := loop.NewAlarm(p.poke)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.alarm = alarm
	p.mu.Unlock()
	n, enough, atOnce := len(p.seats), 1, len(p.seats)
	if p.config().Beside {
		enough, atOnce = n, gently()
	}
	f := &first{results: make(chan error, n), turns: make(chan struct{}, max(1, atOnce)), up: make(chan struct{})}
	p.trying.Store(int32(n))
	for _, s := range p.seats {
		p.running.Go(func() { s.start(f) })
	}
	if err := f.await(ctx, enough); err != nil {
		p.halt()
		p.running.Wait()
		return err
	}
	p.mu.Lock()
	p.monitored = true
	p.mu.Unlock()
	p.running.Go(p.monitor)
	close(f.up)
	return nil
}

// Manned is closed when every seat has a worker that is ready, or has failed to boot one.
func (p *Pool) Manned() <-chan struct{} { return p.manned }

// first is what the seats have in common while their first workers boot.
type first struct {
	results chan error
	turns   chan struct{} // holds a token for each that boots
	up      chan struct{} // closed when the pool has started
}

// await returns when enough workers are ready, or one of them is not going to be.
func (f *first) await(ctx context.Context, enough int) error {
	for range enough {
		select {
		case err := <-f.results:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// start boots the seat's first worker, and runs the seat once the pool has started.
func (s *seat) start(f *first) {
	err := s.bootFirst(f)
	f.results <- err
	if s.pool.trying.Add(-1) == 0 {
		close(s.pool.manned)
	}
	select {
	case <-f.up:
	case <-s.pool.stop:
	}
	select {
	case <-f.up: // it has started, even if it is over by now
	default:
		s.abandon()
		return
	}
	if err != nil && !s.pool.stopping() {
		s.failed(err)
	}
	s.run()
}

func (s *seat) bootFirst(f *first) error {
	f.turns <- struct{}{}
	defer func() { <-f.turns }()
	if s.pool.stopping() {
		return ErrStopping
	}
	m, err := s.launch(s.cfg)
	if err == nil {
		s.admit(m)
	}
	return err
}

// abandon ends the worker of a seat that never ran.
func (s *seat) abandon() {
	if s.member != nil {
		s.member.worker.Kill()
		<-s.member.buried
	}
}
