package generation

import (
	"errors"
	"os"
	"strconv"
	"time"

	"serval/internal/worker"
)

// forked says whether workers come from a mold. In single mode there is one process in Puma: the worker stands for it.
func (g *Generation) forked() bool {
	cfg := &g.Config
	return cfg.Cluster() && (cfg.Preload || cfg.MoldHooks || cfg.ForkWorker >= 0)
}

// Boot starts the generation's mold, if it has one, and waits until it is ready. The error is a *worker.ErrBoot when the
// app or its configuration did not load. When stop closes, the boot ends.
func (g *Generation) Boot(stop <-chan struct{}) error {
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-stop:
			g.Retire()
		case <-done:
		}
	}()
	_, err := g.readyMold()
	return err
}

// readyMold is the generation's mold, a new one when the last has died; nil when there is to be none.
func (g *Generation) readyMold() (*worker.Mold, error) {
	if !g.forked() {
		return nil, nil
	}
	g.molding.Lock()
	defer g.molding.Unlock()
	if mold := g.Mold(); mold != nil {
		return mold, nil
	}
	select {
	case <-g.stop:
		return nil, errOver
	default:
	}
	script, err := g.code.Script("serval/mold.rb")
	if err != nil {
		return nil, err
	}
	dir := g.place()
	mold, err := worker.StartMold(worker.MoldConfig{
		Ruby: g.Config.Ruby, Script: script, Dir: dir, Env: g.environment(dir), Settings: g.settings(dir, 0),
		Preload: g.Config.Preload || g.Config.ForkWorker >= 0, Stdout: os.Stdout, Stderr: os.Stderr,
	}, g.handler)
	if err != nil {
		return nil, err
	}
	if err := mold.Boot(g.Config.BootTimeout, g.stop); err != nil {
		<-mold.Exited()
		return nil, err
	}
	g.keep(mold)
	return mold, nil
}

// keep makes mold the generation's, and has another one take its place should it die before its time.
func (g *Generation) keep(mold *worker.Mold) {
	g.mold.Store(mold)
	since := time.Now()
	g.watching.Go(func() {
		<-mold.Exited()
		select {
		case <-g.stop:
		default:
			g.replace(mold, time.Since(since))
		}
	})
}

// One that dies again and again is replaced more slowly.
const (
	shortLife    = 10 * time.Second
	replacePause = time.Second
)

// replace boots another mold at once, so that the next worker need not wait for it, and plugins go on.
func (g *Generation) replace(mold *worker.Mold, lived time.Duration) {
	witness, told := g.handler.(Witness)
	if told {
		witness.MoldDied(mold)
	}
	if lived < shortLife {
		select {
		case <-time.After(replacePause):
		case <-g.stop:
			return
		}
	}
	next, err := g.readyMold()
	if told && !errors.Is(err, errOver) {
		witness.MoldReplaced(next, err)
	}
}

// Plugins is who hears what plugins ask for.
func (g *Generation) Plugins() worker.MoldHandler { return g.handler }

// Witness is a MoldHandler that wants to know of molds that die before their time. Their workers go on.
type Witness interface {
	MoldDied(mold *worker.Mold)

	// MoldReplaced names the one in its place. With an error there is none: the next worker tries again.
	MoldReplaced(mold *worker.Mold, err error)
}

var errOver = errors.New("the release is not wanted any more")

// Refork makes a generation whose mold is forked from a warm worker of this one: same code, same environment.
func (g *Generation) Refork(warm *worker.Worker) (*Generation, error) {
	next := &Generation{
		Number: g.Number + 1, Config: g.Config, code: g.code, version: g.version, handler: g.handler,
		dir: g.place(), stop: make(chan struct{}),
	}
	mold, err := warm.Promote(worker.MoldConfig{Settings: g.settings(next.dir, 0)}, g.handler)
	if err != nil {
		return nil, err
	}
	if err := mold.Boot(g.Config.BootTimeout, next.stop); err != nil {
		<-mold.Exited()
		return nil, err
	}
	next.keep(mold)
	return next, nil
}

// Forked says whether the generation has a mold now, which a refork needs.
func (g *Generation) Forked() bool { return g.forked() }

// Hook runs the configuration's blocks for the process that Puma calls the master. Without a mold there are none.
func (g *Generation) Hook(name string, args ...string) error {
	if mold := g.Mold(); mold != nil {
		return mold.Hook(name, args...)
	}
	return nil
}

// Mold is the process that workers are forked from, nil when there is none.
func (g *Generation) Mold() *worker.Mold {
	if mold := g.mold.Load(); mold != nil && !mold.Dead() {
		return mold
	}
	return nil
}

// WorkerEnded tells the mold that a worker's process is gone, and what was last known of it: Puma's numbers, as JSON. It
// returns at once.
func (g *Generation) WorkerEnded(w *worker.Worker, lastStatus string) {
	defer g.workers.Done()
	if g.Mold() == nil {
		return
	}
	g.hooks.Go(func() {
		g.Hook("after_worker_shutdown", strconv.Itoa(w.Index), strconv.Itoa(w.PID()), strconv.Itoa(g.Number), //nolint:errcheck // a mold that dies is noticed by the next fork
			strconv.Itoa(int(w.Exit().Status)), strconv.FormatInt(w.Started.Unix(), 10), lastStatus)
	})
}

// AwaitHooks waits until what the mold was told of workers that ended has been dealt with.
func (g *Generation) AwaitHooks() { g.hooks.Wait() }

// Leave is for a generation that starts no more workers: it waits for the ends of those there are, of which the mold is told, and
// then ends the generation.
func (g *Generation) Leave() {
	g.workers.Wait()
	told := make(chan struct{})
	go func() {
		defer close(told)
		g.AwaitHooks()
	}()
	select {
	case <-told:
	case <-time.After(patience):
	}
	g.Retire() // which lets hooks that hang end with the mold
	<-told
}

// patience is how long a mold may take for its exit handlers, and for hooks of workers that ended.
const patience = 5 * time.Second

// Retire ends the generation: it starts no more workers. Those there are go on.
func (g *Generation) Retire() {
	g.over.Do(func() { close(g.stop) })
	g.molding.Lock()
	mold := g.Mold()
	g.molding.Unlock()
	if mold == nil {
		return
	}
	defer g.watching.Wait()
	defer g.hooks.Wait()
	mold.Finish()
	select {
	case <-mold.Exited():
	case <-time.After(patience):
		mold.Kill()
		<-mold.Exited()
	}
}
