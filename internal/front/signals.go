package front

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"serval/internal/logs"
)

// signals turns the signals that a server gets into events.
type signals struct {
	ended  chan struct{}       // closed when the server is to stop
	again  chan struct{}       // closed when it was asked a second time
	reopen chan struct{}       // the logs are to be opened again
	info   chan struct{}       // the log is to have what all threads are doing
	wishes chan syscall.Signal // for a restart, or for more or fewer workers

	mu    sync.Mutex // guards following
	quiet bool       // a TERM is no outcome (--quiet-term)
	cause os.Signal
	count int

	log    *logs.Log
	caught chan os.Signal
	pipes  chan os.Signal
	over   chan struct{}
	done   sync.WaitGroup
}

// ownsURG is "yes" in a binary whose runtime leaves the URG signal alone: the linker sets both.
var ownsURG string

// watchSignals begins to watch. TERM and INT stop the server, QUIT stops it at once, HUP reopens its logs, PWR has
// threads shown there, and the end of ctx is a TERM. USR1, USR2, URG, TTIN and TTOU are wishes for the operator.
func watchSignals(ctx context.Context, log *logs.Log) *signals {
	s := &signals{
		log:   log,
		ended: make(chan struct{}), again: make(chan struct{}), reopen: make(chan struct{}, 1), info: make(chan struct{}, 1),
		wishes: make(chan syscall.Signal, 16),
		caught: make(chan os.Signal, 8), pipes: make(chan os.Signal, 1), over: make(chan struct{}),
	}
	signal.Notify(s.caught, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	// PIPE is caught to be ignored: a log reader that died is no reason to stop. Caught rather than ignored, because what
	// is ignored stays so in the programs that the app starts. It has a channel of its own, which nobody reads: every
	// client that leaves early makes for one, and in a crowd of them a TERM would find the other channel full.
	signal.Notify(s.pipes, syscall.SIGPIPE)
	signal.Notify(s.caught, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGPWR)
	// The Go runtime sends itself URG to preempt goroutines, unless it was built not to (see the Makefile); those could not
	// be told from others.
	if ownsURG == "yes" {
		signal.Notify(s.caught, syscall.SIGURG)
	}
	s.done.Go(func() { s.run(ctx) })
	return s
}

func (s *signals) run(ctx context.Context) {
	cancelled := ctx.Done()
	for {
		select {
		case sig := <-s.caught:
			switch sig {
			case syscall.SIGTERM, syscall.SIGINT:
				s.end(sig)
			case syscall.SIGHUP:
				note(s.reopen)
			case syscall.SIGPWR:
				note(s.info)
			case syscall.SIGQUIT:
				s.end(sig)
				s.end(sig)
			default:
				s.wish(sig.(syscall.Signal))
			}
		case <-cancelled:
			cancelled = nil
			s.end(nil)
		case <-s.over:
			return
		}
	}
}

// note puts a wish into a channel unless there is one already.
func note(wish chan<- struct{}) {
	select {
	case wish <- struct{}{}:
	default:
	}
}

// wish passes a signal on to the operator.
func (s *signals) wish(sig syscall.Signal) {
	select {
	case s.wishes <- sig:
	default:
		s.log.Warn("%s is dropped: %d signals before it still wait for their turn", unix.SignalName(sig), cap(s.wishes))
	}
}

// end asks the server to stop; a second time, to stop at once.
func (s *signals) end(cause os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	switch s.count {
	case 1:
		s.cause = cause
		close(s.ended)
	case 2:
		close(s.again)
	}
}

// stopping says whether the server was asked to stop.
func (s *signals) stopping() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *signals) stop() {
	signal.Stop(s.caught)
	signal.Stop(s.pipes)
	close(s.over)
	s.done.Wait()
}

// outcome is how the program should end: after a TERM by that signal, as Puma does (raise_exception_on_sigterm), so that
// whoever sent it sees that it worked.
func (s *signals) outcome() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == syscall.SIGTERM && !s.quiet {
		return EndedBy{syscall.SIGTERM}
	}
	return nil
}

// configure says whether the program ends by a TERM that stopped it, or with status 0.
func (s *signals) configure(quietTerm bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = quietTerm
}
