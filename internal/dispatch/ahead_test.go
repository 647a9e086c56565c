package dispatch

import (
	"os"
	"testing"
	"time"
)

// brisk has all workers pass for such whose requests take microseconds.
func brisk(p *Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		m.pace.each = 10 * time.Microsecond
	}
}

func TestAWorkerIsGivenRequestsAheadWhileTheyTakeMicroseconds(t *testing.T) {
	for what, c := range map[string]struct {
		change func(m *member, r *Request)
		want   bool
	}{
		"is all that there is":                             {func(*member, *Request) {}, true},
		"takes a millisecond for each":                     {func(m *member, _ *Request) { m.pace.each = time.Millisecond }, false},
		"takes a millisecond for each, but has a thread":   {func(m *member, _ *Request) { m.pace.each, m.held = time.Millisecond, 4 }, true},
		"waits for something else":                         {func(m *member, _ *Request) { m.eager = true }, false},
		"has a thread that hangs":                          {func(m *member, _ *Request) { m.stuck = 1 }, false},
		"has enough":                                       {func(m *member, _ *Request) { m.held = 5 + aheadMost }, false},
		"has one thread, as another does":                  {func(m *member, _ *Request) { m.cfg.Threads, m.held = 1, 1 }, false},
		"has one thread and is alone":                      {func(m *member, _ *Request) { m.cfg.Threads, m.held, m.pool.members = 1, 1, m.pool.members[:1] }, true},
		"would get what was in a dead one already":         {func(_ *member, r *Request) { r.retried = true }, false},
		"gets a body file":                                 {func(_ *member, r *Request) { r.Body = os.Stdin }, false},
		"would leave nothing to the other":                 {func(m *member, _ *Request) { m.pool.queue.len = 1 }, false},
		"would take half of what waits, and has that much": {func(m *member, _ *Request) { m.held = 5 + 4 }, false},
	} {
		p := crowd(10 * time.Microsecond)
		for range 7 {
			p.queue.push(&Request{})
		}
		m, r := p.members[0], &Request{}
		cfg := *m.cfg
		m.cfg = &cfg
		c.change(m, r)
		if got := m.room(r); got != c.want {
			t.Errorf("a worker that %s has room: %t", what, got)
		}
	}
}

// ahead has a worker of one thread run the first request, and hold the others. It returns them.
func ahead(t *testing.T, p *Pool, what string, others int) (first *answer, behind []*answer) {
	t.Helper()
	before := newFlag(t)
	busy := ask(p, "GET", "/hold", string(before))
	first = ask(p, "GET", what, "")
	for i := range others {
		behind = append(behind, ask(p, []string{"GET", "POST"}[i%2], "/pid", ""))
	}
	brisk(p)
	before.raise()
	busy.wait(t)
	p.mu.Lock()
	held := p.members[0].held
	p.mu.Unlock()
	if held < 2 {
		t.Fatalf("the worker holds %d requests", held)
	}
	return first, behind
}

func TestAStuckRequestCostsNobodyWhoWasGivenAhead(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 100, RequestTimeout: 500 * time.Millisecond})
	first, behind := ahead(t, p, "/stuck", 5)
	if status, why := first.wait(t); status != 504 {
		t.Errorf("what is stuck got %d %s", status, why)
	}
	for _, a := range behind {
		if status, body := a.wait(t); status != 200 {
			t.Errorf("one that waited in the worker got %d %s", status, body)
		}
	}
}

// A request that kills its worker does so twice. Those behind it were never begun, so a second death is their first.
func TestARequestThatKillsItsWorkersCostsNobodyWhoWasGivenAhead(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 100})
	first, behind := ahead(t, p, "/die", 5)
	for over := false; !over; {
		select {
		case <-first.done:
			over = true
		case <-time.After(time.Millisecond):
			brisk(p) // the next worker, too
		}
	}
	if status, _ := first.wait(t); status != 502 {
		t.Errorf("what kills its worker got %d", status)
	}
	for _, a := range behind {
		if status, body := a.wait(t); status != 200 {
			t.Errorf("one that waited in the worker got %d %s", status, body)
		}
	}
}
