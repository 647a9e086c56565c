package server

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// spoolFile makes a file that has no name, so that it is gone when the last descriptor of it is, whatever happens.
func spoolFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(spool)"), nil
	}
	// Some file systems have no O_TMPFILE (open(2)).
	f, err := os.CreateTemp(dir, "serval-spool-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a spool file (--spool-dir): %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot make a spool file (--spool-dir): %w", err)
	}
	return f, nil
}
