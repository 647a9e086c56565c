package server

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// tunnel is a connection's TLS. Once the handshake is over, crypto/tls neither waits nor writes: it decrypts what the socket
// has, and encrypts into memory. So all that a connection does about waiting, deadlines and slow readers is the same with TLS
// and without: a read is tried by conn.readReady, a write by conn.try or conn.push, and only what they pass on differs.
type tunnel struct {
	tls  *tls.Conn
	nc   net.Conn // the client's socket
	open bool     // the handshake is over; set before the first request
	peer []byte   // the client's certificate, base64 of its DER; nil: it has none that was verified
	fd   int      // of the socket, during a read

	mu     sync.Mutex
	sealed []byte // encrypted, not written yet. guarded by mu
}

const (
	// sealAtOnce is how many bytes are encrypted before the socket has taken what there is already.
	sealAtOnce = 64 << 10

	// maxUnasked is how many bytes of answers to TLS' own messages may wait for a client that keeps sending those and reads
	// nothing.
	maxUnasked = 64 << 10
)

// sealedPool has buffers for what is encrypted: an idle connection needs none.
var sealedPool = sync.Pool{New: func() any { return new(make([]byte, 0, 32<<10)) }}

func newTunnel(nc net.Conn, cfg *tls.Config) *tunnel {
	t := &tunnel{nc: nc}
	t.tls = tls.Server((*tunnelSocket)(t), cfg)
	return t
}

// tunnelSocket is the tunnel as crypto/tls sees it: the encrypted side.
type tunnelSocket tunnel

// errLater is what a read says when nothing is there. crypto/tls goes on after an error that is a net.Error and temporary.
var errLater net.Error = &net.OpError{Op: "read", Err: syscall.EAGAIN}

func (s *tunnelSocket) Read(p []byte) (int, error) {
	if !s.open {
		return s.nc.Read(p)
	}
	for {
		switch n, err := syscall.Read(s.fd, p); {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, errLater
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (s *tunnelSocket) Write(p []byte) (int, error) {
	if !s.open {
		s.nc.SetWriteDeadline(time.Now().Add(lingerTime)) //nolint:errcheck // the write will tell
		return s.nc.Write(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed == nil {
		s.sealed = *sealedPool.Get().(*[]byte)
	}
	s.sealed = append(s.sealed, p...)
	return len(p), nil
}

// The rest of a net.Conn. The connection itself closes the socket and sets its deadlines.
func (s *tunnelSocket) Close() error                     { return nil }
func (s *tunnelSocket) LocalAddr() net.Addr              { return s.nc.LocalAddr() }
func (s *tunnelSocket) RemoteAddr() net.Addr             { return s.nc.RemoteAddr() }
func (s *tunnelSocket) SetDeadline(time.Time) error      { return nil }
func (s *tunnelSocket) SetReadDeadline(time.Time) error  { return nil }
func (s *tunnelSocket) SetWriteDeadline(time.Time) error { return nil }

// read decrypts what has come, as read(2) would: EAGAIN when nothing has, 0 at the end.
func (t *tunnel) read(fd int, p []byte) (int, error) {
	t.fd = fd
	n, err := t.tls.Read(p)
	switch {
	case n > 0:
		return n, nil // an error comes again, by the next read
	case errors.Is(err, syscall.EAGAIN):
		return 0, syscall.EAGAIN
	case err == io.EOF:
		return 0, nil
	}
	return 0, err
}

// seal encrypts data behind what waits already.
func (t *tunnel) seal(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	_, err := t.tls.Write(data)
	return err
}

// waiting is how many bytes are encrypted and not written.
func (t *tunnel) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sealed)
}

// take takes what is encrypted out of the tunnel; it is given back by recycle.
func (t *tunnel) take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	sealed := t.sealed
	t.sealed = nil
	return sealed
}

// putBack has bytes wait again that were taken and could not be written.
func (t *tunnel) putBack(rest []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sealed = append(rest, t.sealed...)
}

func recycle(sealed []byte) {
	if c := cap(sealed); c > 0 && c <= 4*sealAtOnce {
		sealedPool.Put(new(sealed[:0]))
	}
}

// shakeHands does the TLS handshake. It reports whether requests may follow; if not, the client has its answer.
func (c *conn) shakeHands() bool {
	t := c.tunnel
	err := t.tls.Handshake()
	if err == nil {
		t.open = true
		c.nc.SetWriteDeadline(time.Time{}) //nolint:errcheck // a closed connection is noticed by reading
		if chains := t.tls.ConnectionState().VerifiedChains; len(chains) > 0 {
			t.peer = base64.StdEncoding.AppendEncode(nil, chains[0][0].Raw)
		}
		c.enter(idle)
		return true
	}
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header) && isText(header.RecordHeader):
		c.refuse(400, "this port speaks TLS: write https:// in place of http://")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET):
		// Whoever only looks whether the port is open, as monitoring and browsers do.
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.srv.complain("tls_handshake_failed", "%s began a TLS handshake and did not finish it in time (--header-timeout)", c.remote)
	default:
		c.srv.complain("tls_handshake_failed", "the TLS handshake with %s failed: %v", c.remote, err)
		c.lingerOn() // it may be sending, and is to read why
	}
	return false
}

// isText says whether what came in place of a TLS record begins as an HTTP request does.
func isText(header [5]byte) bool {
	for _, b := range header {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// trySealed is try for a tunnel: it takes as much as may wait in memory, encrypted. mu is held, and no goroutine drains.
func (c *conn) trySealed(a, b []byte) (n int, err error) {
	a = a[:min(len(a), sealAtOnce)]
	b = b[:min(len(b), sealAtOnce-len(a))]
	if err := c.tunnel.seal(a); err != nil {
		return 0, err
	}
	if err := c.tunnel.seal(b); err != nil {
		return 0, err
	}
	return len(a) + len(b), c.flush()
}

// flush writes what is encrypted, without waiting. What is left is for drain. mu is held, and no goroutine drains.
func (c *conn) flush() error {
	sealed := c.tunnel.take()
	if len(sealed) == 0 {
		return nil
	}
	n, err := c.tryRaw(sealed, nil)
	if err == nil && n < len(sealed) {
		c.tunnel.putBack(sealed[n:])
		return nil
	}
	recycle(sealed)
	return err
}

// answerTLS writes what crypto/tls has to say by itself after a read: that keys were changed, that it does not understand.
// mu is held.
func (c *conn) answerTLS() error {
	switch waiting := c.tunnel.waiting(); {
	case waiting == 0:
		return nil
	case c.draining && waiting > sealAtOnce+sealAtOnce/4+maxUnasked:
		return fmt.Errorf("the client wants answers to its TLS messages and reads none of %d bytes", waiting)
	case c.draining:
		return nil // it goes with the rest
	}
	if err := c.flush(); err != nil {
		return err
	}
	if c.tunnel.waiting() > 0 {
		c.startDraining()
	}
	return nil
}

// pushSealed is push for a tunnel. It may be called without data, for what waits.
func (c *conn) pushSealed(data []byte) error {
	for {
		piece := data[:min(len(data), sealAtOnce)]
		if err := c.tunnel.seal(piece); err != nil {
			return err
		}
		sealed := c.tunnel.take()
		err := c.pushRaw(sealed)
		recycle(sealed)
		if data = data[len(piece):]; err != nil || len(data) == 0 {
			return err
		}
	}
}

// sendFileSealed is sendFile for a tunnel, which the kernel cannot encrypt for.
func (c *conn) sendFileSealed(f *os.File, at, left int64) (int, error) {
	piece := make([]byte, min(left, sealAtOnce))
	n, err := f.ReadAt(piece, at)
	if n == 0 {
		if err == io.EOF {
			err = nil
		}
		return 0, err
	}
	return n, c.pushSealed(piece[:n])
}

// farewell tells the client that nothing follows, so that it knows a whole response from one that was cut (RFC 8446 §6.1).
// mu is held.
func (c *conn) farewell() {
	if t := c.tunnel; t != nil && t.open && !c.short && !c.broken && !c.draining {
		t.tls.CloseWrite() //nolint:errcheck // it writes into memory
		c.flush()          //nolint:errcheck // a client that is gone needs no goodbye
	}
}
