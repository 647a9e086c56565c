package dispatch

import "time"

const (
	classes   = 1024                  // that are remembered, at most
	slowFrom  = 10 * time.Millisecond // a class of requests that takes so long is slow
	costFalls = 4                     // a request that took less counts a fourth
	costRises = 16                    // and one that took more a sixteenth
)

// costs remembers how long requests took, class by class. What a request takes has to be known before it is run, and all that is known of it
// then is who asked for the like before.
//
// The time is that in the worker. A quick request that shares its worker with a long computation waits for it now and then, while a slow one is
// never quick: so what took less counts for more.
type costs struct {
	table [classes]struct {
		class uint32
		took  time.Duration
	}
}

// classOf is the class of a request, of "GET /path?query": its method and path. Paths that differ by their numbers are of one class
// (/posts/17/comments/3). FNV-1a, 32 bits.
func classOf(line []byte) uint32 {
	const offset, prime = 2166136261, 16777619
	class, number := uint32(offset), false
	for _, c := range line {
		if c == '?' {
			break
		}
		digit := c-'0' < 10
		if digit && number {
			continue
		}
		if number = digit; digit {
			c = '0'
		}
		class = (class ^ uint32(c)) * prime
	}
	return class
}

// slow says that requests of this class have taken long. One that is not known is not slow.
func (c *costs) slow(class uint32) bool {
	entry := &c.table[class%classes]
	return entry.class == class && entry.took >= slowFrom
}

// learn notes what a request took. A class takes the place of another that shares its entry.
func (c *costs) learn(class uint32, took time.Duration) {
	entry := &c.table[class%classes]
	switch {
	case entry.class != class:
		entry.class, entry.took = class, took
	case took < entry.took:
		entry.took += (took - entry.took) / costFalls
	default:
		entry.took += (took - entry.took) / costRises
	}
}
