package front

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/dispatch"
	"serval/internal/handover"
	"serval/internal/listener"
	"serval/internal/logs"
)

// adopt serves a client's connection that came from the other front.
func (o *operator) adopt(m handover.Message) {
	t, err := m.Transfer()
	if err == nil {
		if err = o.server.Adopt(t); err != nil {
			t.Conn.Close()
		}
	}
	if err != nil {
		o.log.Error("a connection was lost while it changed fronts: %v", err, logs.Named("connection_lost"))
	}
}

// giveBack is a deputy's last work: the main process serves again.
func (o *operator) giveBack(to *handover.Channel) {
	o.changing.Lock()
	defer o.changing.Unlock()
	if o.release(to) != nil {
		return // the main process is gone, or this one is to stop: either way it ends as any server does
	}
	to.Send(handover.Over, nil) //nolint:errcheck // it sees our end, too
	o.replace(nil)
}

// release gives all connections to another front. Those that cannot leave in time are cut.
func (o *operator) release(to *handover.Channel) error {
	patience := o.config().ShutdownTimeout
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() {
		select {
		case <-o.asked.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := o.server.Release(ctx, to.Give)
	if errors.Is(err, context.DeadlineExceeded) {
		o.log.Warn("%d connections were cut: their requests or responses took longer than %s (--shutdown-timeout)", o.server.Connections(), patience, logs.Named("connections_cut"))
		o.server.Shutdown(ctx)
		return nil
	}
	if o.asked.stopping() {
		return dispatch.ErrStopping
	}
	return err
}

// resume is the main process's way back: it serves again, and the deputy gives it what it has.
func (o *operator) resume(in *handover.Inheritance, surplus []*listener.Listener) {
	over := make(chan struct{})
	o.running.Go(func() {
		defer close(over)
		for {
			m, err := in.Receive()
			switch {
			case err != nil, m.Kind == handover.Over:
				return
			case m.Kind == handover.Connection:
				o.adopt(m)
			default:
				m.Drop()
			}
		}
	})
	in.Send(handover.Ready, nil) //nolint:errcheck // a deputy that is gone needs no word
	select {
	case <-over:
	case <-o.asked.ended:
		in.Close()
		<-over
	}
	o.leave(surplus)
	number := o.current.Load().Number
	in.Leave(o.config().ShutdownTimeout + endPatience)
	o.log.Line("- Finished %s in %.2fs, phase: %d", "hot restart", time.Since(in.Began).Seconds(), number, logs.Named("restart_finished", "generation", number, "duration_ms", time.Since(in.Began)))
}

// handOver is a hot restart with a new program. When it returns nil, a deputy serves, no client is connected here any more, and
// the server is to end and go on as the new program.
func (o *operator) handOver() error {
	o.changing.Lock()
	defer o.changing.Unlock()
	if o.isReplaced() {
		return errors.New("a hot restart with a new program is under way: ask again when it is done")
	}
	s := o.succession
	over := o.systemd.Restarting("hot restart with a new program under way")
	o.log.Line("- Starting hot restart with a new program, %s", s.program.Path, logs.Named("program_changed", "program", s.program.Path))
	deputy, version, err := o.startDeputy()
	if err == nil {
		o.log.Line("- Deputy (PID: %d) of version %s ready in %.2fs, it gets the connections", deputy.PID(), version, time.Since(deputy.Began).Seconds(),
			logs.Named("deputy_ready", "deputy_pid", deputy.PID(), "version", version, "duration_ms", time.Since(deputy.Began)))
		o.hook(o.current.Load(), "before_restart")
		if err = o.release(deputy.Channel); err != nil {
			err = deputy.Lost(err)
			deputy.Leave(o.config().ShutdownTimeout + lastSteps)
		}
	}
	if err != nil {
		o.deputy.Store(nil)
		over()
		o.failed("hot restart", err)
		return err
	}
	o.replace(&replacement{deputy: deputy, environ: s.environ, listeners: o.listeners})
	return nil
}

// startDeputy starts the new program and waits until it serves.
func (o *operator) startDeputy() (deputy *handover.Successor, version string, err error) {
	cfg := o.config()
	if deputy, err = o.succession.program.Start(o.succession.environ, o.listeners); err != nil {
		return nil, "", err
	}
	o.deputy.Store(deputy)
	var patience time.Duration
	if cfg.BootTimeout > 0 {
		// Its workers may boot one after the other, a mold before them; each has its own time limit, and it says which.
		patience = time.Duration(cfg.WorkerCount()+1)*cfg.BootTimeout + time.Minute
	}
	version, err = deputy.Await(patience, o.asked.ended)
	if errors.Is(err, handover.ErrStopped) {
		err = dispatch.ErrStopping
	}
	return deputy, version, err
}

// replace ends this front in favour of another; next is what the process does then, nil if it ends.
func (o *operator) replace(next *replacement) {
	o.next = next
	close(o.replaced)
	for {
		select {
		case sig := <-o.asked.wishes:
			o.log.Warn("%s is dropped: another front takes over", unix.SignalName(sig), logs.Named("signal_dropped", "signal", unix.SignalName(sig)))
		default:
			return
		}
	}
}

func (o *operator) isReplaced() bool {
	select {
	case <-o.replaced:
		return true
	default:
		return false
	}
}

// retire ends what a front that was replaced still has: workers that get no requests any more, and the connections that apps
// have taken. In between it calls served. It returns what the process does then.
func (o *operator) retire(patience time.Duration, served func()) error {
	ctx, cancel := o.patience(patience)
	defer cancel()
	defer o.keepReopening()()
	o.pool.Settle()
	o.server.Shutdown(ctx)
	served()
	o.pool.Shutdown(ctx)
	o.part(ctx)
	o.running.Wait()
	o.current.Load().Leave()
	if o.next == nil {
		return nil // a deputy's work is done
	}
	if o.asked.stopping() {
		o.next.leave(patience + lastSteps)
		return o.asked.outcome()
	}
	o.next.becomeDeaf()
	return o.next
}

// keepReopening has the logs opened again when that is asked for, those of a deputy that serves above all, until the function
// returned is called.
func (o *operator) keepReopening() (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-o.asked.reopen:
				o.Reopen()
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}
