package listener

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Error says why an address cannot be listened on, and what to do about it.
type Error struct {
	URI    string // the address as written
	Reason string // the cause and the remedy
	Err    error  // what the kernel said, or nil
}

func (e *Error) Error() string { return fmt.Sprintf("cannot listen on %s: %s", e.URI, e.Reason) }

func (e *Error) Unwrap() error { return e.Err }

func (b *Bind) refuse(err error, format string, args ...any) error {
	return &Error{URI: b.URI, Reason: fmt.Sprintf(format, args...), Err: err}
}

// refusePath is refuse for what can go wrong with any path.
func (b *Bind) refusePath(err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return b.refuse(err, "this user may not write there; choose another path or change its permissions")
	case errors.Is(err, unix.ENOTDIR):
		return b.refuse(err, "a part of the path is not a directory; choose another path")
	case errors.Is(err, unix.EROFS):
		return b.refuse(err, "the file system is read-only; choose another path")
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return b.refuse(err, "%v; choose another path", path.Err)
	}
	return b.refuse(err, "%v; choose another path", err)
}
