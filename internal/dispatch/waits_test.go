package dispatch

import (
	"testing"
	"time"
)

func TestThePoolKnowsHowLongRequestsWaited(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	gate := newFlag(t)
	first := ask(p, "GET", "/hold", string(gate))
	second, third := ask(p, "GET", "/pid", ""), ask(p, "GET", "/pid", "")
	time.Sleep(50 * time.Millisecond) // that they wait at least
	gate.raise()
	for _, a := range []*answer{first, second, third} {
		a.wait(t)
	}
	minute, all, longest := p.Waits(0.3, 0.99)
	if minute.Count != 3 || all.Count != 3 || longest != 2 {
		t.Errorf("%d and %d waited, at most %d at once", minute.Count, all.Count, longest)
	}
	if p := all.Percentiles; p[0] > 10*time.Millisecond || p[1] < 50*time.Millisecond {
		t.Errorf("the percentiles are %v", p)
	}
	if _, _, longest := p.Waits(); longest != 0 {
		t.Errorf("then the queue was %d long", longest)
	}
	if s := p.Stats(); s.Finished != 3 || s.Workers[0].Requests != 3 || s.Workers[0].Restarts != 0 {
		t.Errorf("the statistics are %+v", s)
	}
	if err := p.Phased(*p.config(), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); s.Finished != 3 || s.Workers[0].Requests != 0 || s.Workers[0].Restarts != 1 {
		t.Errorf("after a restart the statistics are %+v", s)
	}
}
