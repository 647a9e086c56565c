// Package listener opens the sockets Serval listens on. All are opened or none; what cannot be opened is refused with
// a sentence that says why and what to do; and a socket file is removed only by the Serval that made it.
package listener

import (
	"crypto/tls"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/tlsconfig"
)

// Listener is an open socket with a name.
type Listener struct {
	net.Listener

	// Name tells this listener from all others, through restarts: "tcp://127.0.0.1:9292", "unix:///run/app.sock".
	// The port is the one asked for, so it is 0 where the kernel chose it.
	Name string

	// URL is the address for people and clients: "http://127.0.0.1:9292", with the real port, "https://…", "unix:///run/app.sock".
	URL string

	// Notice is a line for the log about something that differs from what was asked for. Mostly empty.
	Notice string

	// Activated is systemd's name for a socket that it opened, empty for all others. It is none of our business to remove
	// its file, and a restart leaves it open even if no bind names it.
	Activated string

	bind     string      // the key of the bind it is for
	file     *socketFile // the unix path we made, or nil
	borrowed bool        // the file is another process's to remove
	close    func() error
	secure   atomic.Pointer[tlsconfig.Config] // nil: what comes is not TLS
}

// Listen opens a socket for each bind, more than one for the name localhost, in order. When one cannot be opened, all
// are closed again.
func Listen(binds []Bind) ([]*Listener, error) {
	var open []*Listener
	for i := range binds {
		more, err := listen(&binds[i], binds)
		if err != nil {
			CloseAll(open)
			return nil, err
		}
		open = append(open, more...)
	}
	return open, nil
}

// CloseAll closes listeners and returns the first error.
func CloseAll(listeners []*Listener) error {
	var first error
	for _, l := range listeners {
		if err := l.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Close stops listening, and removes the socket file if it is still the one made here. It may be called again.
func (l *Listener) Close() error { return l.close() }

// SetDeadline ends an Accept that waits longer, as net.TCPListener's does.
func (l *Listener) SetDeadline(t time.Time) error {
	return l.Listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(t)
}

// File is a duplicate of the socket, for a process that is to inherit it. It outlives the listener.
func (l *Listener) File() (*os.File, error) {
	return l.Listener.(interface{ File() (*os.File, error) }).File()
}

// TLS is how the next connection is to be secured; nil: it is not.
func (l *Listener) TLS() *tls.Config {
	if secure := l.secure.Load(); secure != nil {
		return secure.TLS()
	}
	return nil
}

// Notices are lines for the log about what differs from what was asked for.
func (l *Listener) Notices() []string {
	var all []string
	if l.Notice != "" {
		all = append(all, l.Notice)
	}
	if secure := l.secure.Load(); secure != nil {
		for _, notice := range secure.Notices() {
			all = append(all, strings.Replace(l.bind, "tcp://", "ssl://", 1)+": "+notice)
		}
	}
	return all
}

// Renew reads the certificate anew when its file has changed, and says when the new one expires. An error leaves the old one in
// use, and is told once.
func (l *Listener) Renew() (renewed bool, expires time.Time, err error) {
	secure := l.secure.Load()
	if secure == nil {
		return false, time.Time{}, nil
	}
	renewed, err = secure.Renew()
	return renewed, secure.Expires(), err
}

// Secure has each listener speak TLS, or not, as its bind says. Connections there are go on as they are.
func Secure(listeners []*Listener, binds []Bind) {
	for _, l := range listeners {
		for i := range binds {
			if b := &binds[i]; b.key() == l.bind {
				l.follow(b)
			}
		}
	}
}

// follow makes the listener one for b, TLS and all.
func (l *Listener) follow(b *Bind) {
	l.bind = b.key()
	l.secure.Store(b.secure)
	if b.secure == nil {
		l.URL = strings.Replace(l.URL, "https://", "http://", 1)
	} else {
		l.URL = strings.Replace(l.URL, "http://", "https://", 1)
	}
}

// SyscallConn gives access to the descriptor.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	return l.Listener.(syscall.Conn).SyscallConn()
}

func listen(b *Bind, all []Bind) (open []*Listener, err error) {
	if b.Network == "unix" {
		var l *Listener
		l, err = listenUnix(b)
		open = []*Listener{l}
	} else {
		open, err = listenTCP(b, all)
	}
	if err != nil {
		return nil, err
	}
	for _, l := range open {
		l.follow(b)
	}
	return open, nil
}

// wrap makes a Listener of a socket that is listening, and takes the socket over.
func wrap(fd int, file *socketFile) (*Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close() // FileListener works on a duplicate
	inner, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	l := &Listener{Listener: inner, file: file}
	l.close = sync.OnceValue(func() error {
		// The file goes first, so that nobody finds a path that no longer answers.
		if l.file != nil && !l.borrowed {
			l.file.remove()
		}
		return l.Listener.Close()
	})
	return l, nil
}

// open makes a socket, binds it, and listens; prepare runs between the first two, and then between the last two.
func open(family int, addr unix.Sockaddr, backlog int, options func(fd int) error, bound func() error) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	for _, step := range []func() error{
		func() error { return options(fd) },
		func() error { return unix.Bind(fd, addr) },
		bound,
		func() error { return unix.Listen(fd, backlog) },
	} {
		if err := step(); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}
