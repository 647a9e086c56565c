package handover

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is what this process runs, and how it was called.
type Program struct {
	Path string   // where it was found, symlinks as they were: a link that moves on leads to a new release
	Args []string // with its own name first
}

// CalledAs finds the program from the arguments of this process.
func CalledAs(args []string) Program {
	p := Program{Args: args}
	if len(args) == 0 {
		return p
	}
	path, err := exec.LookPath(args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil || !sameFile(path, ownProgram) {
		path, _ = os.Executable()
	}
	p.Path = path
	return p
}

// ownProgram is the file that this process runs, even if it has been deleted (proc(5)).
const ownProgram = "/proc/self/exe"

// Changed says whether there is another program now where this one was found. One that is not there is no other: workers can
// be replaced all the same.
func (p Program) Changed() bool {
	info, err := os.Stat(p.Path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || sameFile(p.Path, ownProgram) {
		return false
	}
	own, err := os.Stat(ownProgram)
	if err != nil || own.Size() != info.Size() {
		return err == nil
	}
	same, err := sameBytes(p.Path, ownProgram)
	return err == nil && !same
}

func sameFile(one, other string) bool {
	info1, err1 := os.Stat(one)
	info2, err2 := os.Stat(other)
	return err1 == nil && err2 == nil && os.SameFile(info1, info2)
}

// sameBytes compares two files. It stops at the first difference, and computes nothing: clients are being served meanwhile.
func sameBytes(one, other string) (bool, error) {
	f, err := os.Open(one)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := os.Open(other)
	if err != nil {
		return false, err
	}
	defer g.Close()
	for a, b := make([]byte, 64<<10), make([]byte, 64<<10); ; {
		n, errF := io.ReadFull(f, a)
		m, errG := io.ReadFull(g, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if errF != nil || errG != nil { // the end of both, or a file that cannot be read
			return n == m, unread(errF, errG)
		}
	}
}

// unread is what is wrong with files, unless it is only that they have ended.
func unread(errs ...error) error {
	for _, err := range errs {
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
	}
	return nil
}

// managers are the variables by which a service manager speaks with the main process, and with nobody else.
var managers = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", variable}

// forDeputy is the environment without what is only for the main process.
func forDeputy(environ []string) (left []string) {
next:
	for _, entry := range environ {
		for _, name := range managers {
			if strings.HasPrefix(entry, name+"=") {
				continue next
			}
		}
		left = append(left, entry)
	}
	return left
}
