package cli

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"serval/internal/config"
	"serval/internal/dispatch"
	"serval/internal/generation"
	"serval/internal/listener"
	"serval/internal/logs"
	"serval/internal/server"
	"serval/internal/systemd"
)

// operator carries out what a running server is asked for, by signals and by the control server: restarts, more or fewer
// workers, new log files.
type operator struct {
	pool   *dispatch.Pool
	server *server.Server
	log    *logs.Log

	systemd   *systemd.Notifier
	reload    reloader
	configure func(config.Config) // gives a server's settings to it

	changing  sync.Mutex           // held while something changes: one thing at a time
	listeners []*listener.Listener // guarded by changing
	current   atomic.Pointer[generation.Generation]
	failure   atomic.Pointer[string] // of the last restart, for the status
	running   sync.WaitGroup
}

func newOperator(first *generation.Generation, pool *dispatch.Pool, srv *server.Server, log *logs.Log, reload reloader, notifier *systemd.Notifier) *operator {
	o := &operator{pool: pool, server: srv, log: log, reload: reload, systemd: notifier}
	o.current.Store(first)
	return o
}

// listen has the server accept from listeners that were opened.
func (o *operator) listen(opened []*listener.Listener) {
	o.listeners = append(o.listeners, opened...)
	for _, l := range opened {
		if l.Notice != "" {
			o.log.Warn("%s", l.Notice)
		}
		if l.Activated != "" {
			o.log.Event("Activated %s by systemd (%s)", l.Name, l.Activated)
		}
		o.log.Event("Listening on %s", l.URL)
		o.server.Serve(l)
	}
}

func rebind(open []*listener.Listener, cfg config.Config) (serving, opened, surplus []*listener.Listener, err error) {
	binds, err := listener.ParseAll(cfg.Directory, cfg.Binds)
	if err != nil {
		return nil, nil, nil, err
	}
	activated := func(l *listener.Listener) bool { return l.Activated != "" }
	if cfg.ActivatedSockets == "only" && slices.ContainsFunc(open, activated) {
		binds = nil
	}
	return listener.Rebind(open, binds)
}

// serveUntilAsked carries out wishes until the server is to stop, and returns the configuration that holds then.
func (o *operator) serveUntilAsked(asked *signals) config.Config {
	o.running.Go(func() {
		for {
			select {
			case sig := <-asked.wishes:
				o.grant(sig)
			case <-asked.ended:
				return
			}
		}
	})
	for {
		select {
		case <-asked.ended:
			return o.config()
		case <-asked.reopen:
			o.Reopen()
		}
	}
}

// wait returns when nothing is under way any more.
func (o *operator) wait() { o.running.Wait() }

// grant does what a signal asks for. What goes wrong is in the log already.
func (o *operator) grant(sig syscall.Signal) {
	switch sig {
	case syscall.SIGUSR1:
		o.Phased(nil) //nolint:errcheck // logged
	case syscall.SIGUSR2:
		o.Hot(nil) //nolint:errcheck // logged
	case syscall.SIGTTIN:
		o.Scale(1) //nolint:errcheck // logged
	case syscall.SIGTTOU:
		o.Scale(-1) //nolint:errcheck // logged
	}
}

// config is the newest configuration.
func (o *operator) config() config.Config { return o.current.Load().Config }

// Phased replaces the workers one after the other: same configuration, new code and environment.
func (o *operator) Phased(report func(dispatch.Progress)) error {
	return o.restart("phased restart", report, func(report func(dispatch.Progress)) (*generation.Generation, error) {
		next, err := o.current.Load().Next()
		if err != nil {
			return nil, err
		}
		return next, o.pool.Phased(poolConfig(next, o.log), report)
	})
}

// Hot replaces all workers at once, when the new ones are ready, and takes over a changed configuration.
func (o *operator) Hot(report func(dispatch.Progress)) error {
	return o.restart("hot restart", report, func(report func(dispatch.Progress)) (*generation.Generation, error) {
		cfg, err := o.reload()
		if err != nil {
			return nil, err
		}
		next, err := o.current.Load().With(cfg)
		if err != nil {
			return nil, err
		}
		serving, opened, surplus, err := rebind(o.listeners, cfg)
		if err != nil {
			return nil, err
		}
		if err := o.pool.Hot(poolConfig(next, o.log), report); err != nil {
			listener.CloseAll(opened)
			return nil, err
		}
		o.configure(cfg)
		o.listen(opened)
		o.listeners = serving
		for _, l := range surplus {
			o.log.Event("Not listening on %s any more", l.URL)
			o.server.Leave(l)
		}
		return next, nil
	})
}

// restart changes over to the generation that change makes, and says in the log how it went.
func (o *operator) restart(what string, report func(dispatch.Progress), change func(func(dispatch.Progress)) (*generation.Generation, error)) error {
	o.changing.Lock()
	defer o.changing.Unlock()
	if report == nil {
		report = func(dispatch.Progress) {}
	}
	number := o.current.Load().Number + 1
	o.log.Line("- Starting %s, phase: %d", what, number)
	defer o.systemd.Restarting(what + " under way")()
	began := time.Now()
	next, err := change(report)
	if err != nil {
		if err = bootError(err); !errors.Is(err, dispatch.ErrStopping) {
			o.log.Error("the %s failed, phase %d goes on serving: %v", what, o.current.Load().Number, err)
			o.failure.Store(new(firstLines(fmt.Sprintf("the %s failed: %v", what, err), 2)))
		}
		return err
	}
	o.failure.Store(nil)
	o.current.Store(next)
	o.log.Line("- Finished %s in %.2fs, phase: %d", what, time.Since(began).Seconds(), number)
	return nil
}

// Scale adds a worker or takes one away.
func (o *operator) Scale(by int) error {
	o.changing.Lock()
	defer o.changing.Unlock()
	workers, err := o.pool.Scale(by)
	if err != nil {
		o.log.Error("the number of workers stays %d: %v", workers, bootError(err))
		return err
	}
	o.log.Line("- Workers: %d", workers)
	return nil
}

// Reopen opens the log files again, after a rotation has moved them away.
func (o *operator) Reopen() {
	cfg := o.config()
	if err := logs.Reopen(cfg.RedirectStdout, cfg.RedirectStderr); err != nil {
		o.log.Error("cannot reopen the logs: %v", err)
	}
	o.pool.Signal(syscall.SIGHUP)
}
