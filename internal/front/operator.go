package front

import (
	"context"
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
)

// operator carries out what a running server is asked for, by signals and by the control server: restarts, more or fewer
// workers, new log files.
type operator struct {
	pool   *dispatch.Pool
	server *server.Server
	log    *logs.Log

	systemd   *systemd.Notifier
	asked     *signals
	version   string
	reload    func() (config.Config, error)
	configure func(config.Config) // gives a server's settings to it

	changing  sync.Mutex           // held while something changes: one thing at a time
	listeners []*listener.Listener // guarded by changing
	current   atomic.Pointer[generation.Generation]
	failure   atomic.Pointer[string] // of the last restart, for the status
	running   sync.WaitGroup

	succession *Succession
	deputy     atomic.Pointer[handover.Successor] // from its start until the restart fails; nil else
	replaced   chan struct{}                      // closed when another front serves in place of this one
	next       *replacement                       // then: what becomes of this process; nil: it ends
}

func newOperator(f *front) *operator {
	o := &operator{
		pool: f.pool, server: f.server, log: f.lines.Log, systemd: f.notifier, asked: f.asked,
		version: f.Version, reload: f.Reload, configure: f.configure, succession: f.Succession, replaced: make(chan struct{}),
	}
	o.current.Store(f.generation)
	return o
}

// listen has the server accept from listeners that were opened.
func (o *operator) listen(opened []*listener.Listener) {
	o.listeners = append(o.listeners, opened...)
	for _, l := range opened {
		o.server.Serve(l)
	}
}

// announce says where the server listens.
func (o *operator) announce(opened []*listener.Listener) {
	said := map[string]bool{} // a bind may have several
	for _, l := range opened {
		for _, notice := range l.Notices() {
			if !said[notice] {
				o.log.Warn("%s", notice)
			}
			said[notice] = true
		}
		if l.Activated != "" {
			o.log.Event("Activated %s by systemd (%s)", l.Name, l.Activated, logs.Named("socket_activated", "url", l.URL))
		}
		o.log.Event("Listening on %s", l.URL, logs.Named("listening", "url", l.URL))
	}
}

// serveUntilAsked carries out wishes until the server is to stop, and returns the configuration that holds then.
func (o *operator) serveUntilAsked() config.Config {
	o.running.Go(func() { o.watchRestartFile(restartEvery) })
	o.running.Go(func() { o.watchCertificates(certificatesEvery) })
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
		case <-o.asked.info:
			o.running.Go(o.ShowThreads)
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
	if serving := o.current.Load(); !serving.Config.Cluster() {
		defer o.within(hookLimit, "after_stopped", func() { o.hook(serving, "after_stopped") })() // while there is a process for it
	}
	o.pool.Shutdown(ctx)
	o.part(ctx)
	o.running.Wait()
	last := o.current.Load()
	if last.Config.Cluster() {
		defer o.within(hookLimit, "after_stopped", func() {
			last.AwaitHooks()
			o.hook(last, "after_stopped")
		})()
	}
	last.Retire()
}

// hookLimit is how long hooks may hold up the end of the server, when all else is done.
const hookLimit = 10 * time.Second

// within runs hooks, and returns when they are done, or have taken too long, or the server is asked to stop a second time. The
// function that it returns waits for them, which end with their process.
func (o *operator) within(limit time.Duration, name string, hooks func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		hooks()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		o.log.Warn("the %s hooks are given up: they have run for %s", name, limit, logs.Named("hooks_given_up"))
	case <-o.asked.again:
	}
	return func() { <-done }
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
