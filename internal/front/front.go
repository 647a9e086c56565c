// Package front is a running server: the process that owns the clients' sockets, has workers run the app, and does what it
// is asked for by signals, by the control server and by files. It ends in order, or goes on as another program.
package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"serval/internal/config"
	"serval/internal/dispatch"
	"serval/internal/generation"
	"serval/internal/handover"
	"serval/internal/listener"
	"serval/internal/logs"
	"serval/internal/loop"
	"serval/internal/pidfile"
	"serval/internal/server"
	"serval/internal/systemd"
	"serval/internal/worker"
)

// Setup is what a front is made of.
type Setup struct {
	Config     config.Config
	Reload     func() (config.Config, error) // loads the configuration again: same flags and environment, files as they are then
	Code       *worker.Runtime               // what workers run beneath the app
	Version    string                        // of Serval
	Out, Err   io.Writer                     // for the log: events and requests on one, errors on the other
	Succession *Succession                   // how this process came to be a front
}

// Serve runs a front until it is asked to stop; the end of ctx is a TERM. It returns nil, EndedBy if the program is to end by
// a signal, or why the server could not start.
func Serve(ctx context.Context, setup Setup) error {
	f := &front{Setup: setup}
	err := f.run(ctx)
	if f.remote != nil {
		f.remote.settle(nil, err) // unless it is up, or was
	}
	if failed(err) {
		f.notifier.Failed(firstLines(err.Error(), 2))
	}
	if f.Succession.retries(err) {
		f.keepFiles()
	}
	for _, undo := range slices.Backward(f.undo) {
		undo()
	}
	if errors.Is(err, errStopped) {
		return f.asked.outcome()
	}
	return err
}

// front is what a server is put together of, in the order of the steps that make it. Each step says how it is undone.
type front struct {
	Setup
	undo []func()

	lines    *logging
	asked    *signals
	serving  chan *operator // gets the operator once it serves
	notifier *systemd.Notifier

	activation *listener.Activation
	sockets    sockets
	remote     *remote
	controls   *controls

	launcher   *launcher
	generation *generation.Generation // the first
	pool       *dispatch.Pool
	server     *server.Server
	operator   *operator

	socketsStay bool // for the program that this process goes on as
	filesStay   bool // pidfile and state file: this process goes on
}

// run is the composition root: it puts the server together, and takes it apart in the order that
// docs/explanation/shutdown.md gives.
func (f *front) run(ctx context.Context) error {
	if err := f.attend(ctx); err != nil {
		return err
	}
	// The sockets come first: a taken port should be said before an app of a minute's boot is loaded. Clients that
	// connect meanwhile wait in the kernel's queue.
	for _, step := range []func() error{f.openSockets, f.writePidfile, f.control, f.boot} {
		if err := step(); err != nil {
			return err
		}
	}
	f.serve()
	cfg := f.operator.serveUntilAsked()
	if f.operator.isReplaced() {
		return f.retire(cfg)
	}
	return f.stop(cfg)
}

// finally has something done at the end, before whatever was to be done until now.
func (f *front) finally(undo func()) { f.undo = append(f.undo, undo) }

// attend begins to write logs, and to take notice of signals, of children's ends and of systemd.
func (f *front) attend(ctx context.Context) error {
	c := &f.Config
	if err := logs.Redirect(c.RedirectStdout, c.RedirectStderr, c.RedirectAppend || f.Succession.inherited != nil); err != nil {
		return err
	}
	f.activation = listener.TakeActivation()
	f.lines = newLogging(f.Config, f.Out, f.Err)
	f.asked = watchSignals(ctx, f.lines.Log)
	f.finally(f.asked.stop)
	f.asked.configure(c.QuietTerm)
	f.serving = make(chan *operator, 1)
	f.Succession.watch(f.asked, f.serving)
	reaper, err := worker.NewReaper()
	if err != nil {
		return err
	}
	f.finally(reaper.Stop)
	f.finally(f.lines.close)
	f.greet()
	f.notifier = systemd.New(os.Environ(), f.lines.Log)
	f.finally(f.notifier.Close)
	return nil
}

func (f *front) greet() {
	c, log := &f.Config, f.lines
	log.Line("Serval starting...", logs.Named("starting", "version", f.Version, "environment", c.Environment, "workers", c.WorkerCount(), "threads", c.MaxThreads))
	log.Event("Serval version: %s (%s)", f.Version, runtime.Version())
	log.Event(" Environment: %s", c.Environment)
	log.Event("         PID: %d", os.Getpid())
	log.Event("     Workers: %d", c.WorkerCount())
	log.Event("     Threads: %d each", c.MaxThreads)
	for _, notice := range c.Notices {
		log.Warn("%s", notice)
	}
}

func (f *front) openSockets() (err error) {
	f.sockets, err = f.Succession.open(f.activation, f.Config)
	f.finally(f.closeSockets)
	return err
}

func (f *front) closeSockets() {
	switch {
	case f.socketsStay:
	case f.operator != nil:
		listener.CloseAll(f.operator.listeners)
	default:
		listener.CloseAll(f.sockets.all)
	}
}

// control opens the ways to ask for something from outside. It comes before the boot, so that who asks meanwhile waits.
func (f *front) control() error {
	cfg := f.Config
	if f.isDeputy() {
		cfg.ControlURL, cfg.StatePath = "", "" // the main process has them
	}
	d, l, err := openDoor(cfg)
	if err != nil {
		return err
	}
	f.remote = newRemote(&f.Setup, f.asked)
	f.controls = newControls(f.remote, f.lines.Log, d, l)
	f.finally(f.controls.close)
	if err := f.controls.writeState(); err != nil {
		f.lines.Error("%v", err)
	}
	return nil
}

func (f *front) isDeputy() bool { return f.Succession.inherited.Is(handover.Deputy) }

// boot starts the workers, and returns when there is one to serve with.
func (f *front) boot() (err error) {
	f.launcher = &launcher{asked: f.asked}
	if f.generation, err = generation.New(0, f.Config, f.Code, f.Version, f.launcher); err != nil {
		return err
	}
	if err = f.generation.Boot(f.asked.ended); err == nil {
		cfg := poolConfig(f.generation, f.lines.Log, f.asked)
		cfg.Beside = f.Succession.inherited != nil
		cfg.Rush = slices.ContainsFunc(f.sockets.all, func(l *listener.Listener) bool { return l.Activated != "" }) // systemd let them wait
		f.pool = dispatch.New(cfg)
		loop.Hold(f.pool.Crowded)
		if err = f.startPool(); err != nil {
			f.generation.Retire()
		}
	}
	if err != nil && f.asked.stopping() {
		return errStopped
	}
	return bootError(err)
}

// startPool starts the pool unless the server is asked to stop meanwhile.
func (f *front) startPool() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-f.asked.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return f.pool.Start(ctx)
}

var errStopped = errors.New("the server was stopped while it booted")

// bootError says in front of the app's own words whose they are.
func bootError(err error) error {
	var boot *worker.ErrBoot
	if errors.As(err, &boot) {
		return fmt.Errorf("the app did not boot:\n%w", err)
	}
	return err
}

func (f *front) writePidfile() error {
	if f.Config.Pidfile == "" || f.isDeputy() {
		return nil
	}
	file, err := pidfile.Write(f.Config.Pidfile)
	if err != nil {
		return err
	}
	f.finally(func() {
		if !f.filesStay {
			file.Remove()
		}
	})
	return nil
}

// serve lets clients in, and when all workers have booted, everybody who may ask for something.
func (f *front) serve() {
	f.server = server.New(serverConfig(f.Config, f.lines, f.asked), f.pool)
	for _, notice := range f.activation.Notices {
		f.lines.Warn("%s", notice)
	}
	f.operator = newOperator(f)
	f.lines.formatBy(f.Config, f.operator)
	f.operator.listen(f.sockets.all)
	select {
	case <-f.pool.Manned():
	case <-f.asked.ended:
		return
	}
	f.operator.announce(f.sockets.all)
	f.launcher.stats.Store(new(pumaStats(f.remote)))
	f.remote.settle(f.operator, nil)
	f.lines.Line("Use Ctrl-C to stop", logs.Named("started"))

	f.notifier.Watch(f.operator.pulse, f.operator.status)
	f.operator.hook(f.generation, "after_booted")
	f.notifier.Ready()
	f.serving <- f.operator
	f.Succession.up(f.operator, f.sockets)
}

// configure goes over to the configuration of another generation.
func (f *front) configure(cfg config.Config) {
	f.lines.configure(cfg)
	f.asked.configure(cfg.QuietTerm)
	f.lines.formatBy(cfg, f.operator)
	f.server.Configure(serverConfig(cfg, f.lines, f.asked))
	f.controls.configure(cfg)
}

// stop ends the server in order.
func (f *front) stop(cfg config.Config) error {
	f.notifier.Stopping("stopping: waiting for requests to finish", cfg.ShutdownTimeout+lastSteps)
	f.lines.Line("- Gracefully stopping, waiting for requests to finish", logs.Named("stopping"))
	f.operator.stop(cfg.ShutdownTimeout, func() { f.lines.formatBy(cfg, nil) })
	f.lines.Line("- Goodbye!", logs.Named("stopped"))
	return f.asked.outcome()
}

// retire ends what is left of a front that another one has replaced.
func (f *front) retire(cfg config.Config) error {
	err := f.operator.retire(cfg.ShutdownTimeout, func() { f.lines.formatBy(cfg, nil) })
	if f.operator.next != nil && !f.asked.stopping() {
		f.socketsStay = true
		f.keepFiles()
	}
	return err
}

// keepFiles leaves the files that tell of this process to whatever it goes on as.
func (f *front) keepFiles() {
	f.filesStay = true
	if f.controls != nil {
		f.controls.keepState()
	}
}
