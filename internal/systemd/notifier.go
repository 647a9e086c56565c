// Package systemd speaks with the service manager that started Serval: it says when Serval is ready, restarts or stops,
// proves that it lives, and finds out whether the log goes to the journal. Without a service manager it does nothing.
//
// The messages are those of sd_notify(3), the variables those of sd_watchdog_enabled(3), sd_listen_fds(3) and
// systemd.exec(5).
package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// statusEvery is how often a changed status is told at most.
	statusEvery = time.Second

	// extension is how much time is asked for while Serval starts, restarts or stops. It is asked for again and again, so
	// the unit's own timeouts strike only when the front is dead, this much later at worst.
	extension = 20 * time.Second

	extendEvery = extension / 4
)

// Log takes what an operator should know.
type Log interface {
	Warn(format string, args ...any)
}

// Notifier tells systemd how Serval is doing. Its goroutine is the front's own and waits for no Ruby: what it says is
// never late because the app is busy. A nil Notifier has nobody to tell and does nothing.
type Notifier struct {
	log      Log
	watchdog time.Duration // WATCHDOG_USEC; 0: systemd does not ask for signs of life
	stop     chan struct{}
	done     sync.WaitGroup

	mu       sync.Mutex // guards following, and keeps messages in order
	socket   *socket
	state    state
	restarts int       // those under way
	giveUp   time.Time // while stopping: from then on no more time is asked for
	pulse    func()
	status   func() string
	told     string    // the last status
	pinged   time.Time // when systemd last got a sign of life
	extended time.Time // when it was last asked for time
	failed   bool      // it was said that systemd cannot be reached
}

// state is what systemd was told last about Serval as a whole.
type state int

const (
	starting state = iota
	ready
	restarting
	stopping
)

// New returns a notifier for the service manager that the environment ("NAME=value") names, and starts its goroutine;
// Close ends it. It returns nil where there is none, or PUMA_SKIP_SYSTEMD says not to speak with it (Puma 6.5).
func New(environ []string, log Log) *Notifier {
	path := lookup(environ, "NOTIFY_SOCKET")
	if path == "" || Skipped(environ) {
		return nil
	}
	socket, err := newSocket(path)
	if err != nil {
		log.Warn("systemd is not told how serval is doing: %v", err)
		return nil
	}
	n := &Notifier{log: log, socket: socket, stop: make(chan struct{})}
	if n.watchdog, err = watchdogOf(environ); err != nil {
		log.Warn("systemd gets no signs of life: %v", err)
	}
	n.tell(n.line("loading the app"))
	n.done.Go(n.run)
	return n
}

// watchdogOf is how long systemd waits for a sign of life of this process, 0 for ever.
func watchdogOf(environ []string) (time.Duration, error) {
	usec, pid := lookup(environ, "WATCHDOG_USEC"), lookup(environ, "WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(time.Duration(1<<63-1)/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC=%q is not a number of microseconds: set WatchdogSec= in the unit", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Watch gives the notifier something to look at, from now on. pulse returns once the front's own loops have answered:
// while it does not, systemd gets no sign of life. status is one line for systemctl status, asked for once a second.
// Neither may wait for somebody who calls the notifier.
func (n *Notifier) Watch(pulse func(), status func() string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.pulse, n.status = pulse, status
	n.mu.Unlock()
}

// Ready says that clients are served. MAINPID goes with it, for a unit whose command is a shell that stays: systemd then
// signals and watches the front (it takes NotifyAccess=all to hear it).
func (n *Notifier) Ready() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state == starting {
		n.state = ready
		n.tell("READY=1", "MAINPID="+strconv.Itoa(os.Getpid()), n.freshStatus())
	}
}

// Failed says why Serval ends before it has served anyone.
func (n *Notifier) Failed(reason string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tell(n.line(reason))
}

// Restarting says that a restart begins, of whatever kind, or that the logs are opened again, and what the status is meanwhile. The returned function says
// that it is over, successful or not: the old workers serve on if it was not. Restarts may overlap.
func (n *Notifier) Restarting(status string) (over func()) {
	if n == nil {
		return func() {}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.restarts++
	if n.state == ready || n.state == restarting {
		n.enter(restarting)
		// Type=notify-reload takes RELOADING=1 for an answer to its own signal only if it is younger (systemd 253), so it
		// is said again when one restart follows another.
		n.tell("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10), n.line(status), n.moreTime(time.Now()))
	}
	return sync.OnceFunc(n.restarted)
}

func (n *Notifier) restarted() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.restarts--
	if n.state == restarting && n.restarts == 0 {
		n.state = ready
		n.tell("READY=1", n.freshStatus())
	}
}

// Stopping says that Serval stops, and asks for time for at most patience: how long requests may go on, and workers may
// take to leave.
func (n *Notifier) Stopping(status string, patience time.Duration) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.enter(stopping)
	n.status = nil
	n.giveUp = time.Now().Add(patience)
	n.tell("STOPPING=1", n.line(status), n.moreTime(time.Now()))
}

// enter changes to a state in which time is asked for, and asks anew: it is another timeout of the unit's.
func (n *Notifier) enter(s state) {
	n.state = s
	n.extended = time.Time{}
}

// Close ends the notifier's goroutine. Nothing is said after it.
func (n *Notifier) Close() {
	if n == nil {
		return
	}
	close(n.stop)
	n.done.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.socket.close()
}

// run says again and again what systemd wants to hear.
func (n *Notifier) run() {
	tick := statusEvery
	if n.watchdog > 0 {
		tick = max(min(tick, n.watchdog/2), time.Millisecond)
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		n.beat(tick)
		select {
		case <-ticker.C:
		case <-n.stop:
			return
		}
	}
}

// beat is one turn of run; the next one comes after tick.
func (n *Notifier) beat(tick time.Duration) {
	n.mu.Lock()
	pulse := n.pulse
	n.mu.Unlock()
	if pulse != nil {
		pulse() // a front whose loops are stuck keeps us here, and systemd hears nothing
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	var lines []string
	if n.watchdog > 0 && now.Add(tick).Sub(n.pinged) > n.watchdog/2 {
		n.pinged = now
		lines = append(lines, "WATCHDOG=1")
	}
	lines = append(lines, n.moreTime(now))
	if n.state == ready {
		lines = append(lines, n.freshStatus())
	}
	n.tell(lines...)
}

// moreTime is the line that asks for time, or empty when none is wanted yet.
func (n *Notifier) moreTime(now time.Time) string {
	switch {
	case n.state == ready, n.state == stopping && now.After(n.giveUp), now.Sub(n.extended) < extendEvery:
		return ""
	}
	n.extended = now
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(extension.Microseconds(), 10)
}

// freshStatus is the line for the present status, or empty when systemd knows it.
func (n *Notifier) freshStatus() string {
	if n.status == nil {
		return ""
	}
	return n.line(n.status())
}

func (n *Notifier) line(status string) string {
	if status == n.told {
		return ""
	}
	n.told = status
	return "STATUS=" + strings.ReplaceAll(strings.TrimSpace(status), "\n", " ")
}

// tell sends lines as one message, without the empty ones.
func (n *Notifier) tell(lines ...string) {
	var message strings.Builder
	for _, line := range lines {
		if line != "" {
			message.WriteString(line + "\n")
		}
	}
	if message.Len() == 0 {
		return
	}
	err := n.socket.send(message.String())
	if err != nil && !n.failed {
		n.log.Warn("systemd cannot be told how serval is doing: %v", err)
	}
	n.failed = err != nil
}

func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic("systemd: no monotonic clock: " + err.Error()) // every Linux has one
	}
	return time.Duration(now.Nano())
}
