package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"serval/internal/process"
	"serval/internal/sequence"
)

// State is what a process does.
type State string

// The states.
const (
	Stopped    State = "stopped"
	Starting   State = "starting" // it runs, and is not ready yet
	Running    State = "running"
	Stopping   State = "stopping"
	Restarting State = "restarting" // it has ended, and is about to be started again
	Failed     State = "failed"     // it has ended, and is left alone, for good or for a while
)

// Status is how a process is.
type Status struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"` // by itself, since somebody started it
	Why      string    `json:"why,omitempty"`
	Digest   string    `json:"digest,omitempty"` // of the spec that it was started by
	Exit     int       `json:"exit,omitempty"`   // status of the last process, 128 + n for a signal n; -1: unknown
}

// Event is something that happened to a process. Status is how it is then.
type Event struct {
	Status
	Text string // "started", "was killed by SIGKILL"
}

// unit looks after one process. What is not guarded by mu belongs to the goroutine of run.
type unit struct {
	s      *Supervisor
	orders chan order
	gone   chan struct{} // closed when run has returned

	mu     sync.Mutex
	spec   Spec
	status Status

	now     *running           // nil: no process
	ready   chan error         // tells once whether the process is ready; nil when that is known
	unwell  chan string        // a check says that the process is to be restarted
	watch   context.CancelFunc // ends what watches the process; nil: nothing does
	watched sync.WaitGroup     // what watches it, or has watched an earlier one a moment ago
	timer   *time.Timer        // until it is started again
	backoff backoff
	waiting []chan<- error // who started it
}

// order is what somebody wants of a unit.
type order struct {
	do   verb
	spec *Spec // what it is to be from its next start on; nil: what it is
	done chan<- error
}

type verb int

const (
	start verb = iota
	stop
	restart // stop and start
	leave   // let go of the process and end
)

func newUnit(s *Supervisor, spec Spec) *unit {
	u := &unit{s: s, spec: spec, orders: make(chan order), gone: make(chan struct{}), timer: time.NewTimer(0)}
	u.timer.Stop()
	u.status = Status{Name: spec.Name, State: Stopped, Since: time.Now()}
	return u
}

func (u *unit) run() {
	defer close(u.gone)
	for {
		var exited <-chan struct{}
		if u.now != nil {
			exited = u.now.Exited()
		}
		select {
		case o := <-u.orders:
			if o.spec != nil {
				u.mu.Lock()
				u.spec = *o.spec
				u.mu.Unlock()
			}
			if o.do == leave {
				u.unwatch()
				u.watched.Wait()
				o.done <- nil
				return
			}
			u.obey(o)
		case <-exited:
			u.ended()
		case err := <-u.ready:
			u.settled(err)
		case why := <-u.unwell:
			u.heal(why)
		case <-u.timer.C:
			u.begin()
		}
	}
}

// ask hands an order over and waits until it is carried out.
func (u *unit) ask(ctx context.Context, do verb, spec *Spec) error {
	done := make(chan error, 1)
	select {
	case u.orders <- order{do, spec, done}:
	case <-u.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// obey carries an order out. Who asks for a start is answered when the process is ready.
func (u *unit) obey(o order) {
	if o.do != start {
		text := ""
		switch {
		case u.now != nil:
			text = "has stopped"
		case u.timer.Stop():
			text = "is not started again"
		}
		u.stop()
		if o.do == stop {
			u.become(Stopped, text, "")
			o.done <- nil
			return
		}
	}
	switch {
	case u.now != nil && u.ready == nil:
		o.done <- nil
		return
	case u.now == nil:
		u.backoff = backoff{}
		u.mu.Lock()
		u.status.Restarts = 0
		u.mu.Unlock()
	}
	u.waiting = append(u.waiting, o.done)
	if u.now == nil {
		u.begin()
	}
}

// begin starts the process.
func (u *unit) begin() {
	u.timer.Stop()
	if u.s.hurry.Err() != nil {
		u.become(Stopped, "is not started any more", "")
		u.answer(errors.New(u.spec.Name + " is not started: everything is stopped"))
		return
	}
	now, err := u.spawn()
	if err != nil {
		u.answer(fmt.Errorf("%s: %w", u.spec.Name, err))
		u.again("cannot be started: "+err.Error(), -1, 0)
		return
	}
	u.now = now
	u.mu.Lock()
	u.status.Digest = u.spec.Digest()
	u.mu.Unlock()
	u.become(Starting, fmt.Sprintf("started with process id %d", now.PID), "")
	u.observe(true)
}

func (u *unit) spawn() (*running, error) {
	out, err := u.s.output(u.spec)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	spec := u.spec
	if u.s.records != "" {
		// From here on until its number is recorded, the next supervisor knows the process by its mark.
		if err := u.s.records.write(spec.Name, record{Begun: true, Digest: spec.Digest(), Restarts: u.status.Restarts, Stop: spec.Stop}); err != nil {
			return nil, fmt.Errorf("cannot be recorded, and would not be found by the next supervisor: %w", err)
		}
		spec.Env = append(slices.Clip(spec.Env), u.s.records.mark(spec.Name))
	}
	return spawn(spec, out)
}

// observe watches the process: whether it becomes ready, and whether it stays well.
func (u *unit) observe(booting bool) {
	ctx, cancel := context.WithCancel(context.Background())
	u.watch = cancel
	u.unwell = make(chan string, len(u.spec.Checks))
	if booting {
		ready := make(chan error, 1)
		u.ready = ready
		u.watched.Go(func() { ready <- u.spec.Ready.await(ctx) })
	}
	for _, check := range u.spec.Checks {
		w := watch{check: check, unit: u, unwell: u.unwell, spec: u.spec, id: u.now.ID, group: u.now.group}
		u.watched.Go(func() { w.run(ctx) })
	}
}

// unwatch has the process watched no more. It does not wait for a look that is under way: nobody listens to what that finds.
func (u *unit) unwatch() {
	if u.watch != nil {
		u.watch()
		u.watch = nil
	}
	u.ready, u.unwell = nil, nil
}

// settled is called when it is known whether a process is ready.
func (u *unit) settled(err error) {
	u.ready = nil
	if err == nil {
		u.become(Running, "is ready", "")
		u.answer(nil)
		return
	}
	// It may listen elsewhere than its spec says, so it is left alone.
	u.become(Running, err.Error(), "")
	u.answer(fmt.Errorf("%s: %w", u.spec.Name, err))
}

// heal restarts a process that a check found unwell.
func (u *unit) heal(why string) {
	if u.now == nil {
		return
	}
	ran := time.Since(u.now.began)
	u.say(why)
	u.stop()
	u.again(why, -1, ran)
}

// ended is called when the process has ended by itself.
func (u *unit) ended() {
	was := u.now
	if u.follow() {
		return
	}
	u.unwatch()
	exit, status := was.bury()
	u.now = nil
	sweep(u.s.hurry, was.group)
	u.answer(fmt.Errorf("%s %s", u.spec.Name, exit))
	u.again(exit, status, time.Since(was.began))
}

// follow takes over the process that the pid file names, if the one that ended has left it in its place.
func (u *unit) follow() bool {
	if u.spec.PIDFile == "" {
		return false
	}
	text, err := os.ReadFile(u.spec.PIDFile)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 || pid == u.now.PID {
		return false
	}
	row, err := process.Look(pid)
	if err != nil || row.Group != u.now.group { // it is somebody else's
		return false
	}
	next, err := take(row.ID, row.Group)
	if err != nil {
		return false
	}
	u.unwatch()
	u.now.bury()
	u.now = next
	u.become(Running, fmt.Sprintf("goes on with process id %d, by %s", pid, u.spec.PIDFile), "")
	u.answer(nil)
	u.observe(false)
	return true
}

// again decides what comes after an end that nobody wanted.
func (u *unit) again(why string, exit int, ran time.Duration) {
	u.mu.Lock()
	u.status.Exit = exit
	u.mu.Unlock()
	if u.spec.Once {
		state := Failed
		if exit == 0 {
			state = Stopped
		}
		u.become(state, why, why)
		return
	}
	delay, flapping := u.backoff.next(time.Now(), ran, u.spec.Flapping)
	if flapping {
		left := "and is left alone"
		if delay >= 0 {
			left += fmt.Sprintf(" for %s", delay)
			u.timer.Reset(delay)
		}
		u.become(Failed, fmt.Sprintf("%s; it has ended %d times within %s %s", why, u.spec.Flapping.Times, u.spec.Flapping.Within, left), why)
		return
	}
	u.mu.Lock()
	u.status.Restarts++
	u.mu.Unlock()
	u.timer.Reset(delay)
	u.become(Restarting, fmt.Sprintf("%s; it is started again in %s", why, delay.Round(100*time.Millisecond)), why)
}

// stop carries out the stop sequence. When the supervisor is in a hurry, it kills.
func (u *unit) stop() {
	u.answer(errors.New(u.spec.Name + " was stopped while it started"))
	if u.now == nil {
		return
	}
	u.unwatch()
	u.become(Stopping, "is being stopped by "+u.spec.Stop.String(), "")
	var target sequence.Target = u.now
	if u.spec.Family {
		target = family{u.now}
	}
	if err := u.spec.Stop.Run(u.s.hurry, target); err != nil {
		if u.s.hurry.Err() == nil {
			u.say(err.Error())
		}
		u.now.Signal(syscall.SIGKILL) //nolint:errcheck // it has ended then
		<-u.now.Exited()
	}
	_, exit := u.now.bury()
	sweep(u.s.hurry, u.now.group)
	u.now = nil
	u.mu.Lock()
	u.status.Exit = exit
	u.mu.Unlock()
}

// answer tells those who started the process what became of that.
func (u *unit) answer(err error) {
	for _, done := range u.waiting {
		done <- err
	}
	u.waiting = nil
}

// become changes the state, writes down what the next supervisor has to know, and says what happened.
func (u *unit) become(state State, text, why string) {
	u.mu.Lock()
	if u.status.State != state {
		u.status.Since = time.Now()
	}
	u.status.State, u.status.Why, u.status.PID = state, why, 0
	if u.now != nil {
		u.status.PID = u.now.PID
	}
	known := record{Digest: u.status.Digest, Stopped: state == Stopped, Restarts: u.status.Restarts, Stop: u.spec.Stop}
	u.mu.Unlock()
	if u.now != nil {
		known.Process, known.Group = u.now.ID, u.now.group
	}
	if err := u.s.records.write(u.spec.Name, known); err != nil {
		u.say("cannot be recorded, and would not be found by the next supervisor: " + err.Error())
	}
	u.say(text)
}

func (u *unit) say(text string) {
	if u.s.Watch != nil && text != "" {
		u.s.Watch(Event{u.Status(), text})
	}
}

// Status is how the process is.
func (u *unit) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// adopt takes over what an earlier supervisor has left. It is called before run, and says whether there is a process.
func (u *unit) adopt() bool {
	known := u.s.records.read(u.spec.Name)
	u.status.Restarts = known.Restarts
	if known.Begun {
		known.Process = u.s.records.marked(u.spec.Name)
		known.Group = known.Process.PID
	}
	if known.Process.PID == 0 {
		return known.Stopped
	}
	now, err := take(known.Process, known.Group)
	if err != nil {
		return false
	}
	u.now = now
	u.status.Digest = known.Digest
	u.become(Running, fmt.Sprintf("is taken over with process id %d", now.PID), "")
	u.mu.Lock()
	u.status.Since = now.began
	u.mu.Unlock()
	u.observe(false)
	return true
}
