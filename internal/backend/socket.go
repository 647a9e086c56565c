package backend

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// listens reports whether somebody listens on a unix socket, without connecting: that would be a client. The kernel's list
// has those sockets with the flag of accepting ones (proc(5), /proc/net/unix).
func listens(path string) bool {
	if path == "" {
		return false
	}
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		// Num: RefCount Protocol Flags Type St Inode Path
		if fields := strings.Fields(line); len(fields) == 8 && fields[3] == "00010000" && fields[7] == path {
			return true
		}
	}
	return false
}

func signalName(number int64) string {
	if name := unix.SignalName(syscall.Signal(number)); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return "?"
}
