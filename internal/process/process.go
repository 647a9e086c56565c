// Package process is processes of this machine that are not ours to wait for: found by a number, told from any later one
// with the same number, signalled, and their end awaited.
package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ID is one process of this boot: its number and when it began, in the kernel's ticks since then. The zero ID is none.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// Find returns the process with a number, os.ErrProcessDone when there is none. A zombie is none.
func Find(pid int) (ID, error) {
	row, err := Look(pid)
	if err != nil || row.State == 'Z' || row.State == 'X' {
		return ID{}, os.ErrProcessDone
	}
	return row.ID, nil
}

// Alive reports whether the process is still there, and no zombie.
func (id ID) Alive() bool {
	now, err := Find(id.PID)
	return err == nil && id.PID > 0 && now == id
}

// Handle is a hold on a process, even after its end: nothing that is done with it reaches another one. It is a
// sequence.Target.
type Handle struct {
	ID
	file   *os.File // a pidfd (pidfd_open(2)); nil on kernels older than 5.3
	exited chan struct{}
	stop   chan struct{} // closed by Close
	once   sync.Once
	done   sync.WaitGroup
}

// Open takes hold of a process; os.ErrProcessDone when it is gone. Close lets go.
func (id ID) Open() (*Handle, error) {
	if id.PID <= 0 {
		return nil, os.ErrProcessDone
	}
	h := &Handle{ID: id, exited: make(chan struct{}), stop: make(chan struct{})}
	switch fd, err := pidfdOpen(id.PID, 0); {
	case errors.Is(err, unix.ESRCH):
		return nil, os.ErrProcessDone
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM): // an old kernel, or an old container
	case err != nil:
		return nil, fmt.Errorf("cannot take hold of process %d: %w", id.PID, err)
	default:
		if err := unix.SetNonblock(fd, true); err != nil { // or a thread would be spent on each wait
			unix.Close(fd)
			return nil, fmt.Errorf("cannot take hold of process %d: %w", id.PID, err)
		}
		h.file = os.NewFile(uintptr(fd), "pidfd")
	}
	if !id.Alive() { // asked after the hold was taken, so that the answer is about what is held
		h.file.Close() // nil is all right, too
		return nil, os.ErrProcessDone
	}
	h.done.Add(1)
	go h.wait()
	return h, nil
}

// pidfdOpen is what tests take away.
var pidfdOpen = unix.PidfdOpen

// glance is how often a process is looked at where the kernel does not tell.
const glance = 50 * time.Millisecond

func (h *Handle) wait() {
	defer h.done.Done()
	if h.file == nil {
		h.poll()
		return
	}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return
	}
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			if err != unix.EINTR {
				return n > 0
			}
		}
	})
	if err == nil {
		close(h.exited)
	}
}

// poll is wait for kernels without pidfds.
func (h *Handle) poll() {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for h.Alive() {
		select {
		case <-ticker.C:
		case <-h.stop:
			return
		}
	}
	close(h.exited)
}

// Exited is closed when the process has ended; zombies have.
func (h *Handle) Exited() <-chan struct{} { return h.exited }

// Signal sends a signal to the process; os.ErrProcessDone when it has ended.
func (h *Handle) Signal(signal syscall.Signal) error {
	if h.file == nil {
		return h.kill(signal)
	}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), signal, nil, 0) })
	if err == nil {
		err = sent
	}
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// kill is Signal for kernels without pidfds: between the look and the signal is no time for a number to be used again.
func (h *Handle) kill(signal syscall.Signal) error {
	if !h.Alive() {
		return os.ErrProcessDone
	}
	err := syscall.Kill(h.PID, signal)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Close lets the process go. Exited is never closed after that.
func (h *Handle) Close() {
	h.once.Do(func() { close(h.stop) })
	h.file.Close()
	h.done.Wait()
}
