package bluepill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/process"
)

// Title is what the daemon of an application calls itself.
func Title(application string) string { return titlePrefix + application }

const titlePrefix = "bluepilld: "

// Titled returns the application that a program's name stands for, if it is that of a daemon.
func Titled(name string) (application string, is bool) { return strings.CutPrefix(name, titlePrefix) }

// BaseDir is where sockets and pid files are when nobody says otherwise.
func BaseDir(getenv func(string) string, root bool) string {
	switch dir := getenv("BLUEPILL_BASE_DIR"); {
	case dir != "":
		return dir
	case root:
		return "/var/run/bluepill"
	}
	return filepath.Join(getenv("HOME"), ".bluepill")
}

// Client speaks with the daemons below a base directory.
type Client struct {
	BaseDir  string
	Timeout  time.Duration // for one attempt
	Attempts int
	Say      func(format string, args ...any) // takes a line about an attempt that failed
}

// What a daemon does not do.
var (
	ErrRefused = errors.New("nobody listens on the socket")
	ErrTimeout = errors.New("the daemon does not answer in time")
)

// StaysError is about a daemon that does not make way for another one.
type StaysError struct{ PID int }

func (e StaysError) Error() string { return fmt.Sprintf("the daemon %d does not end", e.PID) }

// ServerError is what a daemon says is wrong.
type ServerError string

func (e ServerError) Error() string { return string(e) }

// Running are the applications that have a daemon, in order. Sockets that nobody listens on are taken away, with the pid
// files beside them.
func (c Client) Running() (names []string) {
	found, _ := filepath.Glob(sock(c.BaseDir, "*")) //nolint:errcheck // the pattern is well-formed, or the name is odd and nothing is found
	for _, path := range found {
		name := strings.TrimSuffix(filepath.Base(path), ".sock")
		conn, err := net.Dial("unix", path)
		switch {
		case err == nil:
			conn.Close()
		case errors.Is(err, syscall.ECONNREFUSED):
			os.Remove(path)
			os.Remove(pid(c.BaseDir, name))
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Ask gives a daemon a command, with a target that may be empty, and returns what it answers.
func (c Client) Ask(application, command, target string) ([]string, error) {
	for attempt := 1; ; attempt++ {
		lines, err := c.ask(application, strings.TrimSuffix(command+":"+target, ":"))
		if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
			return lines, err
		}
		if attempt >= c.Attempts {
			return nil, ErrTimeout
		}
		c.Say("Retry %d of %d", attempt, c.Attempts)
	}
}

func (c Client) ask(application, line string) ([]string, error) {
	conn, err := net.DialTimeout("unix", sock(c.BaseDir, application), c.Timeout)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return nil, ErrRefused
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(c.Timeout)) //nolint:errcheck // a unix socket has deadlines
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, io.EOF
	}
	var r reply
	if json.Unmarshal(text, &r) != nil {
		return nil, ServerError(fmt.Sprintf("the daemon of %s is Bluepill's own, in Ruby: quit it and load the file again", application))
	}
	if r.Error != "" {
		return nil, ServerError(r.Error)
	}
	return r.Lines, nil
}

// Daemon returns the process of an application's daemon, os.ErrProcessDone when there is none: whoever listens on the
// socket, or what the pid file names if that is a daemon of this application.
func (c Client) Daemon(application string) (process.ID, error) {
	if id, err := c.listener(application); err == nil {
		return id, nil
	}
	text, err := os.ReadFile(pid(c.BaseDir, application))
	if err != nil {
		return process.ID{}, os.ErrProcessDone
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || number <= 1 {
		return process.ID{}, os.ErrProcessDone
	}
	id, err := process.Find(number)
	if err != nil || !titled(number, application) {
		return process.ID{}, os.ErrProcessDone
	}
	return id, nil
}

// listener is who listens on an application's socket.
func (c Client) listener(application string) (process.ID, error) {
	conn, err := net.Dial("unix", sock(c.BaseDir, application))
	if err != nil {
		return process.ID{}, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return process.ID{}, err
	}
	var peer *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || failed != nil {
		return process.ID{}, errors.Join(err, failed)
	}
	return process.Find(int(peer.Pid))
}

// titled reports whether a process calls itself the daemon of an application, as those of Bluepill's do, too.
func titled(number int, application string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", number))
	return err == nil && strings.TrimRight(string(line), "\x00 ") == Title(application)
}

// Replace ends the daemon that an application has, so that another one can take its place; its processes go on. say takes a
// line about that.
func (c Client) Replace(ctx context.Context, app Application, say func(format string, args ...any)) error {
	id, err := c.Daemon(app.Name)
	if err != nil {
		return nil
	}
	h, err := id.Open()
	if err != nil {
		return nil
	}
	defer h.Close()
	say("Killing previous bluepilld[%d]", h.PID)
	if err := h.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot end the daemon %d: %w", h.PID, err)
	}
	select {
	case <-h.Exited():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(app.Patience):
		return StaysError{h.PID}
	}
}

// Start starts the daemon of an application and returns when it can be asked.
func Start(program string, app Application) error {
	what, give, err := os.Pipe()
	if err != nil {
		return err
	}
	defer what.Close()
	defer give.Close()
	hear, answer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer hear.Close()
	defer answer.Close()
	cmd := &exec.Cmd{Path: program, Args: []string{Title(app.Name)}, Dir: "/", ExtraFiles: []*os.File{what, answer}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	what.Close()
	answer.Close()
	if err := json.NewEncoder(give).Encode(app); err != nil {
		return fmt.Errorf("the daemon does not take its application: %w", err)
	}
	give.Close()
	text, err := io.ReadAll(hear)
	switch {
	case err != nil:
		return err
	case string(text) == ready:
		return cmd.Process.Release()
	}
	cmd.Wait() //nolint:errcheck // what it said counts
	switch message := strings.TrimSpace(string(text)); message {
	case "":
		return errors.New("the daemon has ended before it could be asked")
	case ErrRunning.Error():
		return ErrRunning
	default:
		return errors.New(message)
	}
}

// ready is what a daemon says when it can be asked.
const ready = "ready\n"

// Serve is the whole life of a daemon that Start has started.
func Serve(ctx context.Context) error {
	what, answer := os.NewFile(3, "application"), os.NewFile(4, "answer")
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	var app Application
	err := json.NewDecoder(what).Decode(&app)
	what.Close()
	if err != nil {
		return fmt.Errorf("this is for bluepill load to start: %w", err)
	}
	var failed error
	Run(ctx, app, nil, func(err error) {
		failed = err
		text := ready
		if err != nil {
			text = err.Error()
		}
		io.WriteString(answer, text) //nolint:errcheck // whoever loads has gone
		answer.Close()
	})
	return failed
}

// Quit has an application's daemon end, and leave its processes alone. It returns when nobody answers any more; the daemon
// may have a stop to bring to its end. The error is os.ErrProcessDone when there is no daemon.
func (c Client) Quit(application string) (process.ID, error) {
	id, err := c.Daemon(application)
	if err != nil {
		return id, err
	}
	h, err := id.Open()
	if err != nil {
		return id, err
	}
	defer h.Close()
	if err := h.Signal(syscall.SIGTERM); err != nil {
		return id, err
	}
	for until := time.Now().Add(c.Timeout); time.Now().Before(until); {
		conn, err := net.Dial("unix", sock(c.BaseDir, application))
		if err != nil {
			break
		}
		conn.Close()
		select {
		case <-h.Exited():
			return id, nil
		case <-time.After(10 * time.Millisecond): // nothing tells when a socket closes
		}
	}
	return id, nil
}

// Stop stops all processes of an application, and then its daemon. It returns when they have ended.
func (c Client) Stop(ctx context.Context, application string) error {
	if _, err := c.Ask(application, "stop", ""); err != nil {
		return fmt.Errorf("cannot stop %s: %w", application, err)
	}
	id, err := c.Quit(application)
	if err != nil {
		return fmt.Errorf("cannot end the daemon of %s: %w", application, err)
	}
	h, err := id.Open()
	if err != nil {
		return nil //nolint:nilerr // it has ended
	}
	defer h.Close()
	select {
	case <-h.Exited(): // it brings what was asked for to its end first
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s does not end: %w", application, context.Cause(ctx))
	}
}
