package bluepill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"serval/internal/account"
	"serval/internal/atomicfile"
	"serval/internal/process"
)

// identity is as whom a process runs.
type identity struct {
	credential *syscall.Credential // nil: as whoever runs the daemon
	home       string
}

// identity looks up the process's user and groups. Only root can be somebody else.
func (p *Process) identity() (identity, error) {
	if os.Geteuid() != 0 || p.User == "" && p.UserGroup == "" && len(p.UserGroups) == 0 {
		return identity{}, nil
	}
	var who identity
	who.credential = &syscall.Credential{}
	if p.User != "" {
		u, err := account.User(p.User)
		if err != nil {
			return who, err
		}
		who.home = u.HomeDir
		who.credential.Uid, who.credential.Gid = account.Number(u.Uid), account.Number(u.Gid)
	}
	if p.UserGroup != "" {
		gid, err := account.Group(p.UserGroup)
		if err != nil {
			return who, err
		}
		who.credential.Gid, who.credential.Groups = gid, []uint32{gid}
	}
	more, err := account.Groups(p.UserGroups)
	who.credential.Groups = append(who.credential.Groups, more...)
	return who, err
}

// as does something with files as that user, so that root neither writes nor makes what the user could not.
func (who identity) as(do func() error) error {
	c := who.credential
	if c == nil {
		return do()
	}
	return account.Account{UID: c.Uid, GID: c.Gid, Groups: c.Groups}.Do(do)
}

// command makes a command of words, to be run as the process is.
func (p *Process) command(words []string, who identity) *exec.Cmd {
	env := os.Environ()
	if who.home != "" {
		env = append(env, "HOME="+who.home)
	}
	if p.Directory != "" {
		env = append(env, "PWD="+p.Directory) // a symlink stays one for whoever looks there
	}
	env = append(env, p.Environment...)
	cmd := &exec.Cmd{Path: lookPath(words[0], p.Directory, env), Args: words, Env: env, Dir: p.Directory}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: who.credential}
	return cmd
}

// lookPath finds a program in the PATH that it will have.
func lookPath(name, directory string, env []string) string {
	if strings.Contains(name, "/") {
		return name // relative to the directory, as the kernel has it
	}
	path := ""
	for _, entry := range env {
		if value, is := strings.CutPrefix(entry, "PATH="); is {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(directory, dir)
		}
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full
		}
	}
	return name
}

// streams opens what a process reads from and writes to, as its user. fallback takes what has no file of its own; it may be
// empty.
func (p *Process) streams(cmd *exec.Cmd, who identity, fallback string) (closing func(), err error) {
	var files []*os.File
	closing = func() {
		for _, file := range files {
			file.Close()
		}
	}
	open := func(path string, flags int) (*os.File, error) {
		if path == "" {
			return nil, nil
		}
		var file *os.File
		err := who.as(func() (err error) {
			file, err = os.OpenFile(path, flags, 0o644)
			return err
		})
		if err == nil {
			files = append(files, file)
		}
		return file, err
	}
	const appending = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	in, err := open(p.Stdin, os.O_RDONLY)
	if err != nil {
		return closing, err
	}
	out, err := open(p.Stdout, appending)
	if err != nil {
		return closing, err
	}
	errs := out
	if p.Stderr != p.Stdout {
		if errs, err = open(p.Stderr, appending); err != nil {
			return closing, err
		}
	}
	if (out == nil || errs == nil) && fallback != "" {
		if file, err := os.OpenFile(fallback, appending, 0o644); err == nil {
			files = append(files, file)
			if out == nil {
				out = file
			}
			if errs == nil {
				errs = file
			}
		}
	}
	if in != nil { // a nil *os.File is no nil io.Reader
		cmd.Stdin = in
	}
	if out != nil {
		cmd.Stdout = out
	}
	if errs != nil {
		cmd.Stderr = errs
	}
	return closing, nil
}

// background starts a process that the daemon puts into the background, and writes its pid file.
func (p *Process) background() (process.ID, error) {
	who, err := p.identity()
	if err != nil {
		return process.ID{}, err
	}
	cmd := p.command(p.Start, who)
	closing, err := p.streams(cmd, who, "")
	defer closing()
	if err != nil {
		return process.ID{}, err
	}
	if err := cmd.Start(); err != nil {
		return process.ID{}, err
	}
	id, err := process.Find(cmd.Process.Pid)
	go bury(cmd, id) //nolint:errcheck // how it ended is seen elsewhere, and the daemon may end before it does
	if err != nil {
		return process.ID{}, fmt.Errorf("it ended at once")
	}
	err = who.as(func() error { return atomicfile.Write(p.PIDFile, []byte(strconv.Itoa(id.PID)), 0o644) })
	if err != nil {
		err = fmt.Errorf("cannot write the pid file %s: %w", p.PIDFile, atomicfile.Cause(err))
	}
	return id, err
}

// bury waits for a child's end without a thread that does nothing else, and takes its status.
func bury(cmd *exec.Cmd, id process.ID) error {
	if h, err := id.Open(); err == nil {
		<-h.Exited()
		h.Close()
	}
	return cmd.Wait()
}

// errSlow says that a command is still there when its time is over.
var errSlow = errors.New("it is not done in time")

// launch starts a command, and tells when it has ended. What it writes goes into the log file, if there is one.
func (p *Process) launch(words []string, log string) (id process.ID, ended <-chan error, err error) {
	who, err := p.identity()
	if err != nil {
		return id, nil, err
	}
	cmd := p.command(words, who)
	closing, err := p.streams(cmd, who, log)
	defer closing()
	if err != nil {
		return id, nil, err
	}
	if err := cmd.Start(); err != nil {
		return id, nil, err
	}
	id, _ = process.Find(cmd.Process.Pid) //nolint:errcheck // it may have ended
	end := make(chan error, 1)            // nobody need be there to hear of it
	go func() { end <- bury(cmd, id) }()
	return id, end, nil
}

// run runs a command to its end, for a time at most. One that is too slow goes on.
func (p *Process) run(ctx context.Context, words []string, limit time.Duration, log string) error {
	_, ended, err := p.launch(words, log)
	if err != nil {
		return err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		return errSlow
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// filled is a command with a process id put in.
func filled(words []string, pid int) []string {
	filled := slices.Clone(words)
	for i, word := range filled {
		filled[i] = strings.ReplaceAll(word, "{{PID}}", strconv.Itoa(pid))
	}
	return filled
}
