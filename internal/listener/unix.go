package listener

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func listenUnix(b *Bind) (*Listener, error) {
	if err := b.checkLength(); err != nil {
		return nil, err
	}
	if b.Abstract != "" {
		return listenAbstract(b)
	}
	if err := b.clearPath(); err != nil {
		return nil, err
	}
	var file *socketFile
	fd, err := open(unix.AF_UNIX, &unix.SockaddrUnix{Name: b.Path}, b.Backlog, noOptions, func() (err error) {
		// The permissions are set between bind and listen, when nobody can connect yet. A umask would do it in one
		// step, but it is the whole process's and would reach files that others create at this moment.
		if file, err = newSocketFile(b.Path); err != nil {
			return err
		}
		return os.Chmod(b.Path, fs.FileMode(b.Mode))
	})
	if err != nil {
		if file != nil {
			file.remove()
		}
		return nil, b.unixError(err)
	}
	l, err := wrap(fd, file)
	if err != nil {
		file.remove()
		return nil, b.unixError(err)
	}
	l.Name = "unix://" + b.Path
	l.URL = l.Name
	return l, nil
}

func listenAbstract(b *Bind) (*Listener, error) {
	fd, err := open(unix.AF_UNIX, &unix.SockaddrUnix{Name: "@" + b.Abstract}, b.Backlog, noOptions, func() error { return nil })
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, b.refuse(err, "another process listens on that name; stop it or choose another name")
	}
	if err != nil {
		return nil, b.unixError(err)
	}
	l, err := wrap(fd, nil)
	if err != nil {
		return nil, b.unixError(err)
	}
	l.Name = "unix://@" + b.Abstract
	l.URL = l.Name
	return l, nil
}

func noOptions(int) error { return nil }

// clearPath removes a socket that a dead server left behind. It refuses to touch anything else.
func (b *Bind) clearPath() error {
	before, err := os.Lstat(b.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return b.refusePath(err)
	}
	if before.Mode().Type() != fs.ModeSocket {
		return b.refuse(nil, "there is a file that is not a socket; move it away or choose another path")
	}
	switch err := probe(b.Path); {
	case errors.Is(err, unix.ECONNREFUSED):
	case err == nil, errors.Is(err, unix.EAGAIN):
		return b.refuse(nil, "another server is answering there; stop it or choose another path")
	case errors.Is(err, unix.ENOENT):
		return nil
	default:
		return b.refusePath(err)
	}
	// Another server may have put its own socket there since; that one stays, and bind refuses the path.
	if now, err := os.Lstat(b.Path); err != nil || !os.SameFile(before, now) {
		return nil
	}
	if err := os.Remove(b.Path); err != nil {
		return b.refusePath(err)
	}
	return nil
}

// probe connects to a socket: nil or EAGAIN (its backlog is full) if someone listens, ECONNREFUSED if nobody does.
func probe(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}

func (b *Bind) unixError(err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return b.refuse(err, "another server is answering there; stop it or choose another path")
	case errors.Is(err, unix.ENOENT):
		return b.refuse(err, "the directory %s does not exist; create it or choose another path", filepath.Dir(b.Path))
	}
	return b.refusePath(err)
}
