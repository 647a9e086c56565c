package metrics

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPercentilesAreNearTheTruth(t *testing.T) {
	var h Histogram
	now := time.Now()
	var all []time.Duration
	for range 10000 {
		d := time.Duration(rand.ExpFloat64() * float64(20*time.Millisecond))
		all = append(all, d)
		h.Add(now, d)
	}
	slices.Sort(all)
	shares := []float64{0.5, 0.95, 0.99, 1}
	for name, read := range map[string]func() Summary{
		"since start": func() Summary { return h.SinceStart(shares...) },
		"last minute": func() Summary { return h.LastMinute(now, shares...) },
	} {
		got := read().Percentiles
		if n := read().Count; n != len(all) {
			t.Errorf("%s: %d were counted, not %d", name, n, len(all))
		}
		for i, share := range shares {
			truth := all[int(share*float64(len(all)))-1]
			if got[i] < truth-time.Microsecond || got[i] > truth+truth/16+time.Microsecond {
				t.Errorf("%s: %v of them are within %s, it says %s", name, share, truth, got[i])
			}
		}
	}
}

func TestWhatIsOldLeavesTheLastMinute(t *testing.T) {
	var h Histogram
	begin := time.Unix(1_000_000, 0)
	h.Add(begin, time.Second)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {59 * time.Second, 1}, {75 * time.Second, 0}, {24 * time.Hour, 0}} {
		if n := h.LastMinute(begin.Add(c.after)).Count; n != c.want {
			t.Errorf("after %s it counts %d, want %d", c.after, n, c.want)
		}
	}
	if s := h.SinceStart(0.5); s.Count != 1 || s.Percentiles[0] < time.Second {
		t.Errorf("since the start: %v", s)
	}
}

func TestEveryDurationHasABucketThatHoldsIt(t *testing.T) {
	last := -1
	for us := time.Duration(0); us < 1<<33; us += us/64 + 1 {
		b := bucket(us * time.Microsecond)
		if b < last || b > last+1 && last >= 0 {
			t.Fatalf("bucket %d follows %d at %d µs", b, last, us)
		}
		last = b
		if upper(b) < us*time.Microsecond {
			t.Fatalf("%d µs are in bucket %d, which ends at %s", us, b, upper(b))
		}
	}
	for _, d := range []time.Duration{-1, 0, 1<<63 - 1} {
		if b := bucket(d); b < 0 || b >= fine*octaves {
			t.Errorf("%d: bucket %d", d, b)
		}
	}
}

func TestNothingHasNoPercentiles(t *testing.T) {
	var h Histogram
	if s := h.SinceStart(0.5, 1); s.Count != 0 || s.Percentiles[0] != 0 || s.Percentiles[1] != 0 {
		t.Errorf("got %v", s)
	}
}

func BenchmarkAdd(b *testing.B) {
	var h Histogram
	now := time.Now()
	for i := range b.N {
		h.Add(now, time.Duration(i%4096)*time.Microsecond)
	}
}
