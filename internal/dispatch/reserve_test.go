package dispatch

import (
	"testing"
	"time"
)

func TestAThreadIsKeptForQuickRequestsWhileTheyCome(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		change func(p *Pool)
		want   bool
	}{
		"all threads but one have slow ones":   {func(*Pool) {}, false},
		"two threads are left":                 {func(p *Pool) { p.members[0].slow = 4 }, true},
		"no quick one has come for a while":    {func(p *Pool) { p.quickAt = now.Add(-reserveFor) }, true},
		"no slow one was done for a long time": {func(p *Pool) { p.slowAt = now.Add(-reserveLent) }, true},
		"there are few threads": {func(p *Pool) {
			p.members, p.members[0].cfg, p.members[0].slow = p.members[:1], &Config{Threads: reserveFrom - 1}, reserveFrom-2
		}, true},
		"the others are in a worker that gets no more": {func(p *Pool) { p.members[0].slow, p.members[1].state = 3, draining }, true},
	} {
		p := crowd(time.Millisecond)
		p.quickAt, p.slowAt = now, now
		p.members[0].slow, p.members[1].slow = 5, 4
		c.change(p)
		if got := p.admitsSlow(now); got != c.want {
			t.Errorf("when %s, another slow one gets a thread: %t", what, got)
		}
	}
}

// Twelve requests that take long, for four threads: one that takes a moment does not wait for any of them, and when no such comes any
// more, they have all threads.
func TestAQuickRequestDoesNotWaitForSlowOnes(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 2, Threads: 2, QueueLimit: 100})
	for range 20 { // so it is known what these take, and that they get on
		slow := []*answer{ask(p, "GET", "/nap", ""), ask(p, "GET", "/nap", "")}
		slow[0].wait(t)
		slow[1].wait(t)
	}
	ask(p, "GET", "/pid", "").wait(t)
	hold, slow := newFlag(t), []*answer(nil)
	for range 12 {
		slow = append(slow, ask(p, "GET", "/nap", string(hold)))
	}
	for range 5 {
		if status, body := ask(p, "GET", "/pid", "").wait(t); status != 200 {
			t.Fatalf("a quick request got %d %s", status, body)
		}
	}
	if s := p.Stats(); s.Held != 3 || s.Queued != 9 {
		t.Errorf("of twelve slow requests, %d run and %d wait, want 3 and 9", s.Held, s.Queued)
	}
	eventually(t, "the last thread is lent when no quick request comes", func() bool { return p.Stats().Held == 4 })
	hold.raise()
	for _, a := range slow {
		if status, body := a.wait(t); status != 200 {
			t.Errorf("a slow request got %d %s", status, body)
		}
	}
}
