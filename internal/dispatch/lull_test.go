package dispatch

import (
	"testing"
	"time"
)

// crowd is a pool with a request in the queue and two workers of five threads, whose requests take so long each, one after another.
func crowd(each time.Duration) *Pool {
	p := New(Config{Workers: 1, Threads: 5})
	for range 2 {
		m := newMember(p.seats[0], p.config())
		m.held = 5
		m.pace.each = each
		p.members = append(p.members, m)
	}
	p.queue.push(&Request{})
	return p
}

func TestTheFrontRestsWhileWorkersHaveEnoughToCompute(t *testing.T) {
	for each, want := range map[time.Duration]time.Duration{
		10 * time.Microsecond:  0, // they would run dry
		300 * time.Microsecond: 600 * time.Microsecond,
		20 * time.Millisecond:  lullMost,
	} {
		if got := crowd(each).lull(); got != want {
			t.Errorf("with requests of %s each, the lull is %s, want %s", each, got, want)
		}
	}
}

func TestTheFrontDoesNotRestWhenAWorkerNeedsIt(t *testing.T) {
	for what, change := range map[string]func(m *member){
		"waits for something else":  func(m *member) { m.eager = true },
		"has a single request":      func(m *member) { m.held = 1 },
		"has a thread that hangs":   func(m *member) { m.stuck = 1 },
		"has many that take little": func(m *member) { m.held, m.pace.each = 21, 40*time.Microsecond },
	} {
		p := crowd(time.Millisecond)
		change(p.members[1])
		if got := p.lull(); got != 0 {
			t.Errorf("when a worker %s, the lull is %s", what, got)
		}
		p.members[1].state = draining
		if got := p.lull(); got == 0 {
			t.Errorf("when a worker that gets no more %s, there is no lull", what)
		}
	}
}

func TestARestIsToldOnceAndOnlyWhileRequestsWait(t *testing.T) {
	p := crowd(time.Millisecond)
	p.rest.Store(int64(lullMost))
	if crowded, rest := p.Crowded(); !crowded || rest != lullMost {
		t.Errorf("crowded %t, rest %s", crowded, rest)
	}
	if crowded, rest := p.Crowded(); !crowded || rest != 0 {
		t.Errorf("told again: crowded %t, rest %s", crowded, rest)
	}
	p.rest.Store(int64(lullMost))
	p.queue.pop()
	if crowded, rest := p.Crowded(); crowded || rest != 0 {
		t.Errorf("with no request in the queue: crowded %t, rest %s", crowded, rest)
	}
}
