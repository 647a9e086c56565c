package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"serval/internal/wire"
)

// child is what worker and mold have in common: a Ruby process, its control socket, its boot and its end.
type child struct {
	Started time.Time

	name    string // "worker 3", "mold"
	process *process
	control *control
	oom     int64 // the OOM killer's count at start

	ready   chan struct{}     // closed when it said that it is ready, or exited
	exited  chan struct{}     // closed when it is gone and all it said was handled
	mu      sync.Mutex        // guards following
	facts   map[string]string // nil: not ready yet
	bootErr string
	fault   error // why it was killed, if it broke the protocol
	exit    Exit
}

// ErrBoot is the error of a process whose app did not load. It reads as the app's own words.
type ErrBoot struct{ Text string }

func (e *ErrBoot) Error() string { return strings.TrimRight(e.Text, "\n") }

func newChild(name string) child {
	return child{name: name, oom: oomKills(), Started: time.Now(), ready: make(chan struct{}), exited: make(chan struct{})}
}

// handle takes what both kinds of process say; false when m is something else.
func (c *child) handle(m wire.Message) bool {
	switch m.Kind {
	case wire.Ready:
		c.setReady(m.Text)
	case wire.BootError:
		c.mu.Lock()
		c.bootErr = string(m.Text)
		c.mu.Unlock()
	default:
		return false
	}
	return true
}

func (c *child) setReady(text []byte) {
	facts := map[string]string{}
	for fact := range bytes.SplitSeq(text, []byte{0}) {
		if name, value, ok := bytes.Cut(fact, []byte("=")); ok {
			facts[string(name)] = string(value)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.facts == nil {
		c.facts = facts
		close(c.ready)
	}
}

// bury keeps how the process ended and tells everybody that it did, once all it said was handled.
func (c *child) bury() {
	c.control.close()
	c.mu.Lock()
	c.exit = c.exitOf()
	c.mu.Unlock()
	close(c.exited) // before ready, or Boot would take the end of a failed boot for readiness
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
}

func (c *child) exitOf() Exit {
	if c.process.err != nil {
		return Exit{Err: c.process.err}
	}
	status := c.process.status
	exit := Exit{Status: status}
	if status.Signaled() { // otherwise it has ended by itself before it could be killed
		exit.Fault = c.fault
	}
	exit.OutOfMemory = status.Signaled() && status.Signal() == syscall.SIGKILL && oomKills() > c.oom
	return exit
}

// Boot waits until the process is ready. The error is an *ErrBoot when the app did not load.
func (c *child) Boot(timeout time.Duration, stop <-chan struct{}) error {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-c.ready:
	case <-late:
		trace := c.Backtraces(0, time.Second)
		c.Kill()
		<-c.exited
		return &ErrBoot{fmt.Sprintf("the app did not load within %s (--boot-timeout)\n%s", timeout, trace)}
	case <-stop:
		c.Kill()
		<-c.exited
		return errors.New("stopped while booting")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.facts != nil {
		return nil // whatever has become of it since
	}
	if c.bootErr != "" {
		return &ErrBoot{c.bootErr}
	}
	return &ErrBoot{fmt.Sprintf("%s (PID %d) %s before it was ready", c.name, c.PID(), c.exit)}
}

// Fact returns what the process said of itself when it was ready, for example "ruby" → "3.1.2".
func (c *child) Fact(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts[name]
}

// PID is the process's number.
func (c *child) PID() int { return c.process.pid }

// Exited is closed when the process is gone and everything it had said was handled.
func (c *child) Exited() <-chan struct{} { return c.exited }

// Exit says how it ended, once Exited is closed.
func (c *child) Exit() Exit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit
}

// Dead says whether the process has ended, which may be known before everything it said was handled.
func (c *child) Dead() bool { return c.process.ended() }

// Signal sends the process a signal.
func (c *child) Signal(sig os.Signal) {
	if number, ok := sig.(syscall.Signal); ok {
		c.process.signal(number)
	}
}

// Kill ends the process at once.
func (c *child) Kill() { c.process.signal(syscall.SIGKILL) }

func (c *child) String() string { return c.name }

// Backtraces asks where the thread that runs request id is (all threads for 0), and waits at most as long as given:
// a process whose interpreter is stuck does not answer. It returns "" then.
func (c *child) Backtraces(id uint32, wait time.Duration) string {
	text, _ := c.control.inquire(question{true, id}, wire.Message{Kind: wire.AskBacktrace, ID: id}, wait)
	return text
}

// Ask asks the process for something of itself: "gc" (collects garbage), "gc-stats", "stats", or "backtraces". The answer is
// JSON with the fields that Puma's control server gives. The error is that of a process which has ended, does not know what
// is asked or does not answer within wait.
func (c *child) Ask(what string, wait time.Duration) (string, error) {
	text, err := c.control.ask(wire.Ask, what, wait)
	if err != nil {
		return "", fmt.Errorf("%s (PID %d) was asked for %s: %w", c.name, c.PID(), what, err)
	}
	return text, nil
}

// hookPatience is how long a hook may take. They may do whatever they like, such as talk to a deploy service.
const hookPatience = 10 * time.Minute

// Hook has the process run the blocks of the configuration for name, for example "after_booted", and waits for their end.
// What a block raises goes to the log, as in Puma. after_worker_shutdown takes index, pid, phase, wait status (as wait(2)
// gives it), start (seconds since 1970) and the last status (JSON) as args.
func (c *child) Hook(name string, args ...string) error {
	text := strings.Join(append([]string{name}, args...), "\x00")
	if _, err := c.control.ask(wire.Hook, text, hookPatience); err != nil {
		return fmt.Errorf("the %s hooks in %s (PID %d): %w", name, c.name, c.PID(), err)
	}
	return nil
}

// Log hands over a line of the log for the configuration's log_formatter and custom_logger; false when it could not.
// It never waits.
func (c *child) Log(line []byte) bool {
	return c.control.try(wire.Message{Kind: wire.LogLine, Text: line}) == nil
}

// CheckIn asks the process to show that it is alive; it does not wait for the answer.
func (c *child) CheckIn() { c.control.try(wire.Message{Kind: wire.Ping}) } //nolint:errcheck // LastCheckIn tells

// LastCheckIn is when the process last showed that it is alive; at first, when it was started.
func (c *child) LastCheckIn() time.Time { return c.control.beat() }
