package systemd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Journal reports whether a descriptor is the journal's: systemd connected it to journald and said so (JOURNAL_STREAM,
// systemd.exec(5)). Lines for the journal need no time of their own, and may begin with their priority
// (sd-daemon(3)): "<3>" is an error, "<4>" a warning, "<6>" all else.
func Journal(fd int, environ []string) bool {
	stream := lookup(environ, "JOURNAL_STREAM")
	if stream == "" {
		return false
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
