// Package restart restarts web servers by their restart signal, and knows when they have: when new workers serve. What is to
// be seen of that differs from server to server, so some have a file of their own here.
package restart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/process"
)

// Web is a web server that runs.
type Web struct {
	Service installation.Service

	// Main is the id of its main process at that moment; 0: it does not run, or is about to be started again.
	Main func(ctx context.Context) (int, error)

	// Say takes what happens on the way: "1 of 2 workers serve".
	Say func(text string)
}

// ErrEnded is the error when the main process has ended in place of serving.
var ErrEnded = errors.New("its main process ended")

// interval is how often a server is looked at.
const interval = 100 * time.Millisecond

// Hard says why a web server cannot be restarted by its signal; it is empty when it can.
func Hard(p plan.Process) string {
	switch {
	case p.RestartSignal == 0:
		return "it has no restart signal"
	case p.Server == "Thin":
		return "Thin in the foreground serves no more after a signal to restart"
	case p.Server == "Unicorn" && syscall.Signal(p.RestartSignal) == syscall.SIGUSR2 && p.PIDFile == "":
		return "Unicorn writes no pid file, by which one would find its new master"
	}
	return ""
}

// Signal sends the restart signal and returns when new workers serve. On an error the workers that were there go on serving
// if the server lets them.
func (w Web) Signal(ctx context.Context) error {
	main, err := w.Main(ctx)
	if err != nil {
		return err
	}
	if main == 0 {
		return errors.New("it does not run: start it")
	}
	pid := w.server(main)
	switch p := w.Service.Process; {
	case p.Server == "Serval" && kindOf(p.RestartSignal) != "":
		return w.serval(ctx, main, pid)
	case p.Server == "Unicorn" && w.signal() == syscall.SIGUSR2:
		return w.unicorn(ctx, pid)
	}
	if kind, known := kinds[w.Service.Process.Server]; known {
		if err := w.await(ctx, main, kind.hearing(pid)); err != nil {
			return err
		}
	}
	watch, err := w.restarting(pid)
	if err != nil {
		return err
	}
	if err := w.kill(pid, w.signal()); err != nil {
		return err
	}
	return w.await(ctx, main, watch)
}

// Serving returns when a web server that was just started serves.
func (w Web) Serving(ctx context.Context) error {
	main, err := w.Main(ctx)
	if err != nil {
		return err
	}
	if main == 0 {
		return ErrEnded
	}
	return w.await(ctx, main, w.starting(main))
}

func (w Web) signal() syscall.Signal { return syscall.Signal(w.Service.Process.RestartSignal) }

// server is the process that signals are for. The main process may be a shell before it: then it is the one below that the pid
// file names.
func (w Web) server(main int) int {
	named := readPID(w.Service.PIDFile)
	if named == 0 || named == main {
		return main
	}
	for _, p := range process.Descendants(main) {
		if p.PID == named {
			return named
		}
	}
	return main
}

// readPID reads a pid file; 0 if there is nothing in it to read.
func readPID(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

// look is one look at a server: whether it has done what it is to do, and how far it is. It returns an error when there is no
// hope that it ever will.
type look func(ctx context.Context) (done bool, how string, err error)

// restarting are looks at a server that gets its restart signal after this.
func (w Web) restarting(pid int) (look, error) {
	image, err := process.Image(pid)
	if err != nil {
		return nil, err
	}
	if kind, known := kinds[w.Service.Process.Server]; known {
		b := boot{kind: kind, server: func() int { return pid }, image: image, old: kind.workersOf(pid)}
		return b.look, nil
	}
	a := answers{Web: w, pid: pid, image: image, children: process.Children(pid)}
	return a.restarted, nil
}

// starting are looks at a server that was started.
func (w Web) starting(main int) look {
	if kind, known := kinds[w.Service.Process.Server]; known {
		b := boot{kind: kind, server: func() int { return w.server(main) }}
		return b.look
	}
	if w.Service.Process.Server == "Serval" {
		return w.servalServes(main)
	}
	a := answers{Web: w}
	return a.look
}

// Hear returns when a server can take its restart signal: at once, unless it boots.
func Hear(ctx context.Context, server string, pid int) error {
	kind, known := kinds[server]
	if !known {
		return nil
	}
	at := kind.hearing(pid)
	for {
		if done, _, err := at(ctx); done || err != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// deaf is for how long a server may boot before it gets its restart signal all the same.
const deaf = time.Minute

// hearing are looks at a server that may boot, or execute itself anew after another signal. Ruby itself catches these signals to
// end by them, so it is only when there are workers, or the server serves by itself, that it must have its own handlers.
func (k kind) hearing(pid int) look {
	since := time.Now()
	return func(context.Context) (bool, string, error) {
		return k.serves(pid) || len(k.workersOf(pid)) > 0 || time.Since(since) > deaf, "", nil
	}
}

// await looks until the server has done what it is to do, or its main process is another one.
func (w Web) await(ctx context.Context, main int, at look) error {
	last := ""
	for {
		now, err := w.Main(ctx)
		if err != nil {
			return err
		}
		if now != main {
			return ErrEnded
		}
		done, how, err := at(ctx)
		if how != last && how != "" {
			w.Say(how)
			last = how
		}
		if done || err != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(interval):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w Web) kill(pid int, signal syscall.Signal) error {
	switch err := syscall.Kill(pid, signal); {
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("this user may not send signals to the process %d: run this as its user or as root", pid)
	case errors.Is(err, syscall.ESRCH):
		return ErrEnded
	case err != nil:
		return fmt.Errorf("cannot send %s to the process %d: %w", plan.Signal(signal), pid, err)
	}
	return nil
}
