package dispatch

import "time"

const (
	lullLeast = 200 * time.Microsecond // a shorter one saves less than going to sleep for it costs
	lullMost  = time.Millisecond       // which a request that waits in a queue may well wait longer
	lullEach  = 50 * time.Microsecond  // what requests take at least that it may rest
)

// Crowded says whether requests wait for a thread: one more would only join them. rest is how long the workers can do without the
// front meanwhile. Each answer and each new request that the front attends to at once takes the processor from a worker that
// computes; after a rest it attends to several of them. A rest is told once, after an answer.
func (p *Pool) Crowded() (crowded bool, rest time.Duration) {
	if !p.queue.some.Load() {
		return false, 0
	}
	return true, time.Duration(p.rest.Swap(0))
}

// lull is how long all workers can do without the front. The lock is held.
func (p *Pool) lull() time.Duration {
	least := lullMost
	for _, m := range p.members {
		if m.state == serving {
			least = min(least, m.lull())
		}
	}
	if least < lullLeast {
		return 0
	}
	return least
}

// lull is half of the time for which m has requests to run one after another. It is nothing when they wait for something else
// than the processor: then they run side by side, and each that ends leaves a thread idle. Nor when they take very little: then it is
// the front's looking that says how long they take, and the longer it rests, the longer they would seem to take, and it to have
// time to rest. The pool's lock is held.
func (m *member) lull() time.Duration {
	if m.eager || m.stuck > 0 || m.pace.each < lullEach {
		return 0
	}
	return m.pace.each * time.Duration(max(m.held-1, 0)) / 2
}
