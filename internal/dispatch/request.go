package dispatch

import (
	"os"
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
	class   uint32 // of its like (see costs)
	slow    bool   // they have taken long
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
