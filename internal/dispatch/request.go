package dispatch

import (
	"os"
	"sync/atomic"
	"time"

	"serval/internal/wire"
)

// Request is one unit of work: what a worker is sent, and who takes the answer. The zero value is usable; a connection
// keeps one and fills it again for each of its requests.
type Request struct {
	wire.Builder           // the frame
	Body         *os.File  // the body, when it is too long for the frame; the caller closes it after the response
	Line         []byte    // "GET /path", for the log
	Repeatable   bool      // the method is safe (RFC 9110 §9.2.1): when its worker dies, another may have it
	Responder    Responder // takes the answer

	// The pool's, guarded by its lock.
	arrived time.Time
	sent    time.Time // when a worker got it
	index   int       // that worker's, and its process id
	pid     int
	slot    *slot
	queued  bool
	began   bool // the response began
	retried bool
	prev    *Request
	next    *Request
}

// Waited is how long the request was queued, up to now if no worker had it. It may be asked once the response has begun, or
// the request has been withdrawn or cancelled.
func (r *Request) Waited(now time.Time) time.Duration {
	if r.sent.IsZero() {
		return now.Sub(r.arrived)
	}
	return r.sent.Sub(r.arrived)
}

// Worker is the index and the process id of the worker that had it last; the id is 0 when none had it. See Waited.
func (r *Request) Worker() (index, pid int) { return r.index, r.pid }

// Responder takes the answer to a request. Its methods are called in order and one at a time, must not block, and may
// not keep what they are given: the bytes are good only during the call.
type Responder interface {
	// Whole is a complete response. block is a header block (docs/reference/wire.md).
	Whole(status int, block, body []byte)

	// Head begins a response of unknown length; Chunk and Stream go on with it, End ends it. ok false: the body broke
	// off, and the client must be able to see that.
	Head(status int, block, first []byte)
	Chunk(data []byte)
	Stream(rest *os.File)
	End(ok bool)

	// File is a response whose body is a part of a file. The responder closes it.
	File(status int, block []byte, f *os.File, offset, size int64)

	// Hints is a 103 response.
	Hints(block []byte)

	// Hijack gives the connection away: give is called once, with the socket and what was already read from it, or with
	// nil when the client is gone. HijackHead writes a response head first.
	Hijack(give Give)
	HijackHead(status int, block, first []byte, give Give)

	// Fail says that no worker will answer. reason is a sentence for the operator; the client gets the status.
	Fail(status int, reason string)
}

// Give takes a hijacked socket. It closes the file.
type Give func(socket *os.File, leftover []byte)

// queue holds the requests that wait for a thread, oldest first. Anyone may leave from the middle.
type queue struct {
	first, last *Request
	len         int
	some        atomic.Bool // len is not 0; for those who do not have the lock
}

func (q *queue) push(r *Request) {
	r.queued, r.prev, r.next = true, q.last, nil
	if q.last == nil {
		q.first = r
	} else {
		q.last.next = r
	}
	q.last = r
	q.len++
	q.some.Store(true)
}

// pushFront puts r before all others: it has waited already, in a worker that died.
func (q *queue) pushFront(r *Request) {
	r.queued, r.prev, r.next = true, nil, q.first
	if q.first == nil {
		q.last = r
	} else {
		q.first.prev = r
	}
	q.first = r
	q.len++
	q.some.Store(true)
}

func (q *queue) remove(r *Request) {
	if r.prev == nil {
		q.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		q.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.queued, r.prev, r.next = false, nil, nil
	q.len--
	if q.len == 0 {
		q.some.Store(false)
	}
}

func (q *queue) pop() *Request {
	r := q.first
	if r != nil {
		q.remove(r)
	}
	return r
}
