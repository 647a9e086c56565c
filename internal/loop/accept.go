package loop

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive is how many seconds a TCP connection may be quiet until the kernel asks whether its other end is still there; the
// value of net.Dialer and net.ListenConfig.
const keepAlive = 15

// Listener accepts connections as Sockets. Package net would have the runtime's poller watch each of them, which then wakes up
// for each of its requests, for nothing.
type Listener struct {
	net.Listener // the one it accepts from
	raw          syscall.RawConn
	socket       *Socket // has the same descriptor, and waits for it
}

// Listen accepts from l, which must not accept any more itself.
func Listen(l net.Listener) (*Listener, error) {
	raw, err := rawConn(l)
	if err != nil {
		return nil, err
	}
	s := &Socket{borrowed: true}
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return nil, err
	}
	if err := s.Watch(false, func() {}); err != nil {
		return nil, err
	}
	return &Listener{l, raw, s}, nil
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	var fd int
	var from unix.Sockaddr
	var err error
	accept := func(listening uintptr) {
		for {
			fd, from, err = unix.Accept4(int(listening), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != unix.EINTR && err != unix.ECONNABORTED {
				return
			}
		}
	}
	closed := l.socket.await(&l.socket.in, func(uintptr) bool {
		if failed := l.raw.Control(accept); failed != nil {
			err = failed
		}
		return err != unix.EAGAIN
	})
	if closed != nil {
		return nil, closed
	}
	if err != nil {
		return nil, os.NewSyscallError("accept4", err)
	}
	s := New(fd, address(from))
	s.tune()
	return s, nil
}

// SetDeadline is net.TCPListener's.
func (l *Listener) SetDeadline(t time.Time) error { return l.socket.SetReadDeadline(t) }

// Close closes both.
func (l *Listener) Close() error {
	l.socket.Close()
	return l.Listener.Close()
}

// From makes a Socket of a connection of package net, which is closed then. An error leaves it open.
func From(nc net.Conn) (*Socket, error) {
	fd, err := duplicate(nc)
	if err != nil {
		return nil, err
	}
	s := New(fd, nc.RemoteAddr())
	nc.Close()
	return s, nil
}

// tune sets what package net sets on TCP connections.
func (s *Socket) tune() {
	if _, tcp := s.remote.(*net.TCPAddr); !tcp {
		return
	}
	// Wishes: without them, the connection serves as well.
	unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)           //nolint:errcheck
	unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)           //nolint:errcheck
	unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAlive)  //nolint:errcheck
	unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAlive) //nolint:errcheck
}

// duplicate is a descriptor of its own for what c has one for.
func duplicate(c any) (fd int, err error) {
	raw, err := rawConn(c)
	if err != nil {
		return -1, err
	}
	if closed := raw.Control(func(theirs uintptr) { fd, err = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0) }); closed != nil {
		return -1, closed
	}
	return fd, os.NewSyscallError("fcntl", err)
}

func rawConn(c any) (syscall.RawConn, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("it has no descriptor")
	}
	return sc.SyscallConn()
}
