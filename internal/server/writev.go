package server

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writev writes two buffers in one system call. net.Buffers would do, but waits until the socket has taken all.
func writev(fd int, a, b []byte) (int, error) {
	if len(a) == 0 {
		return syscall.Write(fd, b)
	}
	var iov [2]unix.Iovec
	iov[0].Base, iov[1].Base = &a[0], &b[0]
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 2)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// writeLast is write(2) for the last bytes of a connection that is shut or closed next: a TCP socket sends them together with its
// end, in one packet instead of two.
func writeLast(fd int, b []byte) (int, error) {
	n, _, errno := syscall.Syscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_MORE|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
