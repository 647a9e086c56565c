package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/config"
	"serval/internal/dispatch"
	"serval/internal/handover"
	"serval/internal/listener"
	"serval/internal/logs"
	"serval/internal/systemd"
)

// succession is how a server goes on when another program is there in place of its own. Three fronts take part: the running
// one, a deputy of the new program that takes everything over, and the main process again, which then runs the new program
// and takes everything back. docs/explanation/hot-restart.md says why.
type succession struct {
	program   handover.Program
	environ   []string              // what this process was started with
	inherited *handover.Inheritance // nil: it was started afresh
	watching  sync.WaitGroup
}

// inherit finds out how this process was started.
func inherit() (*succession, error) {
	inherited, err := handover.Inherit()
	if err != nil {
		return nil, err
	}
	if inherited.Is(handover.Deputy) {
		if err := inherited.Send(handover.Hello, []byte(Version)); err != nil {
			return nil, err
		}
	}
	// What systemd has passed was taken once, and the process id is the same.
	environ := slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "LISTEN_") })
	return &succession{program: handover.CalledAs(os.Args), environ: environ, inherited: inherited}, nil
}

// replacement is the outcome of a main process that is to go on with another program.
type replacement struct {
	deputy    *handover.Successor
	environ   []string
	listeners []*listener.Listener
}

func (r *replacement) Error() string { return "replaced by " + r.deputy.Program() }

// run puts the new program in place of this one. It returns only when that does not work.
func (r *replacement) run() error {
	err := r.deputy.Succeed(r.environ, r.listeners)
	r.leave(endPatience)
	return fmt.Errorf("the new program serves, but this process cannot become it: %w", err)
}

// leave ends the deputy, and all that was kept for the new program.
func (r *replacement) leave(patience time.Duration) {
	r.deputy.Leave(patience)
	listener.CloseAll(r.listeners)
}

// endPatience is how long a deputy that nobody needs any more may go on serving what it has.
const endPatience = time.Minute

// sockets are the listeners of a server that starts.
type sockets struct {
	all     []*listener.Listener
	opened  []*listener.Listener // of these, the ones that were not inherited
	surplus []*listener.Listener // of these, the ones that no bind wants any more; they serve until the restart is over
}

// open opens the sockets, as far as they are not inherited.
func (s *succession) open(activation *listener.Activation, binds []listener.Bind, cfg config.Config) (sockets, error) {
	if s.inherited == nil {
		opened, err := activation.Listen(binds, cfg.ActivatedSockets)
		return sockets{all: opened}, err
	}
	inherited, err := s.inherited.Listeners()
	if err != nil {
		return sockets{}, err
	}
	serving, opened, surplus, err := rebind(inherited, cfg)
	if err != nil {
		listener.CloseAll(inherited)
		return sockets{}, err
	}
	return sockets{all: append(serving, surplus...), opened: opened, surplus: surplus}, nil
}

// watch takes what a deputy hears from the main process: connections, once there is a server, and its end at any time.
func (s *succession) watch(asked *signals, serving <-chan *operator) {
	if !s.inherited.Is(handover.Deputy) {
		return
	}
	s.watching.Go(func() {
		var o *operator
		for {
			m, err := s.inherited.Receive()
			if err != nil {
				asked.end(nil) // whoever stood behind this front is gone
				return
			}
			if o == nil {
				o = <-serving
			}
			switch m.Kind {
			case handover.Connection:
				o.adopt(m)
			case handover.Ready:
				o.running.Go(func() { o.giveBack(s.inherited.Channel) })
			default:
				m.Drop()
			}
		}
	})
}

// up is called when a server serves: the other front hears of it.
func (s *succession) up(o *operator, socks sockets) {
	switch in := s.inherited; {
	case in.Is(handover.Deputy):
		var err error
		for _, l := range socks.opened {
			err = errors.Join(err, in.Announce(l))
		}
		if err = errors.Join(err, in.Send(handover.Ready, nil)); err != nil {
			o.log.Error("the main process cannot be told that the new program serves: %v", err, logs.Named("handover_failed"))
		}
	case in.Is(handover.Main):
		for _, l := range socks.all {
			l.Own()
		}
		in.Settle()
		o.changing.Lock() // the restart is not over
		o.running.Go(func() {
			defer o.changing.Unlock()
			o.resume(in, socks.surplus)
		})
	}
}

// finish says how a front that inherited ended, and waits for its deputy.
func (s *succession) finish(err error) {
	if s.inherited == nil {
		return
	}
	if failed(err) {
		s.inherited.Send(handover.Failed, []byte(err.Error())) //nolint:errcheck // it sees our end, too
	}
	s.inherited.Leave(endPatience)
	s.watching.Wait()
}

// failed says whether an outcome is a failure.
func failed(err error) bool {
	var ended endedBy
	var replaced *replacement
	return err != nil && !errors.As(err, &ended) && !errors.As(err, &replaced)
}

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
			deputy.Leave(o.config().ShutdownTimeout + lastSteps)
		}
	}
	o.deputy.Store(nil)
	if err != nil {
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
	o.pool.Settle()
	o.server.Shutdown(ctx)
	served()
	o.pool.Shutdown(ctx)
	o.running.Wait()
	o.current.Load().Retire()
	if o.next == nil {
		return nil // a deputy's work is done
	}
	if o.asked.stopping() {
		o.next.leave(patience + lastSteps)
		return o.asked.outcome()
	}
	signal.Ignore(deaf...)
	return o.next
}

// deaf are the signals that would end a program that is about to be replaced, or has just begun, and does not want them yet.
// What is ignored stays so until the new program asks for it.
var deaf = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU}

// retryEvery is how long to wait before another try.
const retryEvery = 10 * time.Second

// again says whether a start that failed is to be tried again: a main process that has just got a new program has a deputy that
// serves, so to end would be an outage. It waits a while before it says yes.
func (s *succession) again(err error, errs io.Writer) bool {
	if !failed(err) || !s.inherited.Is(handover.Main) || s.inherited.Ended() {
		return false
	}
	fmt.Fprintf(errs, "serval: the new program does not come up in the main process, and its deputy (PID %d) goes on serving: %v; the next try is in %s, or at a USR2\n",
		s.inherited.Peer(), err, retryEvery)
	notifier := systemd.New(os.Environ(), logs.New(errs, errs, false)) // whose watchdog would end the deputy, too
	defer notifier.Close()
	notifier.Failed("a deputy serves: the new program does not come up in the main process: " + firstLines(err.Error(), 2))
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, append(deaf, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)...)
	defer signal.Stop(asked)
	select {
	case sig := <-asked:
		return sig != syscall.SIGTERM && sig != syscall.SIGINT && sig != syscall.SIGQUIT
	case <-time.After(retryEvery):
		return true
	}
}
