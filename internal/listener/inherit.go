package listener

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Passed describes a listener on its way into another process, which gets its socket as a descriptor besides.
type Passed struct {
	Name, URL string
	Bind      string // the key of the bind it is for
	Activated string `json:",omitempty"`
	Path      string `json:",omitempty"` // of its socket file, if Serval made one
	Inode     uint64 `json:",omitempty"` // of that file
}

// Pass describes the listener for a process that is to inherit it.
func (l *Listener) Pass() Passed {
	p := Passed{Name: l.Name, URL: l.URL, Bind: l.bind, Activated: l.Activated}
	if l.file != nil {
		p.Path, p.Inode = l.file.path, l.file.inode()
	}
	return p
}

// Duplicate returns another descriptor of the socket, closed on exec. The socket stays as it is; the Fd of its File would
// make it blocking, for all processes that share it.
func (l *Listener) Duplicate() (fd int, err error) {
	raw, err := l.Listener.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	closed := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if closed != nil {
		return -1, closed
	}
	return fd, err
}

// Inherit makes a listener of a socket that another process opened; the descriptor stays the caller's. The socket's file
// stays the other process's, until Own.
func Inherit(p Passed, fd int) (*Listener, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the socket of %s was not passed on: %w", p.Name, err)
	}
	l, err := wrap(own, nil)
	if err != nil {
		return nil, fmt.Errorf("what was passed on as the socket of %s is none: %w", p.Name, err)
	}
	l.Name, l.URL, l.bind, l.Activated = p.Name, p.URL, p.Bind, p.Activated
	if p.Path == "" {
		return l, nil
	}
	// One that was removed or replaced since is nobody's to remove.
	if file, err := newSocketFile(p.Path); err == nil && file.inode() == p.Inode {
		l.file = file
		l.borrowed = true
	}
	return l, nil
}

// Mute says that the listener's clients speak TLS to it, and no bind says how any more.
func (l *Listener) Mute() bool { return strings.HasPrefix(l.URL, "https://") && l.secure.Load() == nil }

// Own makes the socket's file this process's to remove, when it closes the listener.
func (l *Listener) Own() { l.borrowed = false }

// Disown leaves the socket's file to another process.
func (l *Listener) Disown() { l.borrowed = true }

func (f *socketFile) inode() uint64 {
	if stat, ok := f.info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}
