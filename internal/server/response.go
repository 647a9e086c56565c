package server

import (
	"os"
	"time"

	"serval/internal/http1"
)

// response is the state of the response under way. It is guarded by the connection's mu.
type response struct {
	busy      bool // a request was dispatched, and its response is not complete
	began     bool // its head has been written
	streaming bool // it goes on until the app ends it
	finished  bool // all of it has been given to us; what the client has not taken is in the backlog
	last      bool // what is written now is the end of it, and of the connection: nothing keeps that from being closed
	broken    bool // the client does not take any more
	short     bool // the client gets no whole response
	hijacked  bool // the app has the connection
	draining  bool // a goroutine writes the backlog
	framing   http1.Framing
	left      int64 // bytes of the body that may still come, when framing.Length says how many
	decoder   http1.Chunked
	decoded   bool // the app's own chunked coding has ended

	backlog backlog
	room    chan struct{} // closed when the backlog is empty again

	status  int
	sent    int64 // bytes of the body
	started time.Time
	isHead  bool
	minor   int
	close   bool     // the connection is to be closed afterwards
	hopeful bool     // the client would like it kept
	source  *os.File // the rest of the body, while a goroutine copies it
	ended   bool     // the app's END came while it does
	endedOK bool
}

// startResponse gets ready for the response to the request that is about to be dispatched.
func (c *conn) startResponse() {
	w := c.work
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := int64(c.srv.config().MaxRequests)
	c.response = response{
		busy:    true,
		left:    -1,
		isHead:  string(w.head.Method.In(w.in)) == "HEAD",
		minor:   w.head.Minor,
		hopeful: w.head.KeepAlive,
		close: !w.head.KeepAlive || c.srv.config().KeepAliveTimeout <= 0 || c.srv.parting(c) ||
			limit > 0 && c.requests.Load()+1 >= limit,
	}
	if c.srv.config().Access != nil {
		c.started = time.Now()
	}
}

// open says whether a response may begin. mu is held.
func (c *conn) open() bool { return c.busy && !c.began && !c.finished }

// going says whether a response goes on. mu is held.
func (c *conn) going() bool { return c.busy && c.began && !c.finished }

// writeHead writes a response head and what the framing makes of first. mu is held.
func (c *conn) writeHead(status int, block, first []byte, size int64) {
	head := http1.Head{
		Status: status, Block: block, Minor: c.minor, NoBody: c.isHead,
		Close: c.close || c.srv.parting(c), BodySize: size, Date: *c.srv.date.Load(), RequestID: c.work.meta.id,
	}
	w := c.work
	w.out, c.framing = http1.AppendHead(w.out[:0], &head)
	c.began = true
	c.status = status
	c.left = c.framing.Length
	c.last = size >= 0 && c.framing.Close && (c.framing.NoBody || c.framing.Length == int64(len(first)))
	w.noted.answer(head.RequestID)
	c.warnOfApp()
	switch {
	case c.framing.NoBody || len(first) == 0 && size < 0:
		c.write(w.out, nil)
	case c.framing.AppChunked || c.framing.Chunked:
		w.out = c.appendBody(w.out, first)
		c.write(w.out, nil)
	default:
		first = c.clamp(first)
		c.sent += int64(len(first))
		if len(first) <= 8<<10 { // a copy costs less than a second buffer in the system call
			w.out = append(w.out, first...)
			first = nil
		}
		c.write(w.out, first)
	}
}

// warnOfApp tells the operator once what the app does wrong.
func (c *conn) warnOfApp() {
	if c.framing.Dropped > 0 {
		c.srv.warnOnce("header_dropped", "%s: %d header lines of the response were left out, because their names or values contain characters that no header may (RFC 9110 §5); this is said once",
			c.work.req.Line, c.framing.Dropped)
	}
	if c.framing.LengthMismatch {
		c.srv.warnOnce("length_mismatch", "%s: the response says a Content-Length that is not the size of its body; the size was sent; this is said once", c.work.req.Line)
	}
}

// writeBody writes a piece of the body: from where it is, unless it needs a coding. mu is held.
func (c *conn) writeBody(data []byte) {
	if c.framing.Chunked || c.framing.AppChunked || c.framing.NoBody {
		c.work.out = c.appendBody(c.work.out[:0], data)
		data = c.work.out
	} else {
		data = c.clamp(data)
		c.sent += int64(len(data))
	}
	c.write(data, nil)
}

// appendBody appends a piece of the body as it goes on the wire. mu is held.
func (c *conn) appendBody(dst, data []byte) []byte {
	if c.framing.NoBody {
		return dst
	}
	if c.framing.AppChunked {
		data = c.decode(data)
	}
	data = c.clamp(data)
	if len(data) == 0 {
		return dst // an empty chunk would be the end of the body
	}
	c.sent += int64(len(data))
	if c.framing.Chunked {
		return http1.AppendChunk(dst, data)
	}
	return append(dst, data...)
}

// decode takes the app's own chunked coding off. Bytes that are no chunks break the body. mu is held.
func (c *conn) decode(data []byte) []byte {
	if c.decoded {
		return nil
	}
	out, _, done, err := c.decoder.Decode(nil, data, &http1.Limits{})
	if err != nil {
		c.srv.warnOnce("chunks_broken", "%s: the app set Transfer-Encoding: chunked, but its body is no sequence of chunks: %v; the connection was cut; this is said once", c.work.req.Line, err)
		c.cut()
		c.stopApp()
		return nil
	}
	c.decoded = done
	return out
}

// clamp takes no more of data than the announced length leaves room for: more would be read as the next response.
func (c *conn) clamp(data []byte) []byte {
	if c.left < 0 {
		return data
	}
	if int64(len(data)) > c.left {
		c.srv.warnOnce("body_too_long", "%s: the body is longer than its Content-Length; the rest was left out; this is said once", c.work.req.Line)
		data = data[:c.left]
	}
	c.left -= int64(len(data))
	return data
}

// finish takes the end of the response: all of the body has been given to us. mu is held.
func (c *conn) finish(ok bool) {
	c.finished = true
	switch {
	case !ok, c.left > 0 && !c.framing.NoBody, c.framing.AppChunked && !c.decoded && !c.framing.NoBody:
		// The client must see that the body is not whole.
		c.cut()
	case c.framing.Chunked && !c.framing.NoBody && !c.broken:
		c.write([]byte(http1.ChunkEnd), nil)
	}
	if !c.draining {
		c.complete()
	}
}

// cut ends the connection without ending the body. A body that is delimited by the end of the connection needs a reset,
// or its client would take it for whole. mu is held.
func (c *conn) cut() {
	c.short = true
	c.ending = leave
	if c.began && !c.framing.Chunked && c.framing.Length < 0 && !c.framing.NoBody {
		if l, ok := c.nc.(interface{ SetLinger(seconds int) error }); ok {
			l.SetLinger(0) //nolint:errcheck // a wish
		}
		c.backlog.discard()
	}
	c.close = true
}

// breakOff notes that the client takes no more, and has the app told. mu is held.
func (c *conn) breakOff() {
	c.cut()
	c.broken = true
	c.backlog.discard()
	c.wakeRoom()
	if c.give != nil {
		c.give(nil, nil)
		c.give = nil
	}
	c.stopApp()
}

// stopApp ends a response before the app did. mu is held.
func (c *conn) stopApp() {
	if c.finished {
		return
	}
	c.finished = true
	// Cancel takes the pool's lock, which is never held while a connection's is asked for.
	c.srv.dispatch.Cancel(&c.work.req)
	if c.source != nil {
		c.source.Close() // the app may have nothing to say for hours, but its next write fails
	}
	if !c.draining && c.source == nil {
		c.complete()
	}
}

// complete ends the response when all of it has been written, or none of it can be. mu is held.
func (c *conn) complete() {
	if !c.busy {
		return
	}
	c.logAccess()
	c.busy = false
	c.streaming = false
	c.work.body.reset()
	switch {
	case c.give != nil:
		c.call()
	case c.broken, c.ending == leave:
		c.part(leave)
	case c.framing.Close && c.hopeful:
		// The client had hoped to go on, so it may be sending: see lingerOn.
		c.stopSending()
		c.spent = true
		c.part(linger)
	case c.framing.Close:
		c.spent = true
		c.part(leave)
	default:
		c.enter(idle)
		c.rest()
		if c.turn == resting {
			c.hear()
		}
		if c.tunnel == nil && c.srv.releasing.Load() != nil {
			c.call()
		}
	}
	if c.waiting {
		c.waiting = false
		c.done <- struct{}{}
	}
}

// part ends the connection: at once if that is all there is to do and nobody reads from it, else by who does. mu is held.
func (c *conn) part(how ending) {
	c.ending = how
	if how == leave && c.turn == resting {
		c.end()
		return
	}
	c.call()
}
