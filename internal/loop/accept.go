package loop

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keepAlive is how many seconds a TCP connection may be quiet until the kernel asks whether its other end is still there; the
// value of net.Dialer and net.ListenConfig.
const keepAlive = 15

// burst is how many connections the loop's thread accepts before it looks at other sockets.
const burst = 16

// Listener accepts connections as Sockets. Package net would have the runtime's poller watch each of them, which then wakes up
// for each of its requests, for nothing.
type Listener struct {
	net.Listener // the one it accepts from
	raw          syscall.RawConn
	socket       *Socket // has the same descriptor, and waits for it

	mu     sync.Mutex     // guards following, and is held while take runs
	take   func(net.Conn) // nil: the loop does not accept
	failed error          // why it does not any more
}

// Listen accepts from l, which must not accept any more itself.
func Listen(l net.Listener) (*Listener, error) {
	raw, err := rawConn(l)
	if err != nil {
		return nil, err
	}
	listening := &Listener{Listener: l, raw: raw, socket: &Socket{borrowed: true}}
	if err := raw.Control(func(fd uintptr) { listening.socket.fd = int(fd) }); err != nil {
		return nil, err
	}
	if _, tcp := l.Addr().(*net.TCPAddr); tcp {
		tune(listening.socket.fd)
		listening.patient(silence)
	}
	if err := listening.socket.Watch(false, listening.readable); err != nil {
		return nil, err
	}
	return listening, nil
}

// silence is for how long a client may be connected before it is accepted without having sent anything, in seconds; then the
// kernel asks it once more whether it is there, which takes a second by itself.
const silence = 1

// patient has the kernel keep connections back, for so many seconds, until their clients have sent something. Then accepting and
// reading is one step: the loop wakes up once for a new client, and finds its request. 0: they are accepted at once.
func (l *Listener) patient(seconds int) {
	l.socket.Try(func(fd int) { //nolint:errcheck // of a closed listener nobody is accepted
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, seconds) //nolint:errcheck // a wish
	})
}

// Impatient has connections accepted before their clients have sent anything. It is for who stops listening.
func (l *Listener) Impatient() { l.patient(0) }

// Accept waits for a connection.
func (l *Listener) Accept() (conn net.Conn, err error) {
	closed := l.socket.await(&l.socket.in, func(uintptr) bool {
		conn, err = l.accept()
		return err != unix.EAGAIN
	})
	if closed != nil {
		return nil, closed
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Each has the loop's thread accept connections and call take with each, until something is wrong or the deadline is over: it
// returns the reason, and nothing is accepted after that. To accept in a goroutine of its own takes a switch of threads for
// each connection of a client that opens one per request. take must not block.
func (l *Listener) Each(take func(net.Conn)) error {
	l.begin(take)
	l.readable() // for those who came before
	closed := l.socket.await(&l.socket.out, func(uintptr) bool { return l.failure() != nil })
	if failed := l.end(); closed == nil {
		return failed
	}
	return closed
}

func (l *Listener) begin(take func(net.Conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.take, l.failed = take, nil
}

func (l *Listener) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *Listener) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.take = nil
	return l.failed
}

// readable accepts those who wait.
func (l *Listener) readable() {
	if l.acceptSome() {
		l.socket.remind() // without the lock: who closes the socket waits for those who look for a failure
	}
}

// acceptSome says whether more may wait.
func (l *Listener) acceptSome() (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range burst {
		if l.take == nil {
			return false
		}
		conn, err := l.accept()
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			l.take, l.failed = nil, err
			l.socket.out.open()
			return false
		}
		l.take(conn)
	}
	return true
}

// accept takes a connection that waits; unix.EAGAIN: there is none.
func (l *Listener) accept() (conn net.Conn, err error) {
	closed := l.raw.Control(func(fd uintptr) {
		for {
			if conn, err = accept(fd); err != unix.EINTR && err != unix.ECONNABORTED {
				return
			}
		}
	})
	if closed != nil {
		return nil, closed
	}
	return conn, err
}

// accepted is a Socket and its client's address, in one piece of memory.
type accepted struct {
	Socket
	address net.TCPAddr
	ip      [16]byte
}

// accept is accept4(2). That of package unix asks for the protocol of each connection as well, in a further system call, to
// make an address.
func accept(listening uintptr) (net.Conn, error) {
	var from unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, listening, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR, unix.ECONNABORTED:
		return nil, errno
	default:
		return nil, os.NewSyscallError("accept4", errno)
	}
	a := &accepted{}
	a.fd = int(fd)
	a.remote = a.from(&from)
	return &a.Socket, nil
}

// from is the address of a client.
func (a *accepted) from(sa *unix.RawSockaddrAny) net.Addr {
	port := func(p *uint16) int { return int(binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])) }
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		a.address = net.TCPAddr{IP: append(a.ip[:0], in.Addr[:]...), Port: port(&in.Port)}
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		a.address = net.TCPAddr{IP: append(a.ip[:0], in.Addr[:]...), Port: port(&in.Port)}
	default:
		return fromUnix // clients seldom bind theirs
	}
	return &a.address
}

var fromUnix net.Addr = &net.UnixAddr{Net: "unix"}

// SetDeadline is net.TCPListener's, and goes for Each, too.
func (l *Listener) SetDeadline(t time.Time) error { return l.socket.SetDeadline(t) }

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

// tune sets what package net sets on TCP connections. Those that a listener accepts have it from there, which saves four
// system calls for each.
func tune(fd int) {
	// Wishes: without them, a connection serves as well.
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)           //nolint:errcheck
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)           //nolint:errcheck
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAlive)  //nolint:errcheck
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAlive) //nolint:errcheck
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
