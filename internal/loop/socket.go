package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a connected stream socket that a loop watches. It is a net.Conn, with what net.TCPConn and net.UnixConn have
// beyond that, for goroutines that want to wait; and it calls its owner when there is something to read and no goroutine
// waits for it.
type Socket struct {
	fd       int
	borrowed bool // fd is another's to close
	readable func()
	ended    atomic.Bool
	remote   net.Addr

	users users // of fd

	mu      sync.Mutex // guards what follows; no other lock is taken under it but the loop's
	loop    *Loop      // nil: it is not watched
	watched int32      // the loop's generation of it
	prompt  bool
	shared  Shared // nil: there is no memory to look at as well

	in  gate
	out gate
}

// New makes a Socket of fd, which does not block and is the Socket's from now on. Nothing may wait for it before Watch.
func New(fd int, remote net.Addr) *Socket { return &Socket{fd: fd, remote: remote} }

// Watch begins to watch the socket. The loop's thread calls readable whenever bytes or the end of the connection may have
// come, unless a goroutine waits for that. It is told once, also of what was there before: who leaves bytes unread is not
// told of them again. Prompt sockets are heard even while others have to wait (Hold).
func (s *Socket) Watch(prompt bool, readable func()) error {
	l, err := Next()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users.closed() {
		return net.ErrClosed
	}
	s.prompt, s.readable = prompt, readable
	if s.watched, err = l.add(s.fd, prompt, s.ready); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	s.loop = l
	return nil
}

// ready is called by the loop.
func (s *Socket) ready(events uint32) {
	if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		s.out.open()
	}
	const ended = unix.EPOLLRDHUP | unix.EPOLLERR | unix.EPOLLHUP
	if events&ended != 0 {
		s.ended.Store(true)
	}
	if events&(unix.EPOLLIN|ended) != 0 && !s.in.open() {
		s.readable()
	}
}

// remind has the owner told again of what is there.
func (s *Socket) remind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop != nil {
		s.loop.rearm(s.fd, s.watched, s.prompt)
	}
}

// Ended says that the other side has closed its sending side, or all of it. Bytes may still be there to be read.
func (s *Socket) Ended() bool { return s.ended.Load() }

// Try calls f with the descriptor, which stays open meanwhile, even when Close is called. f must not wait.
func (s *Socket) Try(f func(fd int)) error {
	if !s.users.join() {
		return net.ErrClosed
	}
	defer s.leave() //nolint:errcheck // Close was to tell, and has returned
	f(s.fd)
	return nil
}

// await calls f until it says that it is done, each time that g opens.
func (s *Socket) await(g *gate, f func(fd uintptr) bool) error {
	for {
		look := g.look()
		if !s.users.join() {
			return net.ErrClosed
		}
		if g.expired() {
			s.leave() //nolint:errcheck // as in Try
			return os.ErrDeadlineExceeded
		}
		done := f(uintptr(s.fd))
		s.leave() //nolint:errcheck // as in Try
		if done {
			return nil
		}
		g.wait(look)
	}
}

// SyscallConn returns the socket itself: Read, Write and Control are those of a syscall.RawConn there.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return raw{s}, nil }

type raw struct{ *Socket }

func (r raw) Read(f func(fd uintptr) (done bool)) error  { return r.await(&r.in, f) }
func (r raw) Write(f func(fd uintptr) (done bool)) error { return r.await(&r.out, f) }
func (r raw) Control(f func(fd uintptr)) error           { return r.Try(func(fd int) { f(uintptr(fd)) }) }

// Read is net.Conn's.
func (s *Socket) Read(b []byte) (n int, err error) {
	closed := s.await(&s.in, func(fd uintptr) bool {
		n, err = retry(func() (int, error) { return unix.Read(int(fd), b) })
		return err != unix.EAGAIN
	})
	switch {
	case closed != nil:
		return 0, closed
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write is net.Conn's: it writes all of b, unless it fails.
func (s *Socket) Write(b []byte) (written int, err error) {
	closed := s.await(&s.out, func(fd uintptr) bool {
		for written < len(b) {
			n, failed := retry(func() (int, error) { return unix.Write(int(fd), b[written:]) })
			if failed == unix.EAGAIN {
				return false
			}
			if err = failed; err != nil {
				break
			}
			written += n
		}
		return true
	})
	if closed != nil {
		return written, closed
	}
	return written, os.NewSyscallError("write", err)
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// Close is net.Conn's. Goroutines that wait return; the owner is not called any more, but a call that is under way may still
// end. It waits for nobody: if the descriptor is being used, it is closed by its last user.
func (s *Socket) Close() error {
	if !s.unwatch() {
		return net.ErrClosed
	}
	s.in.open()
	s.out.open()
	return s.leave()
}

// unwatch lets nobody use the socket any more, and says whether it was the caller who did.
func (s *Socket) unwatch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.users.close() {
		return false
	}
	if s.loop != nil {
		s.unshare()
		s.loop.remove(s.fd, s.watched, s.prompt)
		s.loop = nil
	}
	return true
}

// leave closes the descriptor behind its last user.
func (s *Socket) leave() error {
	if !s.users.leave() || s.borrowed {
		return nil
	}
	return os.NewSyscallError("close", unix.Close(s.fd))
}

// CloseWrite shuts the sending side.
func (s *Socket) CloseWrite() (err error) {
	closed := s.Try(func(fd int) { err = os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR)) })
	return errors.Join(closed, err)
}

// SetLinger is net.TCPConn's: 0 makes Close end the connection with a reset.
func (s *Socket) SetLinger(seconds int) (err error) {
	linger := unix.Linger{Onoff: 1, Linger: int32(seconds)}
	closed := s.Try(func(fd int) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger))
	})
	return errors.Join(closed, err)
}

// File is net.TCPConn's: a duplicate of the socket, which does not block.
func (s *Socket) File() (f *os.File, err error) {
	closed := s.Try(func(fd int) {
		var dup int
		if dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			f = os.NewFile(uintptr(dup), "socket")
		}
	})
	if err := errors.Join(closed, os.NewSyscallError("fcntl", err)); err != nil {
		return nil, err
	}
	return f, nil
}

// RemoteAddr is net.Conn's.
func (s *Socket) RemoteAddr() net.Addr { return s.remote }

// LocalAddr is net.Conn's; nil when it cannot be found out.
func (s *Socket) LocalAddr() (local net.Addr) {
	s.Try(func(fd int) { //nolint:errcheck // a closed socket has no address
		if sa, err := unix.Getsockname(fd); err == nil {
			local = address(sa)
		}
	})
	return local
}

// SetDeadline is net.Conn's, as the two after it.
func (s *Socket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *Socket) SetReadDeadline(t time.Time) error  { return s.limit(&s.in, t) }
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.limit(&s.out, t) }

func (s *Socket) limit(g *gate, t time.Time) error {
	return s.Try(func(int) { g.limit(t) })
}

// Expired says that the time to read is up.
func (s *Socket) Expired() bool { return s.in.expired() }

// address is a peer's or a socket's own address as package net has it.
func address(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: net.IP(sa.Addr[:]), Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: net.IP(sa.Addr[:]), Port: sa.Port}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return nil
}
