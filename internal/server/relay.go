package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/dispatch"
	"serval/internal/wire"
)

// relay stands between an app that has taken its client's connection over and a client that speaks TLS: the app gets one end of
// a pair of sockets, and what it writes there is encrypted for the client, and the other way round. It is the front's, so it
// outlives no front; it ends when either side does. Whoever is slow makes the other one wait, as the kernel would.
type relay struct {
	c    *conn
	in   []byte        // what was read of the client before
	pair *net.UnixConn // our end
	raw  syscall.RawConn
	both sync.WaitGroup
}

// relayPiece is how many bytes a relay passes on at once. A relay that waits has no buffer.
const relayPiece = 32 << 10

var relayPool = sync.Pool{New: func() any { return new([relayPiece]byte) }}

// relay gives the app one end of a relay, which has the connection from now on.
func (c *conn) relay(give dispatch.Give, leftover []byte) {
	var ahead []byte
	if len(leftover) > wire.MaxText { // more than can go along
		ahead, leftover = leftover, nil
	}
	r, f, err := newRelay(c, ahead)
	if err != nil {
		c.notGiven(err)
		give(nil, nil)
		return
	}
	c.lent = true
	c.srv.relay(r)
	give(f, leftover)
}

// newRelay returns a relay for a hijacked connection, and the app's end of it.
func newRelay(c *conn, in []byte) (*relay, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "relay"), os.NewFile(uintptr(fds[1]), "relay")
	defer ours.Close() // FileConn works on a duplicate
	nc, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	r := &relay{c: c, in: bytes.Clone(in), pair: nc.(*net.UnixConn)}
	if r.raw, err = r.pair.SyscallConn(); err != nil {
		r.pair.Close()
		theirs.Close()
		return nil, nil, err
	}
	return r, theirs, nil
}

// run passes on until both sides have ended, or one is gone.
func (r *relay) run() {
	r.c.nc.SetDeadline(time.Time{}) //nolint:errcheck // a closed connection ends at once
	r.both.Go(r.toApp)
	r.both.Go(r.toClient)
	r.both.Wait()
	r.close()
}

// close ends both sides at once.
func (r *relay) close() {
	r.pair.Close()
	r.c.nc.Close()
}

// toApp passes on what the client sends. Its end is passed on, too: the app may have more to say. When the app has closed its
// end, what still comes is dropped: what the app wrote before may be on its way to the client.
func (r *relay) toApp() {
	deaf := false
	hear := func(data []byte) error {
		if len(data) > 0 && !deaf {
			_, err := r.pair.Write(data)
			deaf = err != nil
		}
		if r.c.tunnel.waiting() > sealAtOnce+sealAtOnce/4+maxUnasked {
			return errors.New("the client wants answers to its TLS messages and reads none")
		}
		return nil
	}
	err := hear(r.in)
	r.in = nil
	if err == nil {
		err = r.copy(r.c.raw, r.c.tunnel.read, hear)
	}
	if err != nil {
		r.close()
		return
	}
	r.pair.CloseWrite() //nolint:errcheck // an app that is gone needs no goodbye
}

// toClient passes on what the app writes. When the app has closed the connection, the client has a moment to close it as well.
func (r *relay) toClient() {
	err := r.copy(r.raw, syscall.Read, r.c.pushSealed)
	if err != nil {
		r.close()
		return
	}
	r.c.tunnel.tls.CloseWrite() //nolint:errcheck // it writes into memory
	if r.c.pushSealed(nil) != nil {
		r.close()
		return
	}
	r.c.nc.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // a client that is gone needs no goodbye
	if r.awaitClose() {
		r.c.nc.SetReadDeadline(time.Now().Add(lingerTime)) //nolint:errcheck // as above
	}
}

// copy passes on all that comes from a socket, to its end.
func (r *relay) copy(from syscall.RawConn, read func(fd int, p []byte) (int, error), write func([]byte) error) error {
	for {
		buf := relayPool.Get().(*[relayPiece]byte)
		var n int
		var err error
		closed := from.Read(func(fd uintptr) bool {
			if buf == nil {
				buf = relayPool.Get().(*[relayPiece]byte)
			}
			for {
				if n, err = read(int(fd), buf[:]); err != syscall.EINTR {
					break
				}
			}
			if err == syscall.EAGAIN {
				relayPool.Put(buf)
				buf = nil
				return false
			}
			return true
		})
		if err == nil {
			err = closed
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err == nil {
			err = write(buf[:n])
		}
		if buf != nil {
			relayPool.Put(buf)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// awaitClose waits until the app has closed its end, when it has only said that it writes no more. It reports false when the
// relay was closed meanwhile.
func (r *relay) awaitClose() bool {
	return r.raw.Read(func(fd uintptr) bool {
		events := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(events, 0)
		return err == nil && n > 0 && events[0].Revents&unix.POLLHUP != 0
	}) == nil
}

// relay has r run until its end, beside the server's connections.
func (s *Server) relay(r *relay) {
	r.c.mu.Lock()
	r.c.work = nil // nothing of the request is needed any more
	r.c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relays[r] = struct{}{}
	s.relaying.Go(func() {
		r.run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.relays, r)
	})
}

// Part waits until the hijacked connections that speak TLS have ended. It comes after the apps', who have them: what they have
// written is still passed on. When ctx ends, the rest is closed.
func (s *Server) Part(ctx context.Context) {
	over := make(chan struct{})
	go func() {
		s.relaying.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
		s.mu.Lock()
		for r := range s.relays {
			r.close()
		}
		s.mu.Unlock()
		<-over
	}
}
