package loop

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mailbox is memory of this process, written to as another process would.
type mailbox struct {
	letters  atomic.Int64
	asleep   atomic.Bool
	answered atomic.Int64

	mu    sync.Mutex
	taken int64
}

func (m *mailbox) Look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken += m.letters.Swap(0)
}

func (m *mailbox) Answer() { m.answered.Store(m.seen()) }

func (m *mailbox) Doze() bool {
	m.asleep.Store(true)
	if m.letters.Load() > 0 {
		m.asleep.Store(false)
		return false
	}
	return true
}

func (m *mailbox) Wake() { m.asleep.Store(false) }

func (m *mailbox) seen() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken
}

// shareOnce has the loop's thread share m with the first byte that comes. ring sends one.
func shareOnce(t *testing.T, m *mailbox) (s *Socket, ring func()) {
	t.Helper()
	shared := make(chan struct{})
	var once sync.Once
	var buf [100]byte
	s, peer := pair(t, func(s *Socket) {
		once.Do(func() {
			s.Share(m)
			close(shared)
		})
		s.Try(func(fd int) { unix.Read(fd, buf[:]) }) //nolint:errcheck // what was written is there
	})
	ring = func() { peer.Write([]byte("!")) } //nolint:errcheck // it is awaited
	ring()
	soon(t, "the memory is shared", shared)
	return s, ring
}

// Whoever writes rings only if the loop sleeps; nothing may lie there unseen, however the two meet.
func TestSharedMemoryIsLookedAtWithoutBeingWokenEachTime(t *testing.T) {
	m := &mailbox{}
	_, ring := shareOnce(t, m)
	rings, wrote := 0, int64(0)
	for range 20_000 {
		m.letters.Add(1)
		wrote++
		if m.asleep.CompareAndSwap(true, false) {
			rings++
			ring()
		}
		if wrote%100 == 0 { // now and then all of it has to arrive, though nothing more comes
			deadline := time.Now().Add(20 * time.Second)
			for m.answered.Load() != wrote {
				if time.Now().After(deadline) {
					t.Fatalf("of %d, %d were seen and %d answered", wrote, m.seen(), m.answered.Load())
				}
			}
		}
	}
	if rings == 0 {
		t.Error("the loop never slept")
	}
	t.Logf("%d writes, %d rings", wrote, rings)
}

func TestMemoryOfAClosedSocketIsNotLookedAtAnyMore(t *testing.T) {
	m := &mailbox{}
	s, _ := shareOnce(t, m)
	l := s.loop
	if !slices.Contains(l.listShared(), Shared(m)) {
		t.Error("it is not looked at")
	}
	s.Close()
	if slices.Contains(l.listShared(), Shared(m)) {
		t.Error("it is still looked at")
	}
	s.Share(m) // too late
	if slices.Contains(l.listShared(), Shared(m)) {
		t.Error("it is looked at again")
	}
}
