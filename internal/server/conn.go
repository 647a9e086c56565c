package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"serval/internal/dispatch"
	"serval/internal/http1"
	"serval/internal/logs"
	"serval/internal/loop"
	"serval/internal/wire"
)

// conn is one client connection.
//
// Two parties work on it. One reads: it takes a request in, has it dispatched, and goes on reading at once, which is how it
// learns that the client left or pipelines. That is the loop's thread, or a goroutine of the connection's (turn.go). The
// response is written by whoever brings it (see responder.go), mostly the one that reads the worker's answers, so that a
// response needs no goroutine switch. mu is between the two.
type conn struct {
	srv    *Server
	nc     net.Conn
	sock   *loop.Socket // nc, if a loop can watch it
	raw    syscall.RawConn
	tunnel *tunnel // nil: the client does not speak TLS
	lent   bool    // a relay has the sockets from now on
	remote []byte  // REMOTE_ADDR
	named  bool    // remote is what a proxy said, or it said nothing

	surplus bool // it is one too many

	// For the sweeper.
	wait     atomic.Uint64 // what is waited for, a wait
	expired  atomic.Uint64 // the wait that the sweeper ended, to be compared: it may have been over already
	bodyRead atomic.Int64  // bytes of the body that came
	given    atomic.Int64  // bytes of backlogs that the socket took
	tookAt   atomic.Int64  // when the client was last seen to take more of a backlog; 0: there is none
	tookAll  int64         // how much it had taken then
	requests atomic.Int64  // how many there were
	window   window

	// Bound once each: a closure per read or write would be an allocation per read or write.
	read     func(fd uintptr) bool
	readN    int
	readErr  error
	tryRead  func(fd int)
	came     bool                  // tryRead has read
	writeFn  func(fd uintptr) bool // guarded by mu, as what it uses
	outA     []byte
	outB     []byte
	wrote    int
	wroteErr error

	done chan struct{} // the response is complete; sent only when waiting

	mu      sync.Mutex // guards following
	work    *work      // nil while idle, so that 10,000 idle connections cost little
	turn    turn
	heard   bool // the loop listens to it
	more    bool // something came since the last read, as far as the loop has noticed
	emptied bool // the last read took all there was
	called  bool // somebody wants a goroutine to attend to it
	parked  bool // nothing that was read is not consumed, and whoever reads has nothing to do
	waiting bool // the goroutine waits on done
	spent   bool // its last response is complete: nobody else has its request any more
	ending  ending
	give    dispatch.Give // who gets the socket, once it is hijacked
	response
}

// work is what a connection needs only while it has a request.
type work struct {
	in        []byte // read, not consumed; starts with the head of the request, then what follows it
	head      http1.Request
	bodyStart int // where in follows the head
	body      body
	chunked   http1.Chunked
	bodyBegan time.Time
	piece     []byte // decoded chunks
	meta      meta
	req       dispatch.Request
	out       []byte // response heads are made here
	noted     noted
	access    logs.Access
}

var works = sync.Pool{New: func() any { return &work{in: make([]byte, 0, 4<<10)} }}

// ending says what becomes of a connection after its response.
type ending uint8

const (
	stay   ending = iota // wait for the next request
	leave                // close
	linger               // stop sending, and read until the client closes: it may still be sending
)

// newConn makes a connection of a client's socket, which speaks TLS by secure if that is not nil.
func newConn(s *Server, nc net.Conn, secure *tls.Config) (*conn, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.New("a connection without a descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{srv: s, nc: nc, raw: raw}
	c.remote = remoteAddr(nc, s.config().LocalAddr)
	c.read, c.writeFn = c.readReady, c.writeReady
	if sock, ok := nc.(*loop.Socket); ok {
		c.sock = sock
		c.tryRead = func(fd int) { c.came = c.readReady(uintptr(fd)) }
	}
	c.enter(idle)
	if secure != nil {
		c.tunnel = newTunnel(nc, secure)
		c.enter(shaking)
	}
	return c, nil
}

// remoteAddr is the client's address without port; IPv4 in IPv6 is written as IPv4.
func remoteAddr(nc net.Conn, local string) []byte {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("").AppendTo(nil)
	}
	return []byte(local)
}

// remoteFor is the REMOTE_ADDR of the request that has been read (Puma's set_remote_address).
func (c *conn) remoteFor(cfg *Config) []byte {
	if cfg.RemoteHeader != "" {
		for _, f := range c.work.head.Fields {
			if http1.EqualFold(f.Name(c.work.in), cfg.RemoteHeader) {
				if words := bytes.FieldsFunc(f.Value(c.work.in), isSeparator); len(words) > 0 {
					return words[0]
				}
			}
		}
	}
	if cfg.RemoteAddr != "" {
		return []byte(cfg.RemoteAddr)
	}
	return c.remote
}

func isSeparator(r rune) bool { return r == ',' || r == ' ' || r == '\t' }

// life is what the connection's goroutine does, until the connection ends or is the loop's again.
func (c *conn) life() {
	switch {
	case c.phase() == receiving && c.late():
		c.bodyFailed(os.ErrDeadlineExceeded)
	case c.phase() != shaking || c.shakeHands():
		for c.await() && c.readHead() && c.readBody() {
			if c.begin() {
				return
			}
		}
	}
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
}

// begin hands the request that has been read to the dispatcher. turnedOver says that the loop reads from here on, and the
// connection's goroutine has nothing more to do with it.
func (c *conn) begin() (turnedOver bool) {
	w := c.work
	cfg := c.srv.config()
	c.startResponse()
	w.noted.take(w, cfg, c.started)
	w.meta.remote = c.remoteFor(cfg)
	w.meta.scheme, w.meta.hideUnderscores, w.meta.tunnel = cfg.Scheme, cfg.HideUnderscores, c.tunnel
	w.meta.id = nil
	if cfg.RequestIDs {
		w.meta.id = w.noted.id
	}
	c.srv.encoder.encode(&w.req.Builder, &w.head, w.in, &w.meta)
	method := w.head.Method.In(w.in)
	w.req.Line = append(append(append(w.req.Line[:0], method...), ' '), w.head.Target.In(w.in)...)
	w.req.Body = w.body.file
	w.req.Repeatable = safe(method)
	w.req.Responder = c
	// What follows is the next request, if the client pipelines.
	w.in = append(w.in[:0], w.in[w.bodyStart:]...)
	c.requests.Add(1)
	c.srv.requests.Store(c.srv.now.Load())
	c.enter(running)
	c.srv.dispatch.Dispatch(&w.req)
	return c.turnOver()
}

// safe says whether a method may be repeated without asking: RFC 9110 §9.2.1.
func safe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// readHead reads until a request's head is complete. It reports false when the connection is of no use any more.
func (c *conn) readHead() bool {
	if c.work != nil {
		c.work.head.Reset()
		c.work.body.reset()
	}
	for {
		if c.depart() {
			return false
		}
		if w := c.work; w != nil && len(w.in) > 0 {
			if c.phase() != header {
				c.enter(header)
			}
			done, err := c.parse()
			if err != nil {
				var refused *http1.Error
				errors.As(err, &refused)
				c.refuse(refused.Status, refused.Reason)
				return false
			}
			if done {
				return true
			}
		}
		if err := c.fill(); c.leaves(err) {
			continue
		} else if err != nil {
			if c.late() && c.work != nil && len(c.work.in) > 0 {
				c.refuse(408, "the request head did not arrive in time")
			}
			return false
		}
	}
}

// parse looks at what has been read; done says that it is a whole request head.
func (c *conn) parse() (done bool, err error) {
	cfg, w := c.srv.config(), c.work
	if cfg.ProxyProtocol && !c.named {
		client, n, done, err := http1.ParseProxy(w.in)
		if err != nil || !done {
			return false, err
		}
		if client.IsValid() {
			c.remote = client.AppendTo(nil)
		}
		c.named = true
		if w.in = append(w.in[:0], w.in[n:]...); len(w.in) == 0 {
			return false, nil
		}
	}
	return w.head.Parse(w.in, &cfg.Limits)
}

// leastRead is the room that a read has at least, in bytes. A head that nearly fills the buffer would make for a system call
// per few bytes of the body behind it.
const leastRead = 2 << 10

// fill reads more of what the client sends; it waits if there is nothing.
func (c *conn) fill() error {
	c.makeRoom()
	err := c.raw.Read(c.read)
	for err != nil && c.spared(err) {
		err = c.raw.Read(c.read)
	}
	if err != nil && !c.lastLook(err) {
		return err
	}
	if c.readErr == nil && c.readN == 0 {
		return io.EOF
	}
	return c.readErr
}

func (c *conn) makeRoom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.work; w != nil && cap(w.in)-len(w.in) < leastRead {
		w.in = append(make([]byte, 0, 2*cap(w.in)), w.in...)
	}
}

// spared says that a read which ended with err should go on, because the sweeper ended a wait that was over already:
// it looks at the clock and then acts, and meanwhile the next request may have begun.
func (c *conn) spared(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = false
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.late() || c.ending != stay || c.give != nil {
		return false
	}
	if p := c.phase(); c.tunnel == nil && c.srv.releasing.Load() != nil && !c.busy && (p == idle || p == header) {
		return false
	}
	return c.nc.SetReadDeadline(time.Time{}) == nil
}

// lastLook reads what is there when an idle connection's time is up. A request that has come by then is served.
func (c *conn) lastLook(err error) (came bool) {
	if errors.Is(err, os.ErrDeadlineExceeded) && c.late() && c.phase() == idle {
		c.raw.Control(func(fd uintptr) { came = c.readReady(fd) }) //nolint:errcheck // of a closed connection nothing is read
		c.mu.Lock()
		c.parked = false
		c.mu.Unlock()
	}
	return came
}

// readReady is called by the runtime's poller; false means that nothing is there yet. Only here, when bytes are there,
// does an idle connection get a buffer.
func (c *conn) readReady(fd uintptr) bool {
	c.mu.Lock()
	c.parked, c.more = false, false
	w := c.work
	if w == nil {
		w = works.Get().(*work)
		c.work = w
	}
	c.mu.Unlock()
	room := w.in[len(w.in):cap(w.in)]
	n, err := c.receive(int(fd), room)
	for err == syscall.EINTR {
		n, err = c.receive(int(fd), room)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tunnel != nil {
		if failed := c.answerTLS(); failed != nil {
			n, err = 0, failed
		}
	}
	c.emptied = n < len(room)
	if err == syscall.EAGAIN {
		c.parked = len(w.in) == 0
		c.rest()
		return false
	}
	c.readN, c.readErr = max(n, 0), err
	if n > 0 {
		w.in = w.in[:len(w.in)+n]
		c.bodyRead.Add(int64(n))
	}
	return true
}

// receive is read(2), by way of the tunnel if there is one.
func (c *conn) receive(fd int, p []byte) (int, error) {
	if c.tunnel != nil {
		return c.tunnel.read(fd, p)
	}
	return syscall.Read(fd, p)
}

// rest gives back what an idle connection does not need. mu is held.
func (c *conn) rest() {
	if c.ending == stay {
		c.giveBack()
	}
}

// giveBack gives back what a request took, unless somebody uses it still. What a request that was broken off took is left to
// the garbage collector: who brings its response may not have noticed yet. mu is held.
func (c *conn) giveBack() {
	w := c.work
	if !c.parked || c.busy || w == nil || len(w.in) > 0 {
		return
	}
	c.work = nil
	w.body.reset()
	if cap(w.in) > 16<<10 || cap(w.req.Frame) > 64<<10 || cap(w.out) > 64<<10 {
		return // one large request should not be remembered for ever
	}
	w.head.Reset()
	w.req.Body, w.req.Responder = nil, nil
	works.Put(w)
}

// await reads ahead until the response is complete. It reports whether another request may follow.
func (c *conn) await() bool {
	for {
		c.mu.Lock()
		busy, end, give := c.busy, c.ending, c.give
		ahead := c.work != nil && len(c.work.in) > 0
		c.mu.Unlock()
		switch {
		case busy && ahead:
			c.waitDone() // the next request is here: it has to wait, and so does all that follows it
		case busy:
			if err := c.fill(); errors.Is(err, os.ErrDeadlineExceeded) {
				c.waitDone()
			} else if err != nil && !c.clientLeft(err) {
				return false
			}
		case give != nil:
			c.handOver(give)
			return false
		case end == leave:
			return false
		case end == linger:
			c.lingerOn()
			return false
		case ahead:
			return true
		default:
			if err := c.fill(); c.leaves(err) {
				return true
			} else if err != nil {
				return false
			}
		}
	}
}

// waitDone waits until the response is complete.
func (c *conn) waitDone() {
	c.mu.Lock()
	if !c.busy {
		c.mu.Unlock()
		return
	}
	c.waiting = true
	if c.done == nil {
		c.done = make(chan struct{}, 1) // most connections never wait here
	}
	c.mu.Unlock()
	<-c.done
}

// clientLeft handles the end of the client's side while a request runs. A client that closed only its sending side still
// wants its answer, and over TCP nobody can tell it from one that is gone until something is written. So a request that
// runs goes on; one that still waits for a thread is withdrawn, and a stream without an end is ended. It reports
// whether the connection is of use still.
func (c *conn) clientLeft(err error) bool {
	c.mu.Lock()
	w, busy, streaming := c.work, c.busy, c.streaming && !c.finished
	c.mu.Unlock()
	if !busy {
		return true // the response was completed meanwhile
	}
	if errors.Is(err, io.EOF) && !streaming && !c.srv.dispatch.Withdraw(&w.req) {
		c.waitDone()
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.busy {
		return true
	}
	c.breakOff()
	return false
}

// cutOff ends the connection at once, whatever it is doing.
func (c *conn) cutOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		c.breakOff()
	}
	if c.turn == resting {
		c.end()
	}
	c.nc.Close() // and so its reader notices
}

// hurry asks the connection to end soon, for a shutdown.
func (c *conn) hurry() {
	if w := wait(c.wait.Load()); w.phase() == idle && c.requests.Load() > 0 {
		c.endWait(w)
	}
}

// turnAway answers a connection that is one too many.
func (c *conn) turnAway() {
	c.srv.complain("connection_refused", "refused a connection from %s: %d are open (--max-connections)", c.remote, c.srv.config().MaxConnections)
	if c.tunnel == nil { // a handshake would cost more than there is to give
		c.refuse(503, "")
	}
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
}

// refuse answers a request that will not be dispatched, and closes. It is the connection's goroutine that calls it.
func (c *conn) refuse(status int, reason string) {
	text := http1.StatusText(status)
	if reason != "" {
		text = reason
	}
	c.writeNow(http1.AppendError(nil, status, text, *c.srv.date.Load()))
	c.logRefused(status)
	c.mu.Lock()
	c.stopSending()
	c.mu.Unlock()
	c.lingerOn()
}

// stopSending says that nothing follows. mu is held.
func (c *conn) stopSending() {
	c.farewell()
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // a client that is gone needs no goodbye
	}
}

// lingerOn reads and forgets until the client closes or its time is up. Closing at once would make the kernel answer what
// still arrives with a reset, which may destroy the response before the client has read it (RFC 9112 §9.6).
func (c *conn) lingerOn() {
	c.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // a closed connection ends the read as well
	c.enter(lingering)
	scratch := make([]byte, 4<<10)
	for {
		if _, err := c.nc.Read(scratch); err != nil {
			return
		}
	}
}

// writeNow writes a short message from the connection's goroutine, while no response is under way. A client that does
// not take it within the linger time is not waited for.
func (c *conn) writeNow(data []byte) {
	c.nc.SetWriteDeadline(time.Now().Add(lingerTime)) //nolint:errcheck // the write will tell
	if c.tunnel != nil && c.tunnel.open {
		c.pushSealed(data) //nolint:errcheck // a client that is gone needs no answer
	} else {
		c.nc.Write(data) //nolint:errcheck // as above
	}
	c.nc.SetWriteDeadline(time.Time{}) //nolint:errcheck // as above
}

// handOver gives the socket away. What was read from it goes along. With TLS, it is one end of a relay that is given.
func (c *conn) handOver(give dispatch.Give) {
	c.mu.Lock()
	var leftover []byte
	if c.work != nil {
		leftover = c.work.in
	}
	c.mu.Unlock()
	if c.tunnel != nil {
		c.relay(give, leftover)
		return
	}
	f, err := c.socket()
	if err == nil && len(leftover) > wire.MaxText {
		f.Close()
		f, err = nil, fmt.Errorf("its client has sent %d bytes already, and no more than %d can go along", len(leftover), wire.MaxText)
	}
	if err != nil {
		c.notGiven(err)
		leftover = nil
	}
	give(f, leftover)
}

func (c *conn) notGiven(err error) {
	c.srv.config().Log.Error("cannot hand a hijacked connection to its app: %v", err, logs.Named("hijack_failed"))
}

// socket is a duplicate of the client's socket.
func (c *conn) socket() (*os.File, error) {
	if socket, ok := c.nc.(interface{ File() (*os.File, error) }); ok {
		return socket.File()
	}
	return nil, errors.New("it has no descriptor")
}
