package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Title is a process's words with blanks between them, or the title that it gave itself; empty when it is gone.
func Title(pid int) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimRight(strings.ReplaceAll(string(line), "\x00", " "), " ")
}

func gone(pid int) error { return fmt.Errorf("there is no process %d: %w", pid, os.ErrProcessDone) }

// Children are the processes that a process has started. Zombies are none.
func Children(pid int) (children []ID) {
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
			if child, err := Find(id); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// Descendants are a process's children, their children, and so on. For those of many processes a Table is cheaper.
func Descendants(pid int) (all []ID) {
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
