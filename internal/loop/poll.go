package loop

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const forever time.Duration = -1

// poll takes the events that are there, and waits for one, for so many milliseconds, if there is none. Where it waits, the
// runtime is told, so that others have the processor meanwhile; where it does not, telling would cost more than the call.
func poll(epoll int, events []unix.EpollEvent, wait time.Duration) []unix.EpollEvent {
	n := 0
	switch {
	case wait == 0:
		r, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if errno == 0 {
			n = int(r)
		}
	case wait < 0:
		n, _ = unix.EpollWait(epoll, events, -1) // an interrupted wait is one without events
	default:
		n, _ = unix.EpollWait(epoll, events, int(wait/time.Millisecond))
	}
	return events[:max(n, 0)]
}

// pause sleeps, by and large for d. The runtime's own sleep would set a timer, and another thread would wait for it.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil) //nolint:errcheck // a signal may end it early
}
