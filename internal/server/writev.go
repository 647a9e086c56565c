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
