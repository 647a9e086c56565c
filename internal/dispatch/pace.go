package dispatch

import "time"

const (
	// pokeSoonest is how long a worker that holds requests may say nothing, at least, before another of its threads is
	// woken. A wake-up too early costs switches of Ruby's lock, and the front a wake-up of its own.
	pokeSoonest = time.Millisecond

	// pokeLatest is how long it may say nothing at most: what a request that suddenly blocks may cost the one behind it.
	pokeLatest = 10 * time.Millisecond

	// pokeRarest is how far apart pokes are at last, when nothing comes of them.
	pokeRarest = time.Second
)

// pace is how a worker gets on with its requests. It decides when silence means that a thread is blocked, and another one
// should be woken: a millisecond says that of an app that answers in a fraction of one, and nothing of an app that
// takes five.
type pace struct {
	service time.Duration // how long a request is in the worker, smoothed
	each    time.Duration // how long the worker takes for one of several, smoothed
	freed   time.Time     // when it was done with the last
	heard   time.Time     // when the worker was last given something, said something, or was poked
	pokes   int           // since it was last given something or said something
}

// progress notes that the worker was given something or said something.
func (p *pace) progress(now time.Time) {
	p.heard = now
	p.pokes = 0
}

// served notes that a request, given at that time, is done.
func (p *pace) served(given, now time.Time) {
	p.service += (now.Sub(given) - p.service) / 8
	began := given
	if p.freed.After(given) {
		began = p.freed
	}
	p.each += (now.Sub(began) - p.each) / 32
	p.freed = now
}

// patience is how long silence means nothing.
func (p *pace) patience() time.Duration {
	return min(max(2*p.service, pokeSoonest), pokeLatest)
}

// due says whether to poke now, and when to look again. most is how many threads there are to wake. When all of them have
// been, it goes on, ever more rarely: on a busy machine a thread may have woken before there was anything to take, while
// the one that then took it came later.
func (p *pace) due(now time.Time, most int) (poke bool, wait time.Duration) {
	if most == 0 {
		return false, pokeRarest
	}
	patience := p.patience()
	if p.pokes >= most {
		patience = min(patience<<min(p.pokes-most+1, 10), pokeRarest)
	}
	if quiet := now.Sub(p.heard); quiet < patience {
		return false, patience - quiet
	}
	p.heard = now
	p.pokes++
	return true, patience
}
