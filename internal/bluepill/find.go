package bluepill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"serval/internal/process"
)

// errNone says that there is no process.
var errNone = errors.New("there is none")

// slack is what a clock that is set right meanwhile may be off by.
const slack = 2 * time.Second

// find returns the process that a pid file or pid command names. known is what was remembered of it. The error is errNone,
// or says why a living process with that number is not taken for it.
func (p *Process) find(known process.ID) (process.ID, error) {
	if p.PIDCommand != "" {
		return p.ask()
	}
	file, err := os.Open(p.PIDFile)
	if err != nil {
		return process.ID{}, errNone
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil || !about.Mode().IsRegular() {
		return process.ID{}, errNone
	}
	text, err := io.ReadAll(io.LimitReader(file, 64))
	if err != nil {
		return process.ID{}, errNone
	}
	id, err := named(string(text))
	if err != nil {
		return process.ID{}, err
	}
	if known.PID == id.PID {
		if known != id {
			return process.ID{}, fmt.Errorf("%s names process %d, which is another one than it was: it is left alone", p.PIDFile, id.PID)
		}
		return id, nil
	}
	return id, p.trust(id, about)
}

// named is the living process with the number in a text. 0 and 1 are nobody's.
func named(text string) (process.ID, error) {
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || pid <= 1 || pid == os.Getpid() {
		return process.ID{}, errNone
	}
	id, err := process.Find(pid)
	if err != nil {
		return process.ID{}, errNone
	}
	return id, nil
}

// trust decides whether a process that nothing is remembered of can be the one that a pid file was written for: it must
// not be younger than the file, as those are that have the number after a boot, and whoever wrote the file must have been
// allowed to mean it.
func (p *Process) trust(id process.ID, about os.FileInfo) error {
	age, err := id.Age()
	if err != nil {
		return errNone
	}
	if began := time.Now().Add(-age); began.After(about.ModTime().Add(slack)) {
		return fmt.Errorf("%s names process %d, which began after the file was written: it is left alone", p.PIDFile, id.PID)
	}
	writer, ok := about.Sys().(*syscall.Stat_t)
	if !ok || writer.Uid == 0 || int(writer.Uid) == os.Geteuid() {
		return nil
	}
	if info, err := os.Stat(fmt.Sprintf("/proc/%d", id.PID)); err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == writer.Uid {
			return nil
		}
	}
	return fmt.Errorf("%s was written by user %d and names process %d, which is another user's: it is left alone", p.PIDFile, writer.Uid, id.PID)
}

// ask runs the pid command.
func (p *Process) ask() (process.ID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", p.PIDCommand) // Bluepill runs it by a shell, and it has pipes in it
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		return process.ID{}, errNone
	}
	return named(string(out))
}
