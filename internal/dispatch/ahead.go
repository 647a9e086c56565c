package dispatch

import (
	"cmp"
	"slices"
	"time"
)

const (
	aheadMost = 16                     // requests
	aheadTime = 500 * time.Microsecond // of work
)

// room says whether m may have r. It has room for as many requests as it has threads. While its requests take microseconds, it gets
// some more ahead of time: with a few of them at hand it neither falls asleep nor has to be woken between two, and several travel in one
// system call. They lose nothing by it: if the worker dies, another one gets those that were not begun. One that was in a dead worker already
// does not wait behind others again, and one whose body is in a file would be begun before the file is there. The pool's lock is held.
func (m *member) room(r *Request) bool {
	if len(m.free) == 0 {
		return false
	}
	return m.held < m.cfg.Threads || r.Body == nil && !r.retried && m.held < m.cfg.Threads+m.ahead()
}

// ahead is how many requests m may have beyond its threads. If one of those before them takes long after all, another thread has to take
// them on, so there are none in a worker of one thread, unless no other worker could have them either. And there are none when
// requests wait for something else than the processor, or when so few are in the queue that other workers would lack them.
func (m *member) ahead() int {
	if m.eager || m.stuck > 0 || m.cfg.Threads == 1 && len(m.pool.members) > 1 {
		return 0
	}
	work := min(int(aheadTime/max(m.pace.each, time.Microsecond)), aheadMost)
	return min(work, m.pool.queue.len/len(m.pool.members))
}

// untouched says whether s holds a request that surely no thread has taken yet: they are taken in the order in which they were given, and
// each thread has one at most. The pool's lock is held.
func (m *member) untouched(s *slot) bool {
	before := 0
	for i := range m.slots {
		if other := &m.slots[i]; other.id != 0 && other.order < s.order {
			before++
		}
	}
	return before >= m.cfg.Threads
}

// youngest returns the slots that are in use, the one that was given last first. The pool's lock is held.
func (m *member) youngest() (used []*slot) {
	for i := range m.slots {
		if m.slots[i].id != 0 {
			used = append(used, &m.slots[i])
		}
	}
	slices.SortFunc(used, func(a, b *slot) int { return cmp.Compare(b.order, a.order) })
	return used
}
