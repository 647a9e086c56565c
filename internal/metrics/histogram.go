// Package metrics counts what happens often in little room.
package metrics

import (
	"math/bits"
	"time"
)

// Histogram counts durations, since it was made and over about the last minute, in 33 KiB. What it says of them is
// at most a sixteenth too large. It is not safe for use by several goroutines.
type Histogram struct {
	all   counts
	slots [slots]counts // a round of slotLength each
	turn  int64         // the slot that is being filled, counted from the zero time
}

const (
	slots      = 7 // six full ones and the one that is being filled
	slotLength = 10 * time.Second

	// Each power of two microseconds has so many buckets; the last bucket takes all that is longer than about two hours.
	fine    = 16
	octaves = 32
)

type counts struct {
	buckets [fine * octaves]uint64
	total   uint64
}

// Add counts d at the time now. Times must not go back by more than a few seconds.
func (h *Histogram) Add(now time.Time, d time.Duration) {
	h.advance(now)
	b := bucket(d)
	h.all.buckets[b]++
	h.all.total++
	s := &h.slots[h.turn%slots]
	s.buckets[b]++
	s.total++
}

// Summary says how many durations there were, and for each share that was asked for (0.5 is the median) the duration which
// so many of them did not exceed.
type Summary struct {
	Count       int
	Percentiles []time.Duration
}

// SinceStart sums up all durations.
func (h *Histogram) SinceStart(shares ...float64) Summary { return h.all.read(shares) }

// LastMinute sums up those of the last 60 to 70 seconds.
func (h *Histogram) LastMinute(now time.Time, shares ...float64) Summary {
	h.advance(now)
	var sum counts
	for i := range h.slots {
		sum.total += h.slots[i].total
		for b, n := range h.slots[i].buckets {
			sum.buckets[b] += n
		}
	}
	return sum.read(shares)
}

// advance empties the slots whose time is over.
func (h *Histogram) advance(now time.Time) {
	turn := now.Unix() / int64(slotLength/time.Second)
	if turn <= h.turn {
		return
	}
	for i := max(h.turn+1, turn-slots+1); i <= turn; i++ {
		h.slots[i%slots] = counts{}
	}
	h.turn = turn
}

func (c *counts) read(shares []float64) Summary {
	s := Summary{Count: int(c.total)}
	for _, share := range shares {
		s.Percentiles = append(s.Percentiles, c.percentile(share))
	}
	return s
}

func (c *counts) percentile(share float64) time.Duration {
	if c.total == 0 {
		return 0
	}
	rank := uint64(share * float64(c.total))
	if float64(rank) < share*float64(c.total) || rank == 0 {
		rank++
	}
	var seen uint64
	for b, n := range c.buckets {
		if seen += n; seen >= rank {
			return upper(b)
		}
	}
	return upper(len(c.buckets) - 1)
}

// bucket finds the bucket of a duration. Up to 16 µs there is one for each microsecond.
func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < fine {
		return int(us)
	}
	octave := bits.Len64(us) - 5 // 0 for 16–31 µs
	b := fine*(octave+1) + int(us>>octave) - fine
	return min(b, fine*octaves-1)
}

// upper is the longest duration, in whole microseconds, that falls into a bucket.
func upper(b int) time.Duration {
	if b < fine {
		return time.Duration(b) * time.Microsecond
	}
	octave := b/fine - 1
	return time.Duration((uint64(b%fine+fine+1)<<octave)-1) * time.Microsecond
}
