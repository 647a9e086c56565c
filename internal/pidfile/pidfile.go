// Package pidfile is the file that holds the process id of a running Serval.
package pidfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"serval/internal/atomicfile"
)

// File is a pidfile that names this process.
type File struct{ path string }

// Write writes this process's id to path. It refuses while another living serval is named there.
func Write(path string) (*File, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write the pidfile %s: %w; choose another with --pidfile", path, atomicfile.Cause(err))
	}
	return &File{path}, nil
}

// Check refuses a file that names another living serval. It is asked early too, before an app takes a minute to boot in
// vain.
func Check(path string) error {
	// A front whose parent it names is that one's deputy, in a hot restart with a new program.
	if pid, err := Read(path); err == nil && pid != os.Getpid() && pid != os.Getppid() && isServal(pid) {
		return fmt.Errorf("already running, PID %d by %s: stop it or choose another --pidfile", pid, path)
	}
	return nil
}

// Remove removes the file unless it names another process by now.
func (f *File) Remove() {
	if pid, err := Read(f.path); err == nil && pid == os.Getpid() {
		os.Remove(f.path)
	}
}

// Read returns the process id in a file. It is above 0 unless there is an error, which names the file.
func Read(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("cannot read the pidfile %s: %w; is the server running?", path, atomicfile.Cause(err))
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 1 {
		return 0, fmt.Errorf("the pidfile %s holds no process id", path)
	}
	return pid, nil
}

// isServal reports whether a living process runs a program of our name. Process ids are used again, so one that
// lives need not be the one that wrote the file.
func isServal(pid int) bool {
	own, err := os.Executable()
	return err == nil && Program(pid) == filepath.Base(own)
}

// Program is the name of the program that a process runs, empty if that cannot be found out.
func Program(pid int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrPermission) { // another user's process hides its path, but not its name
		var name []byte
		name, err = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		path = strings.TrimSpace(string(name))
	}
	if err != nil {
		return ""
	}
	return filepath.Base(strings.TrimSuffix(path, " (deleted)"))
}
