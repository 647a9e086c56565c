package restart

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"serval/internal/control"
	"serval/internal/plan"
	"serval/internal/process"
)

// kindOf is what Serval calls the restart that a signal asks for; empty if it asks for none.
func kindOf(signal plan.Signal) control.Kind {
	switch syscall.Signal(signal) {
	case syscall.SIGUSR2:
		return control.Hot
	case syscall.SIGUSR1:
		return control.Phased
	case syscall.SIGURG:
		return control.Refork
	}
	return ""
}

// serval asks Serval itself, which says how it goes and, when the app does not load, why.
func (w Web) serval(ctx context.Context, main, pid int) error {
	client, err := Front(ctx, pid)
	if err != nil {
		return err
	}
	_, err = client.Watch(ctx, string(kindOf(w.Service.Process.RestartSignal)), func(e control.Event) {
		if e.Step == "booted" {
			w.Say(fmt.Sprintf("%d of %d workers serve", e.Done, e.Total))
		}
	})
	if errors.Is(err, control.ErrCut) {
		// The front has replaced itself by a new program, with the same process id; that one answers when it is up.
		return w.await(ctx, main, func(ctx context.Context) (bool, string, error) {
			_, err := client.Stats(ctx)
			return err == nil, "", nil
		})
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return &Told{err}
	}
	return nil
}

// Told is an error in the server's own words, which say all that its log says.
type Told struct{ error }

func (t *Told) Unwrap() error { return t.error }

// Front finds the control socket of a Serval: that of the process, or of one below it if that is a shell.
func Front(ctx context.Context, pid int) (*control.Client, error) {
	client := control.DialPrivate(pid)
	err := client.Reachable(ctx)
	if err == nil || errors.Is(err, control.ErrOtherUser) {
		return client, err
	}
	for _, child := range process.Descendants(pid) {
		below := control.DialPrivate(child.PID)
		if below.Reachable(ctx) == nil {
			return below, nil
		}
	}
	return nil, fmt.Errorf("the process %d has no control socket: is it Serval, and is it up?", pid)
}

// servalServes looks whether a Serval has opened its control socket, which it does when its workers serve.
func (w Web) servalServes(main int) look {
	return func(ctx context.Context) (bool, string, error) {
		client, err := Front(ctx, main)
		if err != nil {
			return false, "", nil // it boots
		}
		report, err := client.Stats(ctx)
		return err == nil && (report.Cluster == nil || report.BootedWorkers > 0), "", nil
	}
}

// ScaleServal has a Serval have so many workers, or so many more or less, and returns how many it has then.
func ScaleServal(ctx context.Context, pid, count int, by bool, say func(string)) (workers int, err error) {
	client, err := Front(ctx, pid)
	if err != nil {
		return 0, err
	}
	report, err := client.Stats(ctx)
	if err != nil {
		return 0, err
	}
	has := 1
	if report.Cluster != nil {
		has = report.Workers
	}
	if by {
		count = max(has+count, 1)
	}
	for has != count {
		command, step := "worker-count-up", 1
		if has > count {
			command, step = "worker-count-down", -1
		}
		if _, err := client.Watch(ctx, command, func(control.Event) {}); err != nil {
			return has, err
		}
		has += step
		say(fmt.Sprintf("has %d of %d workers", has, count))
	}
	return has, nil
}
