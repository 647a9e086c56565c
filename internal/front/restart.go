package front

import (
	"errors"
	"fmt"
	"time"

	"serval/internal/dispatch"
	"serval/internal/generation"
	"serval/internal/listener"
	"serval/internal/logs"
	"serval/internal/worker"
)

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
		sockets, err := rebind(o.listeners, cfg)
		if err != nil {
			return next, err
		}
		if err = next.Boot(o.asked.ended); err == nil {
			o.hook(o.current.Load(), "before_restart")
			err = o.pool.Hot(o.poolConfig(next), report)
		}
		if err != nil {
			listener.CloseAll(sockets.opened)
			return next, err
		}
		o.configure(cfg)
		sockets.secure()
		o.listen(sockets.opened)
		o.announce(sockets.opened)
		o.listeners = sockets.serving
		o.leave(sockets.surplus)
		return next, nil
	})
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
	o.running.Go(before.Leave)
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
