package cli

import (
	"context"
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
	"serval/internal/handover"
	"serval/internal/listener"
	"serval/internal/logs"
	"serval/internal/server"
	"serval/internal/systemd"
	"serval/internal/worker"
)

// operator carries out what a running server is asked for, by signals and by the control server: restarts, more or fewer
// workers, new log files.
type operator struct {
	pool   *dispatch.Pool
	server *server.Server
	log    *logs.Log

	systemd   *systemd.Notifier
	asked     *signals
	reload    reloader
	configure func(config.Config) // gives a server's settings to it

	changing  sync.Mutex           // held while something changes: one thing at a time
	listeners []*listener.Listener // guarded by changing
	current   atomic.Pointer[generation.Generation]
	failure   atomic.Pointer[string] // of the last restart, for the status
	running   sync.WaitGroup

	succession *succession
	deputy     atomic.Pointer[handover.Successor] // while a new program takes over; nil else
	replaced   chan struct{}                      // closed when another front serves in place of this one
	next       *replacement                       // then: what becomes of this process; nil: it ends
}

func newOperator(first *generation.Generation, pool *dispatch.Pool, srv *server.Server, log *logs.Log, asked *signals, reload reloader, notifier *systemd.Notifier, way *succession) *operator {
	o := &operator{pool: pool, server: srv, log: log, asked: asked, reload: reload, systemd: notifier,
		succession: way, replaced: make(chan struct{})}
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
			o.log.Event("Activated %s by systemd (%s)", l.Name, l.Activated, logs.Named("socket_activated", "url", l.URL))
		}
		o.log.Event("Listening on %s", l.URL, logs.Named("listening", "url", l.URL))
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
func (o *operator) serveUntilAsked() config.Config {
	o.running.Go(func() { o.watchRestartFile(restartEvery) })
	o.running.Go(func() {
		for {
			select {
			case sig := <-o.asked.wishes:
				o.grant(sig)
			case <-o.asked.ended:
				return
			case <-o.replaced:
				return
			}
		}
	})
	for {
		select {
		case <-o.asked.ended:
			return o.config()
		case <-o.replaced:
			return o.config()
		case <-o.asked.reopen:
			o.Reopen()
		}
	}
}

// stop lets clients finish, then workers; one deadline for both. In between it calls served. A second signal ends the
// patience.
func (o *operator) stop(patience time.Duration, served func()) {
	ctx, cancel := o.patience(patience)
	defer cancel()
	o.pool.Settle()
	o.server.Shutdown(ctx)
	served()
	last := o.current.Load()
	if !last.Config.Cluster() {
		o.hook(last, "after_stopped") // while there is a process for it
	}
	o.pool.Shutdown(ctx)
	o.running.Wait()
	last = o.current.Load()
	if last.Config.Cluster() {
		last.AwaitHooks()
		o.hook(last, "after_stopped")
	}
	last.Retire()
}

// patience is a context that ends after that time, or when the server is asked to stop a second time.
func (o *operator) patience(patience time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	go func() {
		select {
		case <-o.asked.again:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// grant does what a signal asks for. What goes wrong is in the log already.
func (o *operator) grant(sig syscall.Signal) {
	switch sig {
	case syscall.SIGUSR1:
		o.Phased(nil) //nolint:errcheck // logged
	case syscall.SIGUSR2:
		o.Hot(nil) //nolint:errcheck // logged
	case syscall.SIGURG:
		o.Refork(nil) //nolint:errcheck // logged
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
		if err == nil {
			err = next.Boot(o.asked.ended)
		}
		if err == nil {
			err = o.pool.Phased(o.poolConfig(next), report)
		}
		return next, err
	})
}

// Refork replaces the workers one after the other by ones that are forked from a warm worker: same code and environment,
// and what its requests have loaded and cached is shared.
func (o *operator) Refork(report func(dispatch.Progress)) error {
	return o.restart("refork", report, func(report func(dispatch.Progress)) (*generation.Generation, error) {
		now := o.current.Load()
		if !now.Forked() {
			return nil, errNotForked
		}
		warm := warmest(o.pool.Stats().Workers)
		if warm == nil {
			return nil, errors.New("no worker serves that a mold could be made of")
		}
		next, err := now.Refork(warm)
		if err == nil {
			err = o.pool.Phased(o.poolConfig(next), report)
		}
		if err == nil {
			o.hook(next, "after_refork")
		}
		return next, err
	})
}

var errNotForked = errors.New("workers are forked from one another only with preload_app! or fork_worker: set one of them, then restart")

// warmest is the worker that has served most requests.
func warmest(workers []dispatch.WorkerStats) *worker.Worker {
	var best *dispatch.WorkerStats
	for i := range workers {
		if w := &workers[i]; w.State == "serving" && (best == nil || w.Requests > best.Requests) {
			best = w
		}
	}
	if best == nil {
		return nil
	}
	return best.Worker
}

// Hot replaces all workers at once, when the new ones are ready, and takes over a changed configuration.
func (o *operator) Hot(report func(dispatch.Progress)) error {
	defer o.systemd.Restarting("hot restart under way")() // before anything that takes time: systemctl reload waits for what it has heard of
	if o.succession.program.Changed() {
		return o.handOver()
	}
	return o.restart("hot restart", report, func(report func(dispatch.Progress)) (next *generation.Generation, err error) {
		cfg, err := o.reload()
		if err != nil {
			return nil, err
		}
		if next, err = o.current.Load().With(cfg); err != nil {
			return nil, err
		}
		serving, opened, surplus, err := rebind(o.listeners, cfg)
		if err != nil {
			return next, err
		}
		if err = next.Boot(o.asked.ended); err == nil {
			o.hook(o.current.Load(), "before_restart")
			err = o.pool.Hot(o.poolConfig(next), report)
		}
		if err != nil {
			listener.CloseAll(opened)
			return next, err
		}
		o.configure(cfg)
		o.listen(opened)
		o.listeners = serving
		o.leave(surplus)
		return next, nil
	})
}

// leave stops listening where no bind wants it any more.
func (o *operator) leave(surplus []*listener.Listener) {
	for _, l := range surplus {
		o.log.Event("Not listening on %s any more", l.URL, logs.Named("not_listening", "url", l.URL))
		o.server.Leave(l)
	}
}

// poolConfig is what the pool has to know of a generation.
func (o *operator) poolConfig(g *generation.Generation) dispatch.Config {
	return poolConfig(g, o.log, o.asked)
}

// hook runs the configuration's blocks for the process that Puma calls the master: the mold, or the worker in single mode.
func (o *operator) hook(g *generation.Generation, name string) {
	err := g.Hook(name)
	if !g.Config.Cluster() && g.Config.MoldHooks {
		if only := warmest(o.pool.Stats().Workers); only != nil {
			err = only.Hook(name)
		}
	}
	if err != nil {
		o.log.Warn("%v", err)
	}
}

// Format hands a line of the log to a process that has the configuration's log_formatter and custom_logger: the mold, or
// else a worker. It is a logs.Formatter.
func (o *operator) Format(line []byte) bool {
	if mold := o.current.Load().Mold(); mold != nil {
		return mold.Log(line)
	}
	return o.pool.Format(line)
}

// restart changes over to the generation that change makes, and says in the log how it went.
func (o *operator) restart(what string, report func(dispatch.Progress), change func(func(dispatch.Progress)) (*generation.Generation, error)) error {
	defer o.systemd.Restarting(what + " under way")()
	o.changing.Lock()
	defer o.changing.Unlock()
	if report == nil {
		report = func(dispatch.Progress) {}
	}
	number := o.current.Load().Number + 1
	o.log.Line("- Starting %s, phase: %d", what, number, logs.Named("restart_started", "generation", number))
	began := time.Now()
	next, err := change(report)
	if err != nil {
		if next != nil {
			next.Retire()
		}
		return o.failed(what, bootError(err))
	}
	o.failure.Store(nil)
	before := o.current.Swap(next)
	o.running.Go(before.Retire)
	o.hook(next, "after_booted")
	o.log.Line("- Finished %s in %.2fs, phase: %d", what, time.Since(began).Seconds(), number, logs.Named("restart_finished", "generation", number, "duration_ms", time.Since(began)))
	return nil
}

// failed says in the log and the status why a restart failed.
func (o *operator) failed(what string, err error) error {
	if !errors.Is(err, dispatch.ErrStopping) {
		number := o.current.Load().Number
		o.log.Error("the %s failed, phase %d goes on serving: %v", what, number, err, logs.Named("restart_failed", "generation", number))
		o.failure.Store(new(firstLines(fmt.Sprintf("the %s failed: %v", what, err), 2)))
	}
	return err
}

// Scale adds a worker or takes one away.
func (o *operator) Scale(by int) error {
	o.changing.Lock()
	defer o.changing.Unlock()
	workers, err := o.pool.Scale(by)
	if err != nil {
		o.log.Error("the number of workers stays %d: %v", workers, bootError(err), logs.Named("scaling_failed", "workers", workers))
		return err
	}
	o.log.Line("- Workers: %d", workers, logs.Named("scaled", "workers", workers))
	return nil
}

// Reopen opens the log files again, after a rotation has moved them away.
func (o *operator) Reopen() {
	defer o.systemd.Restarting("opening the logs again")() // HUP is what Type=notify-reload sends, and waits for an answer
	cfg := o.config()
	if err := logs.Reopen(cfg.RedirectStdout, cfg.RedirectStderr); err != nil {
		o.log.Error("cannot reopen the logs: %v", err, logs.Named("reopen_failed"))
	}
	o.pool.Signal(syscall.SIGHUP)
	if deputy := o.deputy.Load(); deputy != nil {
		deputy.Signal(syscall.SIGHUP)
	}
}
