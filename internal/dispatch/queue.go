package dispatch

import "sync/atomic"

// queue holds the requests that wait for a thread, in two lanes: those of classes that are known to be slow, and all others. Anyone may leave from the middle.
type queue struct {
	quick, slow lane
	len         int
	keeps       bool        // a thread is kept for quick requests
	some        atomic.Bool // one more would only join them; for those who do not have the lock
}

func (q *queue) lane(r *Request) *lane {
	if r.slow {
		return &q.slow
	}
	return &q.quick
}

func (q *queue) push(r *Request) {
	q.lane(r).insert(r, q.lane(r).last)
	q.count(1)
}

// pushFront puts r before all others of its lane: it has waited already, in a worker that died.
func (q *queue) pushFront(r *Request) {
	q.lane(r).insert(r, nil)
	q.count(1)
}

func (q *queue) remove(r *Request) {
	q.lane(r).remove(r)
	q.count(-1)
}

func (q *queue) count(change int) {
	q.len += change
	q.keep(q.keeps)
}

// keep notes whether a thread is kept for quick requests: then those that are slow are in nobody's way.
func (q *queue) keep(keeps bool) {
	q.keeps = keeps
	if some := q.quick.first != nil || q.slow.first != nil && !keeps; some != q.some.Load() {
		q.some.Store(some)
	}
}

// oldest is the request that has waited longest, of the quick ones alone if slow ones are not wanted; nil: there is none.
func (q *queue) oldest(slowToo bool) *Request {
	quick, slow := q.quick.first, q.slow.first
	if quick == nil || slow != nil && slow.arrived.Before(quick.arrived) {
		if slowToo {
			return slow
		}
	}
	return quick
}

// pop takes the request out that has waited longest; nil: there is none.
func (q *queue) pop() *Request {
	r := q.oldest(true)
	if r != nil {
		q.remove(r)
	}
	return r
}

// lane is a list of requests, oldest first.
type lane struct{ first, last *Request }

// insert puts r behind prev; nil: before all others.
func (l *lane) insert(r, prev *Request) {
	next := l.first
	if prev != nil {
		next = prev.next
	}
	r.queued, r.prev, r.next = true, prev, next
	*l.link(prev, &l.first, true) = r
	*l.link(next, &l.last, false) = r
}

func (l *lane) remove(r *Request) {
	*l.link(r.prev, &l.first, true) = r.next
	*l.link(r.next, &l.last, false) = r.prev
	r.queued, r.prev, r.next = false, nil, nil
}

// link is what points on from r, or back to it; the end of the list if there is no r.
func (l *lane) link(r *Request, end **Request, on bool) **Request {
	switch {
	case r == nil:
		return end
	case on:
		return &r.next
	}
	return &r.prev
}
