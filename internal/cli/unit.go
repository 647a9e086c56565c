package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/atomicfile"
	"serval/internal/envfile"
	"serval/internal/process"
	"serval/internal/restart"
	"serval/internal/sequence"
)

// unitCommands are what units call, by name. They are no commands for people, so no help tells of them but
// docs/reference/units.md.
var unitCommands = map[string]func(ctx context.Context, args []string, errs io.Writer) error{
	"exec":        execLogged,
	"sequence":    stopBySequence,
	"signal":      restartBySignal,
	"environment": copyEnvironment,
	"health":      watchHealth,
}

// runUnitCommand runs a command of a unit's.
func runUnitCommand(ctx context.Context, name string, args []string, errs io.Writer) int {
	err := unitCommands[name](ctx, args, errs)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errs, "serval %s: %v\n", name, err)
	if isUsage(err) {
		return exitUsage
	}
	return exitError
}

// execLogged becomes another program, with a log as its output: exec --log FILE COMMAND [ARG…]. The log is opened by the user that
// the program runs as, so that nobody who may write beside it can have root write somewhere else. A log that cannot be
// opened is no reason not to start: what the program says goes where it went then, and so does the reason.
func execLogged(_ context.Context, args []string, errs io.Writer) error {
	if len(args) < 3 || args[0] != "--log" {
		return usagef("it is called as serval exec --log FILE COMMAND [ARG…]")
	}
	log, argv := args[1], args[2:]
	program, err := exec.LookPath(argv[0])
	if err != nil {
		for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
			err = next // it names the program, too
		}
		return fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	before, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := redirect(log); err != nil {
		fmt.Fprintf(errs, "serval exec: cannot open the log, so this goes to the journal: %v\n", err)
	}
	err = syscall.Exec(program, argv, os.Environ())
	return errors.Join(unix.Dup2(before, 2), fmt.Errorf("cannot start %s: %w", program, err))
}

// redirect makes a log this process's output.
func redirect(log string) error {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	defer file.Close()
	return errors.Join(unix.Dup2(int(file.Fd()), 1), unix.Dup2(int(file.Fd()), 2))
}

// lastGrace is the time to end after the last signal of a sequence.
const lastGrace = 10 * time.Second

// stopBySequence stops a process: sequence [--children] SEQUENCE [PID]. With --children the signals are for what the process has
// started, which is a shell that waits for that. Without a number the process is gone already.
func stopBySequence(ctx context.Context, args []string, _ io.Writer) error {
	children := len(args) > 0 && args[0] == "--children"
	if children {
		args = args[1:]
	}
	if len(args) == 0 || len(args) > 2 {
		return usagef("it is called as serval sequence [--children] SEQUENCE [PID]")
	}
	steps, err := sequence.Parse(args[0])
	if err != nil {
		return usageError{err}
	}
	if len(args) == 1 {
		return nil
	}
	return stopProcess(ctx, steps, args[1], children)
}

// stopProcess carries out a sequence.
func stopProcess(ctx context.Context, steps sequence.Sequence, number string, children bool) error {
	handle, err := openProcess(number)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer handle.Close()
	var target sequence.Target = handle
	if children {
		target = shell{handle}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, steps.Total()+lastGrace, fmt.Errorf("%s was of no use", steps))
	defer cancel()
	return steps.Run(ctx, target)
}

// restartBySignal sends a web server its restart signal when it can take it: signal SERVER SIGNAL PID. Ruby would end by one that
// comes while the server boots.
func restartBySignal(ctx context.Context, args []string, _ io.Writer) error {
	if len(args) != 3 {
		return usagef("it is called as serval signal SERVER SIGNAL PID")
	}
	signal, err := sequence.ParseSignal(args[1])
	if err != nil {
		return usageError{err}
	}
	handle, err := openProcess(args[2])
	if err != nil {
		return err
	}
	defer handle.Close()
	if err := restart.Hear(ctx, args[0], handle.PID); err != nil {
		return err
	}
	return handle.Signal(signal)
}

func openProcess(number string) (*process.Handle, error) {
	var pid int
	if _, err := fmt.Sscan(number, &pid); err != nil || pid <= 1 {
		return nil, usagef("%q is no process: give a number", number)
	}
	id, err := process.Find(pid)
	if err != nil {
		return nil, err
	}
	return id.Open()
}

// shell is a process that waits for others, for which signals are.
type shell struct{ *process.Handle }

// Signal sends a signal to all that the shell has started; to the shell itself where there is nothing.
func (s shell) Signal(signal syscall.Signal) error {
	table, err := process.All()
	if err != nil {
		return err
	}
	found := table.Descendants(s.PID)
	for _, row := range found {
		child, err := row.Open()
		if errors.Is(err, os.ErrProcessDone) {
			continue
		}
		if err != nil {
			return err
		}
		err = child.Signal(signal)
		child.Close()
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	if len(found) > 0 && signal != syscall.SIGKILL {
		return nil
	}
	return s.Handle.Signal(signal)
}

// copyEnvironment copies an environment file in systemd's way of writing: environment FROM TO.
func copyEnvironment(_ context.Context, args []string, _ io.Writer) error {
	if len(args) != 2 {
		return usagef("it is called as serval environment FROM TO")
	}
	env, err := envfile.Read(args[:1])
	if err != nil {
		return err
	}
	if err := atomicfile.Write(args[1], []byte(envfile.Format(env)), 0o600); err != nil {
		return fmt.Errorf("cannot write %s: %w", args[1], err)
	}
	return nil
}
