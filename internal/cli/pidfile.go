package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pidfile is a file that holds the process id of a running Serval.
type pidfile struct{ path string }

// writePidfile writes this process's id to path. It refuses while another living serval is named there. The file
// appears whole or not at all, so readers never see half a number.
func writePidfile(path string) (*pidfile, error) {
	if err := checkPidfile(path); err != nil {
		return nil, err
	}
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	err := writeNew(temporary, strconv.Itoa(os.Getpid())+"\n")
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		return nil, fmt.Errorf("cannot write the pidfile %s: %w; choose another with --pidfile", path, cause(err))
	}
	return &pidfile{path}, nil
}

// checkPidfile refuses a file that names another living serval. It is asked early too, before an app takes a minute to
// boot in vain.
func checkPidfile(path string) error {
	// A front whose parent it names is that one's deputy, in a hot restart with a new program.
	if pid := readPid(path); pid != os.Getpid() && pid != os.Getppid() && isServal(pid) {
		return fmt.Errorf("already running, PID %d by %s: stop it or choose another --pidfile", pid, path)
	}
	return nil
}

// cause is a file error without the path, which names a temporary file that nobody has heard of.
func cause(err error) error {
	var onePath *fs.PathError
	var twoPaths *os.LinkError
	switch {
	case errors.As(err, &onePath):
		return onePath.Err
	case errors.As(err, &twoPaths):
		return twoPaths.Err
	}
	return err
}

// remove removes the file unless it names another process by now.
func (p *pidfile) remove() {
	if p != nil && readPid(p.path) == os.Getpid() {
		os.Remove(p.path)
	}
}

// writeNew insists on making the file itself: in a directory that others may write to, a link could lie there.
func writeNew(path, text string) error {
	os.Remove(path)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// readPid returns the process id in a file, 0 if there is none.
func readPid(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

// isServal reports whether a living process runs a program of our name. Process ids are used again, so one that
// lives need not be the one that wrote the file.
func isServal(pid int) bool {
	if pid == 0 {
		return false
	}
	own, err := os.Executable()
	if err != nil {
		return false
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrPermission) { // another user's process hides its path, but not its name
		var name []byte
		name, err = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		program = strings.TrimSpace(string(name))
	}
	if err != nil {
		return false
	}
	return filepath.Base(strings.TrimSuffix(program, " (deleted)")) == filepath.Base(own)
}
