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
		p.served(now, now.Add(100*time.Microsecond))
	}
	if poke, wait := p.due(now.Add(400*time.Microsecond), 2); poke || wait != 600*time.Microsecond {
		t.Errorf("after 0.4 ms: poke %v, look again in %s", poke, wait)
	}
	for i := range 2 { // two threads sleep
		now = now.Add(pokeSoonest)
		if poke, _ := p.due(now, 2); !poke {
			t.Errorf("there was no poke %d", i)
		}
	}
	p.progress(now)
	if poke, _ := p.due(now.Add(pokeSoonest), 2); !poke {
		t.Error("after progress, silence means nothing any more")
	}
}

// A thread that woke too early to find anything sleeps again. Without another poke, what came later would wait for the
// request before it.
func TestPokesGoOnEverMoreRarely(t *testing.T) {
	var p pace
	began := time.Now()
	p.progress(began)
	var at []time.Duration
	for after := time.Duration(0); after < time.Minute; after += 500 * time.Microsecond {
		if poke, _ := p.due(began.Add(after), 2); poke {
			at = append(at, after)
		}
	}
	if len(at) < 60 || len(at) > 80 {
		t.Errorf("in a minute, %d pokes", len(at))
	}
	for i := 2; i < len(at); i++ {
		if at[i] > 3*at[i-1] {
			t.Errorf("between %s and %s nothing was done", at[i-1], at[i])
		}
	}
	p.progress(began.Add(time.Minute))
	if poke, _ := p.due(began.Add(time.Minute+pokeSoonest), 2); !poke {
		t.Error("after progress it is as slow as before it")
	}
	if poke, _ := p.due(began.Add(time.Hour), 0); poke {
		t.Error("with one thread there is nobody to wake")
	}
}

func TestSilenceOfASlowWorkerMeansNothingForAWhile(t *testing.T) {
	var p pace
	now := time.Now()
	p.progress(now)
	for range 50 {
		p.served(now, now.Add(3*time.Millisecond))
	}
	if poke, _ := p.due(now.Add(5*time.Millisecond), 4); poke {
		t.Error("it was poked after 5 ms, and its requests take 3")
	}
	for range 50 {
		p.served(now, now.Add(time.Hour))
	}
	if poke, _ := p.due(now.Add(pokeLatest), 4); !poke {
		t.Errorf("it was not poked after %s", pokeLatest)
	}
}

func TestASecondOfSeveralIsTimedFromTheEndOfTheFirst(t *testing.T) {
	p, now := pace{}, time.Now()
	for range 500 {
		began := now
		for range 10 { // given at once, done one after another
			now = now.Add(20 * time.Microsecond)
			p.served(began, now)
		}
		now = now.Add(time.Second) // without a request
	}
	if p.each < 18*time.Microsecond || p.each > 22*time.Microsecond {
		t.Errorf("each takes %s, it is said, and takes 20µs", p.each)
	}
	if p.service < 100*time.Microsecond {
		t.Errorf("each is there for %s, it is said, and is for 20 to 200µs", p.service)
	}
}
