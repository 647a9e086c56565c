// Package process is processes of this machine that are not ours to wait for: found by a number, told from any later one
// with the same number, signalled, and their end awaited.
package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

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
	file   *os.File // a pidfd (pidfd_open(2))
	exited chan struct{}
	done   sync.WaitGroup
}

// Open takes hold of a process; os.ErrProcessDone when it is gone. Close lets go.
func (id ID) Open() (*Handle, error) {
	if id.PID <= 0 {
		return nil, os.ErrProcessDone
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, os.ErrProcessDone
	}
	if err != nil {
		return nil, fmt.Errorf("cannot take hold of process %d: %w", id.PID, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or a thread would be spent on each wait
		unix.Close(fd)
		return nil, fmt.Errorf("cannot take hold of process %d: %w", id.PID, err)
	}
	h := &Handle{ID: id, file: os.NewFile(uintptr(fd), "pidfd"), exited: make(chan struct{})}
	if !id.Alive() { // asked after the hold was taken, so that the answer is about what is held
		h.file.Close()
		return nil, os.ErrProcessDone
	}
	h.done.Add(1)
	go h.wait()
	return h, nil
}

func (h *Handle) wait() {
	defer h.done.Done()
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

// Exited is closed when the process has ended; zombies have.
func (h *Handle) Exited() <-chan struct{} { return h.exited }

// Signal sends a signal to the process; os.ErrProcessDone when it has ended.
func (h *Handle) Signal(signal syscall.Signal) error {
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

// Close lets the process go. Exited is never closed after that.
func (h *Handle) Close() {
	h.file.Close()
	h.done.Wait()
}
