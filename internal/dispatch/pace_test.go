package dispatch

import (
	"testing"
	"time"
)

func TestSilenceOfAQuickWorkerMeansThatItIsBlocked(t *testing.T) {
	var p pace
	now := time.Now()
	p.progress(now)
	for range 50 {
		p.served(100 * time.Microsecond)
	}
	if poke, wait := p.due(now.Add(400*time.Microsecond), 2); poke || wait != 600*time.Microsecond {
		t.Errorf("after 0.4 ms: poke %v, look again in %s", poke, wait)
	}
	for i, want := range []bool{true, true, false} { // two threads sleep
		now = now.Add(pokeSoonest)
		if poke, _ := p.due(now, 2); poke != want {
			t.Errorf("poke %d: %v", i, poke)
		}
	}
	p.progress(now)
	if poke, _ := p.due(now.Add(pokeSoonest), 2); !poke {
		t.Error("after progress, silence means nothing any more")
	}
}

func TestSilenceOfASlowWorkerMeansNothingForAWhile(t *testing.T) {
	var p pace
	now := time.Now()
	p.progress(now)
	for range 50 {
		p.served(3 * time.Millisecond)
	}
	if poke, _ := p.due(now.Add(5*time.Millisecond), 4); poke {
		t.Error("it was poked after 5 ms, and its requests take 3")
	}
	for range 50 {
		p.served(time.Hour)
	}
	if poke, _ := p.due(now.Add(pokeLatest), 4); !poke {
		t.Errorf("it was not poked after %s", pokeLatest)
	}
}
