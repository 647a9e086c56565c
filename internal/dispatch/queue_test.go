package dispatch

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Whatever is put in and taken out, from the middle or the end, the queue does what two plain slices do.
func TestTheQueueIsTwoListsByAge(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q queue
	var quick, slow []*Request
	list := func(r *Request) *[]*Request {
		if r.slow {
			return &slow
		}
		return &quick
	}
	now := time.Now()
	for i := range 10_000 {
		switch all := slices.Concat(quick, slow); {
		case random.IntN(2) == 0:
			r := &Request{slow: random.IntN(2) == 0, arrived: now.Add(time.Duration(i))}
			*list(r) = append(*list(r), r)
			q.push(r)
		case random.IntN(10) == 0:
			r := &Request{slow: random.IntN(2) == 0, arrived: now.Add(-time.Duration(i))} // older than all
			*list(r) = slices.Insert(*list(r), 0, r)
			q.pushFront(r)
		case len(all) == 0:
			if q.pop() != nil {
				t.Fatal("something came out of an empty queue")
			}
		default:
			r := all[random.IntN(len(all))]
			if random.IntN(2) == 0 {
				r = oldest(quick, slow)
				if got := q.pop(); got != r {
					t.Fatalf("step %d: the oldest does not come first", i)
				}
			} else {
				q.remove(r)
			}
			*list(r) = slices.DeleteFunc(*list(r), func(other *Request) bool { return other == r })
		}
		if q.len != len(quick)+len(slow) || q.some.Load() != (q.len > 0) || q.oldest(false) != oldest(quick, nil) {
			t.Fatalf("step %d: %d in the queue, some: %t; there are %d and %d", i, q.len, q.some.Load(), len(quick), len(slow))
		}
	}
}

func oldest(a, b []*Request) *Request {
	switch {
	case len(a) == 0 && len(b) == 0:
		return nil
	case len(a) == 0 || len(b) > 0 && b[0].arrived.Before(a[0].arrived):
		return b[0]
	}
	return a[0]
}

func TestSlowRequestsAreNoCrowdWhereAThreadIsKept(t *testing.T) {
	var q queue
	q.push(&Request{slow: true})
	for keeps, want := range map[bool]bool{true: false, false: true} {
		if q.keep(keeps); q.some.Load() != want {
			t.Errorf("with a thread for quick ones (%t), slow ones are a crowd: %t", keeps, !want)
		}
	}
	q.keep(true)
	if q.push(&Request{}); !q.some.Load() {
		t.Error("a quick one that waits is no crowd")
	}
}
