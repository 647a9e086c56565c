package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"serval/internal/config"
	"serval/internal/dispatch"
	"serval/internal/generation"
	"serval/internal/handover"
	"serval/internal/http1"
	"serval/internal/listener"
	"serval/internal/logs"
	"serval/internal/server"
	"serval/internal/systemd"
	"serval/internal/worker"
)

// start is the composition root: it puts the server together, runs it until it is asked to stop, and takes it apart in
// the order that docs/explanation/shutdown.md gives.
func start(ctx context.Context, cfg config.Config, reload reloader, streams Streams, way *succession) (err error) {
	binds, err := listener.ParseAll(cfg.Directory, cfg.Binds)
	if err != nil {
		return err
	}
	if err := logs.Redirect(cfg.RedirectStdout, cfg.RedirectStderr, cfg.RedirectAppend || way.inherited != nil); err != nil {
		return err
	}
	activation := listener.TakeActivation()
	lines := newLogging(cfg, streams)
	log := lines.Log
	asked := watchSignals(ctx, log)
	defer asked.stop()
	asked.configure(cfg.QuietTerm)
	serving := make(chan *operator, 1)
	way.watch(asked, serving)

	reaper, err := worker.NewReaper()
	if err != nil {
		return err
	}
	defer reaper.Stop()
	defer lines.close()
	greet(log, cfg)
	notifier := systemd.New(os.Environ(), log)
	defer notifier.Close()
	defer func() {
		if failed(err) {
			notifier.Failed(firstLines(err.Error(), 2))
		}
	}()

	// The sockets come first: a taken port should be said before an app of a minute's boot is loaded. Clients that
	// connect meanwhile wait in the kernel's queue.
	socks, err := way.open(activation, binds, cfg)
	if err != nil {
		return err
	}
	listeners := socks.all
	defer func() { listener.CloseAll(listeners) }()

	controlled := cfg
	if way.inherited.Is(handover.Deputy) {
		controlled.ControlURL, controlled.StatePath = "", "" // the main process has them
	}
	door, doorListener, err := openDoor(controlled)
	if err != nil {
		return err
	}
	if doorListener != nil {
		defer doorListener.Close()
		defer door.remove()
	}

	commands := &commands{asked: asked}
	first, err := firstGeneration(cfg, commands)
	if err != nil {
		return err
	}
	if err := first.Boot(asked.ended); err != nil {
		if asked.stopping() {
			return asked.outcome()
		}
		return bootError(err)
	}
	pool := dispatch.New(poolConfig(first, log, asked))
	booting, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case <-asked.ended:
			cancel(errStopped)
		case <-booting.Done():
		}
	}()
	err = pool.Start(booting)
	cancel(nil)
	if err != nil {
		first.Retire()
		if context.Cause(booting) == errStopped {
			return asked.outcome()
		}
		return bootError(err)
	}

	var pid *pidfile
	if cfg.Pidfile != "" && !way.inherited.Is(handover.Deputy) {
		if pid, err = writePidfile(cfg.Pidfile); err != nil {
			stopPool(pool, cfg.ShutdownTimeout)
			return err
		}
		defer func() { pid.remove() }()
	}

	srv := server.New(serverConfig(cfg, lines, asked), pool)
	for _, notice := range activation.Notices {
		log.Warn("%s", notice)
	}
	var controls *controls
	op := newOperator(first, pool, srv, log, asked, reload, notifier, way)
	op.configure = func(cfg config.Config) {
		lines.configure(cfg)
		asked.configure(cfg.QuietTerm)
		lines.formatBy(cfg, op)
		srv.Configure(serverConfig(cfg, lines, asked))
		controls.configure(cfg)
	}
	lines.formatBy(cfg, op)
	op.listen(listeners)
	away := &remote{op, time.Now()}
	commands.stats.Store(new(pumaStats(away)))
	controls = newControls(away, log, door, doorListener)
	defer controls.close()
	if err := controls.writeState(); err != nil {
		log.Error("%v", err)
	}
	log.Line("Use Ctrl-C to stop", logs.Named("started"))

	notifier.Watch(op.pulse, op.status)
	op.hook(first, "after_booted")
	notifier.Ready()
	serving <- op
	way.up(op, socks)
	cfg = op.serveUntilAsked()
	if op.isReplaced() {
		err := op.retire(cfg.ShutdownTimeout, func() { lines.formatBy(cfg, nil) })
		if op.next != nil && !asked.stopping() {
			listeners, pid = nil, nil // they stay, for the new program
			controls.keepState()
		}
		return err
	}
	notifier.Stopping("stopping: waiting for requests to finish", cfg.ShutdownTimeout+lastSteps)
	log.Line("- Gracefully stopping, waiting for requests to finish", logs.Named("stopping"))
	op.stop(cfg.ShutdownTimeout, func() { lines.formatBy(cfg, nil) })
	listeners = op.listeners
	log.Line("- Goodbye!", logs.Named("stopped"))
	return asked.outcome()
}

var errStopped = errors.New("stopped while booting")

// bootError says in front of the app's own words whose they are.
func bootError(err error) error {
	var boot *worker.ErrBoot
	if errors.As(err, &boot) {
		return fmt.Errorf("the app did not boot:\n%w", err)
	}
	return err
}

func greet(log *logs.Log, cfg config.Config) {
	log.Line("Serval starting...", logs.Named("starting", "version", Version, "environment", cfg.Environment, "workers", cfg.WorkerCount(), "threads", cfg.MaxThreads))
	log.Event("Serval version: %s (%s)", Version, runtime.Version())
	log.Event(" Environment: %s", cfg.Environment)
	log.Event("         PID: %d", os.Getpid())
	log.Event("     Workers: %d", cfg.WorkerCount())
	log.Event("     Threads: %d each", cfg.MaxThreads)
	for _, notice := range cfg.Notices {
		log.Warn("%s", notice)
	}
}

func firstGeneration(cfg config.Config, handler worker.MoldHandler) (*generation.Generation, error) {
	code, err := code()
	if err != nil {
		return nil, err
	}
	return generation.New(0, cfg, code, Version, handler)
}

func poolConfig(g *generation.Generation, log *logs.Log, asked *signals) dispatch.Config {
	cfg := &g.Config
	return dispatch.Config{
		Phase:          g.Number,
		Workers:        cfg.WorkerCount(),
		Threads:        cfg.MaxThreads,
		QueueLimit:     cfg.QueueLimit,
		QueueTimeout:   cfg.QueueTimeout,
		RequestTimeout: cfg.RequestTimeout,
		BootTimeout:    cfg.BootTimeout,
		DrainTimeout:   cfg.ShutdownTimeout,
		MemoryLimit:    cfg.WorkerMemoryLimit,
		MaxRequests:    cfg.MaxRequests,
		MaxAge:         cfg.MaxAge,
		CullOldest:     cfg.CullOldest,
		Log:            log,
		Launch:         g.Launch,
		Ended:          g.WorkerEnded,
		Plugins:        g.Plugins(),
		Warm:           func() { asked.wish(syscall.SIGURG) },
		WarmRequests:   max(cfg.ForkWorker, 0),
		Timeout:        cfg.WorkerTimeout,
		CheckEvery:     cfg.WorkerCheckInterval,
	}
}

func serverConfig(cfg config.Config, lines *logging, asked *signals) server.Config {
	sc := server.Config{
		Limits: http1.Limits{
			TargetBytes: cfg.MaxTarget, HeaderBytes: cfg.MaxHeader, HeaderCount: cfg.MaxHeaders, BodyBytes: cfg.MaxBody,
		},
		HeaderTimeout: cfg.HeaderTimeout, BodyTimeout: cfg.BodyTimeout, MinBodyRate: cfg.MinBodyRate,
		KeepAliveTimeout: cfg.KeepAliveTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		MaxRequests: cfg.MaxKeepAlive, MaxConnections: cfg.MaxConnections, SpoolDir: cfg.SpoolDir,
		HideUnderscores: !cfg.UnderscoreHeaders, Scheme: cfg.URLScheme, Details: cfg.LogFormat == "json", RequestIDs: cfg.RequestID, Log: lines.Log,
		OnIdle: func() {
			lines.Event("no request for %s (--idle-timeout)", cfg.IdleTimeout, logs.Named("idle"))
			asked.end(syscall.SIGINT)
		},
	}
	setRemoteAddress(&sc, cfg.RemoteAddress)
	setMethods(&sc.Limits, cfg.Methods)
	if cfg.LogRequests {
		sc.Access = lines.access.Add
	}
	return sc
}

func stopPool(pool *dispatch.Pool, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool.Shutdown(ctx)
}

func setRemoteAddress(sc *server.Config, from string) {
	switch header, isHeader := strings.CutPrefix(from, "header:"); {
	case isHeader:
		sc.RemoteHeader = header
	case from == "proxy_protocol:v1":
		sc.ProxyProtocol = true
	case from != "socket":
		sc.RemoteAddr = from
	}
}

func setMethods(limits *http1.Limits, methods []string) {
	if len(methods) == 1 && methods[0] == "any" {
		limits.AnyMethod = true
		return
	}
	for _, method := range methods {
		if limits.Methods == nil {
			limits.Methods = map[string]bool{}
		}
		limits.Methods[method] = true
	}
}
