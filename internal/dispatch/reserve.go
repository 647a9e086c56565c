package dispatch

import "time"

const (
	reserveFrom = 4                // threads of all workers together, from which on one of them is kept
	reserveFor  = time.Second      // for so long after a quick request
	reserveLent = 10 * time.Second // if no slow request was done for so long, they get the last thread as well: the others may hang
)

// admitsSlow says whether a request that is known to be slow may have a thread. While quick ones come, one thread is kept for them: else, as soon as
// there are more slow ones than threads, each that takes a millisecond waits for one that takes seconds. The lock is held.
func (p *Pool) admitsSlow(now time.Time) bool {
	threads, slow := 0, 0
	for _, m := range p.members {
		if m.state == serving {
			threads += m.cfg.Threads
			slow += m.slow
		}
	}
	keeps := threads >= reserveFrom && now.Sub(p.quickAt) < reserveFor && now.Sub(p.slowAt) < reserveLent
	p.queue.keep(keeps)
	return !keeps || slow < threads-1
}

// next is the request that is to have a thread next; nil: there is none. The lock is held.
func (p *Pool) next(now time.Time) *Request {
	if p.queue.slow.first == nil {
		return p.queue.quick.first
	}
	return p.queue.oldest(p.admitsSlow(now))
}

// lend gives threads that are not kept any more to those who wait: nothing else may happen that would.
func (p *Pool) lend() {
	p.mu.Lock()
	var idle []*member
	for _, m := range p.members {
		if p.queue.len > 0 && m.state == serving && m.held < m.cfg.Threads {
			idle = append(idle, m)
		}
	}
	p.mu.Unlock()
	for _, m := range idle {
		p.fill(m)
	}
}
