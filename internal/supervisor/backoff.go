package supervisor

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	firstDelay = 100 * time.Millisecond // before a process that has run for a while is started again
	minDelay   = time.Second            // before one that ended soon is
	maxDelay   = time.Minute
	longEnough = 30 * time.Second // a process that has run for so long did not end soon
)

// backoff decides when a process that has ended by itself is started again. The zero value is for one that never did.
type backoff struct {
	soon   int         // how often in a row it ended soon
	deaths []time.Time // within the time of Flapping
}

// next is how long to wait after an end at now of a process that had run for a time. flapping says that it has ended too often,
// and is to be left alone for that long; less than 0: for good.
func (b *backoff) next(now time.Time, ran time.Duration, f Flapping) (delay time.Duration, flapping bool) {
	b.deaths = slices.DeleteFunc(append(b.deaths, now), func(t time.Time) bool { return now.Sub(t) > f.Within })
	if len(b.deaths) >= f.Times {
		*b = backoff{}
		return f.RetryIn, true
	}
	if ran >= longEnough {
		b.soon = 0
		return firstDelay, false
	}
	b.soon++
	delay = min(minDelay<<min(b.soon-1, 10), maxDelay)
	// A quarter more or less, so that processes that ended together do not start together.
	return delay + time.Duration((rand.Float64()-0.5)*float64(delay)/2), false
}
