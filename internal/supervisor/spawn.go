package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/account"
	"serval/internal/process"
)

// running is a process that runs, or has run.
type running struct {
	process.ID
	handle *process.Handle // nil: it had ended before anybody could take hold of it
	exited <-chan struct{}
	group  int  // its process group, which it leads unless it has replaced another one
	child  bool // it is the supervisor's to wait for
	began  time.Time
}

// Signal sends a signal to the process. It makes running a sequence.Target.
func (r *running) Signal(signal syscall.Signal) error {
	if r.handle == nil {
		return os.ErrProcessDone
	}
	return r.handle.Signal(signal)
}

// Exited is closed when the process has ended.
func (r *running) Exited() <-chan struct{} { return r.exited }

// family is a process group as a sequence.Target: what is in front of the others ends last.
type family struct{ *running }

func (f family) Signal(signal syscall.Signal) error {
	if !f.Alive() { // then the group may be somebody else's
		return os.ErrProcessDone
	}
	return syscall.Kill(-f.group, signal)
}

// closed is a channel for what has ended already.
var closed = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// spawn starts a process in a session of its own. out is its standard output and standard error.
func spawn(s Spec, out *os.File) (*running, error) {
	program, err := find(s)
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &syscall.SysProcAttr{Setsid: true}
	if s.User != "" || s.Group != "" {
		if attr.Credential, err = credential(s); err != nil {
			return nil, err
		}
	}
	pid, err := syscall.ForkExec(program, s.Argv, &syscall.ProcAttr{
		Dir: s.Directory, Env: s.Env, Sys: attr,
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start %s in %s: %w", program, cmp.Or(s.Directory, "this directory"), err)
	}
	r := &running{ID: process.ID{PID: pid}, group: pid, child: true, began: time.Now(), exited: closed}
	if row, err := process.Look(pid); err == nil {
		r.ID = row.ID
	}
	switch handle, err := r.ID.Open(); {
	case err == nil:
		r.handle, r.exited = handle, handle.Exited()
	case !errors.Is(err, os.ErrProcessDone): // nobody could tell when it ends
		syscall.Kill(-pid, syscall.SIGKILL) //nolint:errcheck // it was not waited for yet, so it is there
		r.bury()
		return nil, err
	}
	return r, nil
}

// take takes hold of a process that was started by somebody else.
func take(id process.ID, group int) (*running, error) {
	handle, err := id.Open()
	if err != nil {
		return nil, err
	}
	row, err := process.Look(id.PID)
	if err != nil {
		handle.Close()
		return nil, os.ErrProcessDone
	}
	r := &running{ID: id, handle: handle, exited: handle.Exited(), group: group, child: row.Parent == os.Getpid(), began: time.Now()}
	if age, err := id.Age(); err == nil {
		r.began = r.began.Add(-age)
	}
	return r, nil
}

// bury waits for a process that has ended, and says how it did.
func (r *running) bury() (exit string, status int) {
	if r.handle != nil {
		r.handle.Close()
	}
	if !r.child {
		return "ended, nobody knows how: it was started by an earlier supervisor", -1
	}
	var w syscall.WaitStatus
	for {
		_, err := syscall.Wait4(r.PID, &w, 0, nil)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			return "ended, nobody knows how: " + err.Error(), -1
		}
	}
	if w.Signaled() {
		return "was killed by " + unix.SignalName(w.Signal()), 128 + int(w.Signal())
	}
	return fmt.Sprintf("exited with status %d", w.ExitStatus()), w.ExitStatus()
}

// find finds the program in the PATH of the spec.
func find(s Spec) (string, error) {
	name := s.Argv[0]
	if strings.Contains(name, "/") {
		if filepath.IsAbs(name) {
			return name, nil
		}
		return filepath.Join(s.Directory, name), nil
	}
	path := ""
	for _, entry := range s.Env {
		if value, is := strings.CutPrefix(entry, "PATH="); is {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); filepath.IsAbs(full) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in PATH (%s): install it, or put the command right", name, path)
}

// accountOf finds out who a spec means.
func accountOf(s Spec) (a account.Account, err error) {
	u, err := user.Current()
	if s.User != "" {
		u, err = account.User(s.User)
	}
	if err != nil {
		return a, err
	}
	a.UID, a.GID = account.Number(u.Uid), account.Number(u.Gid)
	if s.Group != "" {
		if a.GID, err = account.Group(s.Group); err != nil {
			return a, err
		}
	}
	groups := s.Groups
	if len(groups) == 0 {
		groups, _ = u.GroupIds() //nolint:errcheck // a number without a name is in no groups
	}
	a.Groups, err = account.Groups(groups)
	return a, err
}

// credential is who a spec's process is.
func credential(s Spec) (*syscall.Credential, error) {
	a, err := accountOf(s)
	if err != nil {
		return nil, err
	}
	// Whoever is no root may not set groups, not even to those that there are.
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups, NoSetGroups: os.Geteuid() != 0}, nil
}

// asUser does something with files as the user of a spec.
func asUser(s Spec, do func() error) error {
	if s.User == "" && s.Group == "" || os.Geteuid() != 0 {
		return do()
	}
	a, err := accountOf(s)
	if err != nil {
		return err
	}
	return a.Do(do)
}

// openLog opens the log of a spec for its process to append to. The process holds it itself, so that nothing is lost, and nobody
// has to wait, when the supervisor is not there.
func openLog(s Spec) (file *os.File, err error) {
	err = asUser(s, func() error {
		if err := os.MkdirAll(filepath.Dir(s.Log), 0o755); err != nil {
			return err
		}
		file, err = os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot write the log: %w", err)
	}
	return file, nil
}
