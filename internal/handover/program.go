package handover

import (
	"bytes"
	"crypto/sha256"
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
	one, err1 := digest(p.Path)
	other, err2 := digest(ownProgram)
	return err1 == nil && err2 == nil && !bytes.Equal(one, other)
}

func sameFile(one, other string) bool {
	info1, err1 := os.Stat(one)
	info2, err2 := os.Stat(other)
	return err1 == nil && err2 == nil && os.SameFile(info1, info2)
}

func digest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return sum.Sum(nil), err
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
