package server

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"serval/internal/dispatch"
	"serval/internal/http1"
)

// response is the state of the response under way. It is guarded by the connection's mu.
type response struct {
	busy      bool // a request was dispatched, and its response is not complete
	began     bool // its head has been written
	streaming bool // it goes on until the app ends it
	finished  bool // all of it has been given to us; what the client has not taken is in the backlog
	broken    bool // the client does not take any more
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
	limit := int64(c.srv.cfg.MaxRequests)
	c.response = response{
		busy:    true,
		left:    -1,
		isHead:  string(w.head.Method.In(w.in)) == "HEAD",
		minor:   w.head.Minor,
		hopeful: w.head.KeepAlive,
		close: !w.head.KeepAlive || c.srv.cfg.KeepAliveTimeout <= 0 || c.srv.draining.Load() ||
			limit > 0 && c.requests.Load()+1 >= limit,
	}
	if c.srv.cfg.Access != nil {
		c.started = time.Now()
	}
}

// writeHead writes a response head and what the framing makes of first. mu is held.
func (c *conn) writeHead(status int, block, first []byte, size int64) {
	head := http1.Head{
		Status: status, Block: block, Minor: c.minor, NoBody: c.isHead,
		Close: c.close || c.srv.draining.Load(), BodySize: size, Date: *c.srv.date.Load(),
	}
	w := c.work
	w.out, c.framing = http1.AppendHead(w.out[:0], &head)
	c.began = true
	c.status = status
	c.left = c.framing.Length
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
		c.srv.warnOnce("header", "%s: %d header lines of the response were left out, because their names or values contain characters that no header may (RFC 9110 §5); this is said once",
			c.work.req.Line, c.framing.Dropped)
	}
	if c.framing.LengthMismatch {
		c.srv.warnOnce("length", "%s: the response says a Content-Length that is not the size of its body; the size was sent; this is said once", c.work.req.Line)
	}
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
		c.srv.warnOnce("chunks", "%s: the app set Transfer-Encoding: chunked, but its body is no sequence of chunks: %v; the connection was cut; this is said once", c.work.req.Line, err)
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
		c.srv.warnOnce("long", "%s: the body is longer than its Content-Length; the rest was left out; this is said once", c.work.req.Line)
		data = data[:c.left]
	}
	c.left -= int64(len(data))
	return data
}

// Whole is part of dispatch.Responder, as are the methods after it.
func (c *conn) Whole(status int, block, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		return
	}
	c.writeHead(status, block, body, int64(len(body)))
	c.finish(true)
}

// open says whether a response may begin. mu is held.
func (c *conn) open() bool { return c.busy && !c.began && !c.finished }

// going says whether a response goes on. mu is held.
func (c *conn) going() bool { return c.busy && c.began && !c.finished }

func (c *conn) Head(status int, block, first []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open() {
		c.streaming = true
		c.writeHead(status, block, first, -1)
	}
}

func (c *conn) Chunk(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.going() && !c.broken {
		c.work.out = c.appendBody(c.work.out[:0], data)
		c.write(c.work.out, nil)
	}
}

func (c *conn) End(ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.going() {
		return
	}
	if c.source != nil {
		c.ended, c.endedOK = true, ok
		return
	}
	c.finish(ok)
}

func (c *conn) Stream(rest *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.going() || c.broken || c.source != nil {
		rest.Close()
		return
	}
	c.source = rest
	c.srv.running.Go(func() { c.copyStream(rest) })
}

// copyStream passes the rest of a body on, to its end. It reads no further while more than the spool's limit waits for the
// client, or while there is no disk to spool on: that is what makes the app wait.
func (c *conn) copyStream(rest *os.File) {
	defer rest.Close()
	buf := make([]byte, 64<<10)
	var failed error
	for {
		n, err := rest.Read(buf)
		if n > 0 && !c.pass(buf[:n]) {
			failed = net.ErrClosed
			break
		}
		if err != nil {
			if err != io.EOF {
				failed = err
			}
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = nil
	switch {
	case c.finished:
		if !c.draining {
			c.complete()
		}
	case c.ended || failed != nil:
		c.finish(failed == nil && c.endedOK)
	}
}

// pass writes a piece of a streamed body, waiting as long as it must.
func (c *conn) pass(data []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.backlog.spooled() > c.srv.cfg.SpoolLimit && c.going() && !c.broken {
		c.awaitRoom()
	}
	if !c.going() || c.broken {
		return false
	}
	c.work.out = c.appendBody(c.work.out[:0], data)
	out := c.work.out
	if len(out) == 0 {
		return !c.broken
	}
	if c.draining {
		if err := c.backlog.add(out, c.srv.cfg.SpoolDir); err != nil {
			c.srv.warnOnce("spool", "a response for a slow reader cannot be kept on disk: %v; its Ruby thread waits instead; this is said once", err)
			c.work.out = nil // the backlog's now
			c.backlog.keep(out)
			for c.draining && c.going() && !c.broken {
				c.awaitRoom()
			}
		}
		return !c.broken
	}
	c.write(out, nil)
	return !c.broken
}

// awaitRoom waits until the backlog is empty or the connection broken. mu is held, and let go meanwhile.
func (c *conn) awaitRoom() {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	room := c.room
	c.mu.Unlock()
	<-room
	c.mu.Lock()
}

func (c *conn) File(status int, block []byte, f *os.File, offset, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		f.Close()
		return
	}
	c.writeHead(status, block, nil, size)
	if c.framing.NoBody || size == 0 || c.broken {
		f.Close()
	} else {
		c.sent += size
		c.backlog.addFile(f, offset, size)
		c.startDraining()
	}
	c.left = -1
	c.finish(true)
}

func (c *conn) Hints(block []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() || c.minor == 0 { // HTTP/1.0 knows no 1xx (RFC 9110 §15.2)
		return
	}
	if hints := http1.AppendHints(c.work.out[:0], block); len(hints) > 0 {
		c.write(hints, nil)
	}
}

func (c *conn) Hijack(give dispatch.Give) {
	c.mu.Lock()
	if !c.open() {
		c.mu.Unlock()
		give(nil, nil)
		return
	}
	c.giveAway(give)
	c.mu.Unlock()
}

func (c *conn) HijackHead(status int, block, first []byte, give dispatch.Give) {
	c.mu.Lock()
	if !c.open() {
		c.mu.Unlock()
		give(nil, nil)
		return
	}
	w := c.work
	head := http1.Head{Status: status, Block: block, Minor: c.minor, Close: true, BodySize: -1, Raw: true, Date: *c.srv.date.Load()}
	w.out, c.framing = http1.AppendHead(w.out[:0], &head)
	c.began, c.status = true, status
	w.out = append(w.out, first...)
	c.write(w.out, nil)
	c.giveAway(give)
	c.mu.Unlock()
}

// giveAway ends the response and has the connection's goroutine hand the socket over, once everything has been written.
// mu is held.
func (c *conn) giveAway(give dispatch.Give) {
	c.give = give
	c.finished = true
	if !c.draining {
		c.complete()
	}
}

func (c *conn) Fail(status int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		return
	}
	c.srv.complain(strconv.Itoa(status), "%s got %d: %s", c.work.req.Line, status, reason)
	block := "Content-Type\x00text/plain; charset=utf-8\x00Cache-Control\x00no-store\x00"
	if status == 503 {
		block += "Retry-After\x001\x00"
	}
	text := http1.StatusText(status) + "\n"
	c.writeHead(status, []byte(block), []byte(text), int64(len(text)))
	c.finish(true)
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
	c.ending = leave
	if c.began && !c.framing.Chunked && c.framing.Length < 0 && !c.framing.NoBody {
		if tcp, ok := c.nc.(*net.TCPConn); ok {
			tcp.SetLinger(0) //nolint:errcheck // a wish
		}
		c.backlog.discard()
	}
	c.close = true
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
		c.stopReading()
	case c.broken, c.ending == leave:
		c.part(leave)
	case c.framing.Close && c.hopeful:
		// The client had hoped to go on, so it may be sending: see lingerOn.
		c.stopSending()
		c.part(linger)
	case c.framing.Close:
		c.part(leave)
	default:
		c.enter(idle)
		c.rest()
	}
	if c.waiting {
		c.waiting = false
		c.done <- struct{}{}
	}
}

// part has the connection's goroutine end it. To close it here would wait for that goroutine to leave its read, which
// it cannot while it waits for mu. mu is held.
func (c *conn) part(how ending) {
	c.ending = how
	c.stopReading()
}

func (c *conn) stopReading() {
	c.nc.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection ends the read as well
}

func (c *conn) wakeRoom() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// write sends bytes, in order. What the socket does not take at once is kept, and a goroutine writes it as the client
// reads: the caller, who reads a worker's answers, never waits for a client. mu is held.
func (c *conn) write(a, b []byte) {
	if c.broken || len(a)+len(b) == 0 {
		return
	}
	if !c.draining {
		n, err := c.try(a, b)
		if err != nil {
			c.breakOff()
			return
		}
		if n >= len(a) {
			b = b[n-len(a):]
			a = nil
		} else {
			a = a[n:]
		}
		if len(a)+len(b) == 0 {
			return
		}
	}
	for _, data := range [][]byte{a, b} {
		if len(data) == 0 {
			continue
		}
		if err := c.backlog.add(data, c.srv.cfg.SpoolDir); err != nil {
			// Bounded: what comes without asking is at most a frame of the worker's (docs/reference/wire.md).
			c.backlog.keep(data)
		}
	}
	c.startDraining()
}

// try writes once, without waiting.
func (c *conn) try(a, b []byte) (int, error) {
	c.outA, c.outB = a, b
	err := c.raw.Write(c.writeFn)
	c.outA, c.outB = nil, nil
	if err != nil {
		return 0, err
	}
	if c.wroteErr == syscall.EAGAIN {
		return 0, nil
	}
	return max(c.wrote, 0), c.wroteErr
}

// writeReady is called by the runtime's poller; it always says that it is done, since nobody here may wait.
func (c *conn) writeReady(fd uintptr) bool {
	for {
		if len(c.outB) == 0 {
			c.wrote, c.wroteErr = syscall.Write(int(fd), c.outA)
		} else {
			c.wrote, c.wroteErr = writev(int(fd), c.outA, c.outB)
		}
		if c.wroteErr != syscall.EINTR {
			return true
		}
	}
}

// breakOff notes that the client takes no more, and has the app told. mu is held.
func (c *conn) breakOff() {
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

func (c *conn) startDraining() {
	if c.draining || c.broken {
		return
	}
	c.draining = true
	c.wroteAt.Store(c.srv.now.Load())
	c.srv.running.Go(c.drain)
}

// drain writes the backlog as the client takes it.
func (c *conn) drain() {
	for {
		c.mu.Lock()
		data, err := c.backlog.next()
		if err == nil && data == nil && c.backlog.file == nil || c.broken {
			c.drained()
			c.mu.Unlock()
			return
		}
		file := c.backlog.file
		c.mu.Unlock()
		if err == nil {
			if data != nil {
				_, err = c.nc.Write(data)
			} else {
				err = c.sendFile(file)
			}
		}
		c.wroteAt.Store(c.srv.now.Load())
		if err != nil {
			c.mu.Lock()
			c.breakOff()
			c.mu.Unlock()
		}
	}
}

// drained ends draining. mu is held.
func (c *conn) drained() {
	c.draining = false
	c.wroteAt.Store(0)
	c.backlog.discard()
	c.wakeRoom()
	if c.finished && c.source == nil {
		c.complete()
	}
}

// filePiece is how much of a file is sent between two looks at the clock.
const filePiece = 1 << 20

// sendFile sends the next piece of the app's file, by sendfile(2) where the connection is TCP.
func (c *conn) sendFile(f *os.File) error {
	c.mu.Lock()
	at, left := c.backlog.fileAt, c.backlog.fileLeft
	c.mu.Unlock()
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(c.nc, io.LimitReader(f, min(left, filePiece)))
	if err == nil && n < min(left, filePiece) {
		err = errors.New("the file became shorter while it was sent")
		c.srv.cfg.Log.Error("%s: %v; the connection was cut", c.work.req.Line, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backlog.fileAt += n
	c.backlog.fileLeft -= n
	if c.backlog.fileLeft == 0 && c.backlog.file != nil {
		c.backlog.file.Close()
		c.backlog.file = nil
	}
	return err
}

// warnOnce logs a kind of complaint the first time it comes up; a broken app would fill the disk with them.
func (s *Server) warnOnce(kind, format string, args ...any) {
	if _, again := s.warned.LoadOrStore(kind, true); !again {
		s.cfg.Log.Warn(format, args...)
	}
}
