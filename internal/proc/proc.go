// Package proc is a look at other processes, as the kernel shows them in /proc (proc(5)). Processes come and go while one
// looks: what cannot be read any more is left out.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process is one process. Process ids are used again; with the start time they are unique.
type Process struct {
	PID     int
	Parent  int
	Started uint64 // clock ticks after boot
	Title   string // its words with blanks between them, or the title that it gave itself
}

// Read looks at a process. It is an error if there is none, or if it has ended and only its parent has not noticed.
func Read(pid int) (Process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, gone(pid)
	}
	// The name is in brackets and may have blanks and brackets in it. What follows begins with field 3, the state.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return Process{}, gone(pid)
	}
	p := Process{PID: pid}
	p.Parent, _ = strconv.Atoi(fields[1])                //nolint:errcheck // the kernel writes numbers
	p.Started, _ = strconv.ParseUint(fields[19], 10, 64) //nolint:errcheck // likewise
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return Process{}, gone(pid)
	}
	p.Title = strings.TrimRight(strings.ReplaceAll(string(line), "\x00", " "), " ")
	return p, nil
}

func gone(pid int) error { return fmt.Errorf("there is no process %d: %w", pid, os.ErrProcessDone) }

// Alive reports whether a process is still there, and not another one with its id.
func (p Process) Alive() bool {
	now, err := Read(p.PID)
	return err == nil && now.Started == p.Started
}

// Same reports whether both are one process.
func (p Process) Same(other Process) bool { return p.PID == other.PID && p.Started == other.Started }

// Children are the processes that a process has started.
func Children(pid int) (children []Process) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) //nolint:errcheck // the pattern is well-formed
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended, and its children are with another
		}
		for _, field := range strings.Fields(string(text)) {
			id, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			if child, err := Read(id); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// Descendants are a process's children, their children, and so on.
func Descendants(pid int) (all []Process) {
	for _, child := range Children(pid) {
		all = append(append(all, child), Descendants(child.PID)...)
	}
	return all
}

// Threads are the names of a process's threads, of 15 bytes at most.
func Threads(pid int) (names []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid)) //nolint:errcheck // the pattern is well-formed
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			names = append(names, strings.TrimSuffix(string(text), "\n"))
		}
	}
	return names
}

// Image is what stays the same until a process executes another program, or the same one again: where in its memory the
// kernel has put what (the auxiliary vector, getauxval(3)). A fork has its parent's.
func Image(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid))
	switch {
	case os.IsPermission(err):
		return "", fmt.Errorf("this user may not look at the process %d: run this as its user or as root", pid)
	case err != nil || len(text) == 0:
		return "", gone(pid)
	}
	return string(text), nil
}

// Catches reports whether a process has a handler for a signal.
func Catches(pid int, signal syscall.Signal) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if mask, found := strings.CutPrefix(line, "SigCgt:"); found {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && bits>>(signal-1)&1 == 1
		}
	}
	return false
}

// Environ is the environment that a process was started with. Programs that give themselves a long title write it over that
// memory: then known is false.
func Environ(pid int) (env map[string]string, known bool, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	switch {
	case os.IsPermission(err):
		return nil, false, fmt.Errorf("this user may not look at the process %d: run this as its user or as root", pid)
	case err != nil:
		return nil, false, gone(pid)
	}
	env = map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		name, value, ok := strings.Cut(entry, "=")
		if !ok && entry != "" || ok && name == "" {
			return nil, false, nil
		}
		if ok {
			env[name] = value
		}
	}
	return env, len(env) > 0, nil
}
