package bluepill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"serval/internal/process"
	"serval/internal/sequence"
)

// state is what a process is thought to do.
type state string

// The states. Unmonitored is that nobody cares whether it runs; down is that it does not, and ought to.
const (
	unmonitored state = "unmonitored"
	up          state = "up"
	down        state = "down"
	starting    state = "starting"
	stopping    state = "stopping"
	restarting  state = "restarting"
)

// tick is how often a process is looked at when nothing happens.
const tick = time.Second

// history is how many events are kept for status.
const history = 10

// event is something that happened to a process.
type event struct {
	name, reason string
	when         time.Time
}

// command is what a user wants of a process.
type command struct {
	name   string
	issued func() // called, at least once, when what was asked for is under way
	done   func() // called when it is done
}

// monitor looks after one process. Its fields belong to the goroutine of run, but for those below mu.
type monitor struct {
	Process
	daemon   *Daemon
	commands chan command

	handle   *process.Handle // of the process that is there; nil: none
	quiet    time.Time       // until when it is not judged
	action   *action         // under way; nil: none
	next     *command        // when the action is over
	checks   []*watch
	children map[process.ID][]*watch
	outcomes chan outcome
	starts   []time.Time  // the latest, for flapping
	retry    *time.Timer  // set by flapping
	left     []process.ID // what the last process has left behind
	refused  string       // why a pid file was not trusted, which is said once

	mu     sync.Mutex
	state  state
	id     process.ID
	family []int // its children
	events []event
}

// action is a start, stop or restart under way. What it finds out is written before over is closed.
type action struct {
	cancel context.CancelFunc
	over   chan struct{}
	id     process.ID // what runs after it, as far as it knows
	slow   bool       // the start command stayed in the foreground, and was ended
	left   []process.ID
	grace  time.Duration
	done   func()
}

func newMonitor(p Process, d *Daemon) *monitor {
	m := &monitor{Process: p, daemon: d, state: down, commands: make(chan command), outcomes: make(chan outcome), checks: newWatches(p.Checks), children: map[process.ID][]*watch{}}
	m.retry = time.NewTimer(0)
	<-m.retry.C
	return m
}

// key is what the process is called in the journal and in commands.
func (m *monitor) key() string { return m.Group + ":" + m.Name }

func (m *monitor) log(at level, format string, args ...any) {
	m.daemon.log.write(at, slices.DeleteFunc([]string{m.daemon.app.Name, m.Group, m.Name}, func(s string) bool { return s == "" }), format, args...)
}

// run looks after the process until ctx ends. The process goes on then; a stop that is under way is brought to its end.
func (m *monitor) run(ctx context.Context) {
	m.judge(ctx)
	for {
		var over <-chan struct{}
		if m.action != nil {
			over = m.action.over
		}
		select {
		case <-ctx.Done():
			m.leave()
			return
		case c := <-m.commands:
			m.obey(ctx, c)
		case <-over:
			m.acted(ctx)
		case <-m.exited():
			m.lose()
			m.judge(ctx)
		case f := <-m.outcomes:
			m.take(ctx, f)
		case <-m.retry.C:
			m.dispatch(ctx, "start", "Flapping")
		case <-m.daemon.pulse.next():
			m.look(ctx)
		}
	}
}

func (m *monitor) leave() {
	if now := m.current(); m.action != nil && (m.daemon.hasty.Load() || now != stopping && now != unmonitored) {
		m.action.cancel()
	}
	if m.action != nil {
		<-m.action.over
	}
	m.drop()
}

// begin finds out whether the process runs already. It comes before run.
func (m *monitor) begin() {
	switch {
	case m.running():
		m.set(up)
		m.log(info, "Found process %d, which goes on", m.pid())
	case m.Unmonitored:
		m.set(unmonitored)
	}
}

// exited tells when the process that is there ends.
func (m *monitor) exited() <-chan struct{} {
	if m.handle == nil || m.action != nil {
		return nil
	}
	return m.handle.Exited()
}

// hold takes a process for ours.
func (m *monitor) hold(id process.ID) bool {
	if m.handle != nil && m.handle.ID == id {
		return true
	}
	h, err := id.Open()
	if err != nil {
		return false
	}
	m.drop()
	m.handle = h
	m.mu.Lock()
	m.id = id
	m.mu.Unlock()
	if err := m.daemon.journal.put(m.key(), id); err != nil {
		m.log(warning, "cannot remember process %d: %v", id.PID, err)
	}
	return true
}

// drop lets go of the process.
func (m *monitor) drop() {
	if m.handle != nil {
		m.handle.Close()
		m.handle = nil
	}
	m.mu.Lock()
	m.id = process.ID{}
	m.mu.Unlock()
}

// lose takes note that the process has ended, and of what it has left behind: a killed master's workers, which may hold what
// the next one needs.
func (m *monitor) lose() {
	m.log(warning, "Process %d has ended", m.handle.PID)
	if all, err := process.All(); err == nil && m.Daemonize {
		for _, row := range all {
			if row.Group == m.handle.PID && row.PID != m.handle.PID && row.State != 'Z' {
				m.left = append(m.left, row.ID)
			}
		}
	}
	m.drop()
}

// clear ends what an earlier process has left behind.
func (m *monitor) clear(ctx context.Context, left []process.ID) {
	ctx, cancel := context.WithTimeout(ctx, 2*tick)
	defer cancel()
	var all sync.WaitGroup
	for _, id := range left {
		h, err := id.Open()
		if err != nil {
			continue
		}
		m.log(warning, "Process %d was left behind, and is ended", id.PID)
		all.Go(func() {
			defer h.Close()
			sequence.MustParse("term, 1, kill").Run(ctx, h) //nolint:errcheck // there is no more that could be done
		})
	}
	all.Wait()
}

// running finds out whether there is a process, and takes hold of it.
func (m *monitor) running() bool {
	if m.handle != nil && !m.ForgetPID {
		select {
		case <-m.handle.Exited():
		default:
			return true
		}
	}
	id, err := m.find(m.daemon.journal.get(m.key()))
	if err != nil && !errors.Is(err, errNone) && m.refused != err.Error() {
		m.refused = err.Error()
		m.log(warning, "%v", err)
	}
	if err != nil || !m.hold(id) {
		m.drop()
		return false
	}
	return true
}

func (m *monitor) pid() int {
	if m.handle == nil {
		return 0
	}
	return m.handle.PID
}

func (m *monitor) current() state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// set comes to a state. What was measured before is forgotten.
func (m *monitor) set(to state) {
	m.mu.Lock()
	from := m.state
	m.state = to
	m.family = nil
	m.mu.Unlock()
	if from == to {
		return
	}
	for _, w := range m.checks {
		w.forget()
	}
	m.children = map[process.ID][]*watch{}
	m.log(info, "Going from %s => %s", from, to)
}

// record keeps an event for status.
func (m *monitor) record(name, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, event{name, reason, time.Now()})
	if len(m.events) > history {
		m.events = m.events[1:]
	}
}

// look is what happens with each tick.
func (m *monitor) look(ctx context.Context) {
	if m.action != nil || time.Now().Before(m.quiet) {
		return
	}
	m.judge(ctx)
	if m.action == nil && m.current() == up {
		m.watch(ctx)
	}
}

// judge comes to the state that fits what is there.
func (m *monitor) judge(ctx context.Context) {
	if m.action != nil || time.Now().Before(m.quiet) {
		return
	}
	switch m.current() {
	case unmonitored:
		m.running()
	case down:
		if m.running() {
			m.set(up)
			return
		}
		m.enter(ctx, starting, nil)
	case up:
		if !m.running() {
			m.set(down)
			m.judge(ctx)
		}
	default:
		if m.running() {
			m.set(up)
			return
		}
		m.set(down)
	}
}

// moves are the states that an event leads from, and the one that it leads to.
var moves = map[string]struct {
	from []state
	to   state
}{
	"start":     {[]state{unmonitored, down}, starting},
	"stop":      {[]state{up}, stopping},
	"restart":   {[]state{up, down}, restarting},
	"unmonitor": {[]state{unmonitored, up, down, starting, stopping, restarting}, unmonitored},
}

// dispatch has an event take effect, if it has one in this state.
func (m *monitor) dispatch(ctx context.Context, name, reason string) {
	m.record(name, reason)
	move := moves[name]
	if m.action == nil && slices.Contains(move.from, m.current()) {
		m.enter(ctx, move.to, nil)
	}
}

// enter comes to a state and does what belongs to it. c is the user's wish behind it, nil if there is none.
func (m *monitor) enter(ctx context.Context, to state, c *command) {
	if (to == starting || to == restarting) && m.flaps() {
		return
	}
	m.set(to)
	switch to {
	case starting:
		m.act(ctx, c, m.StartGrace, m.start)
	case stopping:
		m.act(ctx, c, 0, m.stop)
	case restarting:
		m.act(ctx, c, max(m.RestartGrace, m.StartGrace), m.restart)
	}
}

// flaps reports whether the process starts too often, and leaves it alone for a time if so.
func (m *monitor) flaps() bool {
	f := m.Flapping
	if f == nil {
		return false
	}
	m.starts = append(m.starts, time.Now())
	if len(m.starts) > f.Times {
		m.starts = m.starts[1:]
	}
	if len(m.starts) < f.Times || m.starts[f.Times-1].Sub(m.starts[0]) > f.Within {
		return false
	}
	m.starts = nil
	m.log(info, "Flapping detected: retrying in %g seconds", f.RetryIn.Seconds())
	m.record("unmonitor", "Flapping")
	m.set(unmonitored)
	if f.RetryIn > 0 {
		m.retry.Reset(f.RetryIn)
	}
	return true
}

// act does something in the background. grace is how long the process is not judged after it.
func (m *monitor) act(ctx context.Context, c *command, grace time.Duration, do func(ctx context.Context, a *action, issued func())) {
	actx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the daemon's end does not cut a stop short
	a := &action{cancel: cancel, over: make(chan struct{}), left: m.left, grace: grace}
	m.left = nil
	if m.handle != nil {
		a.id = m.handle.ID
	}
	issued := func() {}
	if c != nil {
		issued, a.done = c.issued, c.done
	}
	m.action = a
	go func() {
		defer close(a.over)
		defer cancel()
		defer issued()
		do(actx, a, issued)
	}()
}

// acted is what happens when an action is over.
func (m *monitor) acted(ctx context.Context) {
	a := m.action
	m.action = nil
	if a.done != nil {
		defer a.done()
	}
	m.drop()
	if a.id != (process.ID{}) {
		m.hold(a.id)
	}
	m.quiet = time.Now().Add(a.grace)
	if a.slow && m.OnStartTimeout == "unmonitor" {
		m.record("unmonitor", "start timeout")
		m.set(unmonitored)
	}
	if next := m.next; next != nil {
		m.next = nil
		m.quiet = time.Time{}
		m.obey(ctx, *next)
	}
}

// obey does what a user wants.
func (m *monitor) obey(ctx context.Context, c command) {
	if !m.retry.Stop() {
		select {
		case <-m.retry.C:
		default:
		}
	}
	if m.action != nil {
		m.interrupt(ctx, c)
		return
	}
	switch now := m.running(); c.name {
	case "start":
		m.record("start", "user initiated")
		if now {
			m.log(warning, "Refusing to re-run start command on an already running process.")
			m.set(up)
			break
		}
		m.enter(ctx, starting, &c)
	case "stop":
		m.record("unmonitor", "user initiated")
		m.set(unmonitored)
		m.act(ctx, &c, 0, m.stop)
	case "restart":
		m.record("restart", "user initiated")
		if now && m.Restart != nil { // it stays what it is: it restarts itself
			m.set(up)
			m.act(ctx, &c, m.RestartGrace, m.restart)
			break
		}
		m.enter(ctx, restarting, &c)
	case "unmonitor":
		m.starts = nil
		m.record("unmonitor", "user initiated")
		m.set(unmonitored)
	}
	if m.action == nil {
		c.issued()
		c.done()
	}
}

// interrupt is for what is wanted while something else is under way.
func (m *monitor) interrupt(ctx context.Context, c command) {
	now := m.current()
	switch {
	case c.name == "unmonitor", c.name == "stop" && now == stopping:
		m.record("unmonitor", "user initiated")
		m.set(unmonitored)
	case c.name == "stop" && (now == starting || now == restarting || now == up):
		m.replace(c)
		m.action.cancel()
		return
	case c.name == "restart" && now != stopping && now != unmonitored:
		m.replace(c)
		return
	case (c.name == "start" || c.name == "restart") && (now == stopping || now == unmonitored):
		m.replace(command{"start", c.issued, c.done})
		c.issued()
		return
	}
	c.issued()
	c.done()
}

// replace puts a wish in the place of an earlier one.
func (m *monitor) replace(c command) {
	if m.next != nil {
		m.next.issued()
		m.next.done()
	}
	m.next = &c
}

// start runs the start command.
func (m *monitor) start(ctx context.Context, a *action, _ func()) {
	m.clear(ctx, a.left)
	if m.PreStart != nil {
		m.log(warning, "Executing pre start command: %s", join(m.PreStart))
		if err := m.Process.run(ctx, m.PreStart, patience, m.daemon.log.path); err != nil {
			m.log(warning, "Pre start command: %v", err)
		}
	}
	if m.PIDCommand == "" { // it names nothing that lives, or we would not be here
		os.Remove(m.PIDFile)
	}
	m.log(warning, "Executing start command: %s", join(m.Start))
	if m.Daemonize {
		id, err := m.background()
		if err != nil {
			m.log(failure, "Start command: %v", err)
		}
		a.id = id
		return
	}
	m.startItself(ctx, a)
}

// startItself runs a start command that puts itself into the background, and looks which process that is. One that stays in
// the foreground is the process, if its pid file says so.
func (m *monitor) startItself(ctx context.Context, a *action) {
	began := time.Now()
	command, ended, err := m.launch(m.Start, m.daemon.log.path)
	if err != nil {
		m.log(failure, "Start command: %v", err)
		return
	}
	for {
		select {
		case err := <-ended:
			if err != nil {
				m.log(warning, "Start command execution returned non-zero exit code: %v", err)
			}
			command, ended = process.ID{}, nil
		case <-time.After(50 * time.Millisecond): // nothing tells when a pid file comes
		}
		id, err := m.find(process.ID{})
		if err == nil && (ended == nil || id == command) {
			a.id = id
			return
		}
		if time.Since(began) >= m.StartGrace || ctx.Err() != nil {
			if err == nil { // the command is still there, but has done its work
				a.id = id
				return
			}
			break
		}
	}
	if ended == nil {
		return
	}
	m.log(failure, "Execution is taking longer than expected.")
	m.log(failure, "Did you forget to tell bluepill to daemonize this process?")
	// No pid file names it, so it would be started again, and again: it does not stay.
	if command.Alive() {
		m.endGroup(command.PID) // with all that it has started
	}
	a.slow = true
}

// stop stops the process that is there.
func (m *monitor) stop(ctx context.Context, a *action, issued func()) {
	h, err := a.id.Open()
	if err != nil {
		a.id = process.ID{}
		return
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(ctx, m.StopGrace)
	defer cancel()
	group := m.ownGroup(h.PID)
	switch {
	case m.Stop != nil:
		words := filled(m.Stop, h.PID)
		m.log(warning, "Executing stop command: %s", join(words))
		if err := m.Process.run(ctx, words, m.StopGrace, m.daemon.log.path); err != nil {
			m.log(warning, "Stop command execution returned non-zero exit code: %v", err)
		}
		issued()
	case m.StopSignals != nil:
		m.log(warning, "Sending stop signals to %d", h.PID)
		if err := m.StopSignals.Run(ctx, told{h, m, issued}); err != nil {
			m.log(failure, "Process %d: %v", h.PID, err)
		}
	default:
		m.log(warning, "Executing default stop command. Sending TERM signal to %d", h.PID)
		if err := h.Signal(syscall.SIGTERM); err != nil {
			m.log(failure, "Failed to signal process %d with code TERM: %v", h.PID, err)
		}
		issued()
	}
	select {
	case <-h.Exited():
	case <-ctx.Done():
		m.log(failure, "Process %d is still there after %g seconds", h.PID, m.StopGrace.Seconds())
		return
	}
	a.id = process.ID{}
	m.endGroup(group)
	if text, err := os.ReadFile(m.PIDFile); err == nil && strings.TrimSpace(string(text)) == fmt.Sprint(h.PID) {
		os.Remove(m.PIDFile)
	}
}

// ownGroup is the process group of a process that was put into the background by us, which is the leader of one; 0 if it is
// none.
func (m *monitor) ownGroup(pid int) int {
	if group, err := syscall.Getpgid(pid); err == nil && m.Daemonize && group == pid {
		return group
	}
	return 0
}

// endGroup ends what is left of a process group; 0 is none. While a group has members, no process gets its number.
func (m *monitor) endGroup(group int) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if group == 0 || syscall.Kill(-group, signal) != nil {
			return
		}
		for until := time.Now().Add(tick); time.Now().Before(until) && syscall.Kill(-group, 0) == nil; {
			time.Sleep(20 * time.Millisecond) // nothing tells when a group is empty
		}
	}
}

// told writes down which signals are sent.
type told struct {
	*process.Handle
	m      *monitor
	issued func()
}

func (t told) Signal(signal syscall.Signal) error {
	t.m.log(info, "Sending signal %s to %d", sequence.Name(signal), t.PID)
	defer t.issued()
	return t.Handle.Signal(signal)
}

// restart restarts what is there by the restart command, or by a stop and a start; it starts what is not there.
func (m *monitor) restart(ctx context.Context, a *action, issued func()) {
	if h, err := a.id.Open(); err == nil && m.Restart != nil {
		defer h.Close()
		words := filled(m.Restart, h.PID)
		m.log(warning, "Executing restart command: %s", join(words))
		if err := m.Process.run(ctx, words, m.RestartGrace, m.daemon.log.path); err != nil {
			m.log(warning, "Restart command execution returned non-zero exit code: %v", err)
		}
		return
	}
	if m.Restart == nil {
		m.log(warning, "No restart_command specified. Must stop and start to restart")
	}
	m.stop(ctx, a, issued)
	if a.id == (process.ID{}) && ctx.Err() == nil {
		m.start(ctx, a, issued)
	}
}
