package testkit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Process is one process of this machine, which a later one with the same number is not taken for.
type Process struct {
	PID   int
	start string // its start time, in the kernel's ticks
}

// FindProcess returns the process with a number; it may be gone already.
func FindProcess(pid int) Process {
	return Process{pid, stat(pid, statStart)}
}

// Alive reports whether the process is there and is no zombie.
func (p Process) Alive() bool {
	state := stat(p.PID, statState)
	return p.start != "" && stat(p.PID, statStart) == p.start && state != "Z" && state != "X"
}

// Freeze stops a process as SIGSTOP does, and returns when all of its threads have: until then they run on, and may answer.
func (p Process) Freeze(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	WaitFor(t, "all threads have stopped", p.frozen)
}

func (p Process) frozen() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID))
	for _, path := range threads {
		if stat, err := os.ReadFile(path); err != nil || !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return len(threads) > 0
}

// isMold tells by its title, or while it boots by its script, that the process is a mold.
func (p Process) isMold() bool {
	return strings.Contains(p.String(), "serval: mold") || strings.Contains(p.String(), "/serval/mold.rb")
}

func (p Process) String() string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	return fmt.Sprintf("%d (%s)", p.PID, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
}

// Children returns the processes whose parent is pid, youngest last.
func Children(pid int) []Process {
	var found []Process
	for _, child := range processes() {
		if stat(child, statParent) == strconv.Itoa(pid) {
			found = append(found, FindProcess(child))
		}
	}
	return found
}

// Descendants returns the children of pid, their children and so on.
func Descendants(pid int) []Process {
	found := Children(pid)
	for _, child := range found {
		found = append(found, Descendants(child.PID)...)
	}
	return found
}

func processes() []int {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(filepath.Base(entry)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Fields of /proc/PID/stat behind the command's name, from 0 (proc(5)).
const (
	statState  = 0
	statParent = 1
	statStart  = 19
)

func stat(pid, field int) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) <= field {
		return ""
	}
	return string(fields[field])
}

// Descriptors returns what the open descriptors of a process are, for counting and for saying which are too many.
func Descriptors(t testing.TB, pid int) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			open = append(open, target)
		}
	}
	return open
}

// PeakMemory returns the most resident memory a process has ever had, in bytes (proc(5), VmHWM).
func PeakMemory(t testing.TB, pid int) int64 { return status(t, pid, "VmHWM:") << 10 }

// Threads returns how many threads a process has.
func Threads(t testing.TB, pid int) int { return int(status(t, pid, "Threads:")) }

func status(t testing.TB, pid int, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == name {
			n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			return n
		}
	}
	t.Fatalf("/proc/%d/status says nothing of %s", pid, name)
	return 0
}
