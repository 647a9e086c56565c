package worker

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit says how a worker ended.
type Exit struct {
	Status      syscall.WaitStatus
	Fault       error // what it did that made Serval kill it
	OutOfMemory bool  // it was killed, and the kernel's out-of-memory killer was at work meanwhile
	Err         error
}

// Clean says that the worker left by itself, without complaint.
func (e Exit) Clean() bool { return e.Err == nil && e.Status.Exited() && e.Status.ExitStatus() == 0 }

func (e Exit) String() string {
	switch {
	case e.Err != nil:
		return "ended in an unknown way: " + e.Err.Error()
	case e.Fault != nil:
		return "was killed by Serval because " + e.Fault.Error()
	case e.Status.Signaled() && e.OutOfMemory:
		return "was killed by SIGKILL, out of memory: the kernel's OOM killer was at work"
	case e.Status.Signaled():
		text := "was killed by " + unix.SignalName(e.Status.Signal())
		if e.Status.CoreDump() {
			text += " and dumped core"
		}
		return text
	default:
		return fmt.Sprintf("exited with status %d", e.Status.ExitStatus())
	}
}

// oomKills counts how often the kernel's out-of-memory killer struck, on this machine and in this control group
// (proc(5), /proc/vmstat; the kernel's cgroup-v2.rst, memory.events). Inside a container only one of them may be there.
func oomKills() int64 {
	return counter("/proc/vmstat") + counter("/sys/fs/cgroup/memory.events")
}

func counter(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, _ := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			return n
		}
	}
	return 0
}
