package worker

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is one OS process that is this one's to wait for: a child, or an orphan that came to it as subreaper.
//
// It is held by a pidfd (pidfd_open(2), Linux 5.10 or newer): a number may come to mean another process, a pidfd does not,
// and the runtime's poller waits for any number of them without a thread each.
type process struct {
	pid  int
	file *os.File // the pidfd
	raw  syscall.RawConn

	done   chan struct{} // closed when the process has ended and was waited for
	status syscall.WaitStatus
	err    error // why the status is not known
}

// spawn starts cmd and waits for it from then on; cmd.Wait is not to be called.
func spawn(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p, err := adopt(cmd.Process.Pid)
	if err != nil {
		cmd.Process.Kill() //nolint:errcheck // it is not waited for yet, so it is there
		cmd.Wait()         //nolint:errcheck // as above
		return nil, err
	}
	cmd.Process.Release() //nolint:errcheck // it only gives back what Go knows of it
	return p, nil
}

// adopt waits for a process that somebody else started and that is a child of this one now.
func adopt(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d (Linux 5.10 or newer is needed): %w", pid, err)
	}
	p := &process{pid: pid, file: os.NewFile(uintptr(fd), "pidfd"), done: make(chan struct{})}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	ours.add(pid)
	go p.wait()
	return p, nil
}

// wait is the one place that waits for the process. It ends with it.
func (p *process) wait() {
	err := p.raw.Read(func(uintptr) bool {
		var pid int
		// By number, which is safe: the number stays taken until this very call.
		pid, p.err = waitFor(p.pid, &p.status)
		return pid != 0 || p.err != nil
	})
	if p.err == nil {
		p.err = err
	}
	ours.remove(p.pid)
	p.file.Close()
	close(p.done)
}

// waitFor is wait4(2) that does not wait: 0 says that the process has not ended.
func waitFor(pid int, status *syscall.WaitStatus) (int, error) {
	for {
		got, err := syscall.Wait4(pid, status, syscall.WNOHANG, nil)
		if err != syscall.EINTR {
			return got, err
		}
	}
}

// ended says whether the process has ended, which may be so a moment before done says it.
func (p *process) ended() bool {
	ready := true
	p.raw.Control(func(fd uintptr) { //nolint:errcheck // closed: it has ended
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		ready = n > 0 && err == nil
	})
	return ready
}

// signal sends the process a signal; one that has ended needs none.
func (p *process) signal(sig syscall.Signal) {
	p.raw.Control(func(fd uintptr) { //nolint:errcheck // as above
		unix.PidfdSendSignal(int(fd), sig, nil, 0) //nolint:errcheck // as above
	})
}

// family is the set of processes that have somebody who waits for them.
type family struct {
	mu   sync.Mutex
	pids map[int]bool
}

// ours are the processes of this package: the reaper leaves them alone.
var ours = family{pids: map[int]bool{}}

func (f *family) add(pid int) {
	f.mu.Lock()
	f.pids[pid] = true
	f.mu.Unlock()
}

func (f *family) remove(pid int) {
	f.mu.Lock()
	delete(f.pids, pid)
	f.mu.Unlock()
}

func (f *family) has(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pids[pid]
}
