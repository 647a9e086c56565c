package front

import (
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

	"serval/internal/handover"
	"serval/internal/logs"
	"serval/internal/systemd"
)

// Succession is how a server goes on when another program is there in place of its own. Three fronts take part: the running
// one, a deputy of the new program that takes everything over, and the main process again, which then runs the new program
// and takes everything back. docs/explanation/hot-restart.md says why.
type Succession struct {
	program   handover.Program
	environ   []string              // what this process was started with
	inherited *handover.Inheritance // nil: it was started afresh
	watching  sync.WaitGroup
}

// Inherit finds out how this process was started, which runs this version of Serval. It is to be called once, first.
func Inherit(version string) (*Succession, error) {
	inherited, err := handover.Inherit()
	if err != nil {
		return nil, err
	}
	s := &Succession{program: handover.CalledAs(os.Args), inherited: inherited}
	switch {
	case inherited.Is(handover.Deputy):
		signal.Ignore(deaf...) // they are for whoever serves, and this one opens its logs later
		if err := inherited.Send(handover.Hello, []byte(version)); err != nil {
			return nil, err
		}
	case inherited.Is(handover.Main):
		s.forwardReopening()
	}
	// What systemd has passed was taken once, and the process id is the same.
	s.environ = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "LISTEN_") })
	return s, nil
}

// forwardReopening passes HUP on to the deputy as long as there is one: it serves.
func (s *Succession) forwardReopening() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	s.watching.Go(func() {
		defer signal.Stop(asked)
		for {
			select {
			case <-asked:
				s.inherited.Signal(syscall.SIGHUP)
			case <-s.inherited.Over():
				return
			}
		}
	})
}

// Run calls attempt, which loads the configuration and Serves, and says how it ended: what attempt said, unless this process
// has to go on. It does when the new program of a hot restart does not come up, since a deputy serves that would end, too; and
// when it is to become the new program, which errs is told if it fails.
func (s *Succession) Run(errs io.Writer, attempt func() error) error {
	err := attempt()
	for s.again(err, errs) {
		err = attempt()
	}
	s.finish(err)
	var next *replacement
	if errors.As(err, &next) {
		return next.run()
	}
	return err
}

// retryEvery is how long to wait before another try.
const retryEvery = 10 * time.Second

// again says whether a start that failed is to be tried again: a main process that has just got a new program has a deputy that
// serves, so to end would be an outage. It waits a while before it says yes.
func (s *Succession) again(err error, errs io.Writer) bool {
	if !s.retries(err) {
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

// retries says whether a process that ended so has to go on.
func (s *Succession) retries(err error) bool {
	return failed(err) && s.inherited.Is(handover.Main) && !s.inherited.Ended()
}

// finish says how a front that inherited ended, and waits for its deputy.
func (s *Succession) finish(err error) {
	if s.inherited == nil {
		return
	}
	if failed(err) {
		s.inherited.Send(handover.Failed, []byte(err.Error())) //nolint:errcheck // it sees our end, too
	}
	s.inherited.Leave(endPatience)
	s.watching.Wait()
}

// watch takes what a deputy hears from the main process: connections, once there is a server, and its end at any time.
func (s *Succession) watch(asked *signals, serving <-chan *operator) {
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
func (s *Succession) up(o *operator, socks sockets) {
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
