package bluepill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"serval/internal/atomicfile"
	"serval/internal/process"
)

// Daemon runs one application.
type Daemon struct {
	app      Application
	log      *log
	journal  *journal
	monitors []*monitor
	gone     chan struct{} // closed when the monitors are
	pulse    pulse
	hasty    atomic.Bool // its successor waits for it: nothing is brought to its end

	mu    sync.Mutex
	all   process.Table
	taken time.Time // when all was
}

// ErrRunning says that the application has a daemon.
var ErrRunning = errors.New("somebody listens on the socket already")

// Sock and pid are the files of an application's daemon.
func sock(base, application string) string { return filepath.Join(base, "socks", application+".sock") }
func pid(base, application string) string  { return filepath.Join(base, "pids", application+".pid") }

// Run runs an application until TERM or INT. Its processes go on then. ready is called when it can be asked, or cannot be
// started. echo gets the log, too; nil for nobody.
func Run(ctx context.Context, app Application, echo io.Writer, ready func(error)) {
	d := &Daemon{app: app, gone: make(chan struct{})}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	listener, err := d.open(echo)
	if err != nil {
		ready(err)
		return
	}
	d.begin()
	ready(nil)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var monitors, server sync.WaitGroup
	for _, m := range d.monitors {
		monitors.Go(func() { m.run(ctx) })
	}
	server.Go(func() { d.serve(listener) })
	server.Go(func() { d.pulse.run(ctx) })
	d.wait(ctx, signals)
	listener.Close() // which takes its file away
	os.Remove(pid(app.BaseDir, app.Name))
	cancel()
	monitors.Wait()
	close(d.gone)
	server.Wait()
}

// begin finds what runs already.
func (d *Daemon) begin() {
	var all sync.WaitGroup
	for _, m := range d.monitors {
		all.Go(m.begin)
	}
	all.Wait()
}

// open makes ready what a daemon needs.
func (d *Daemon) open(echo io.Writer) (net.Listener, error) {
	base := d.app.BaseDir
	for _, dir := range []string{"socks", "pids", "journals"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			return nil, err
		}
	}
	// Processes write their own pid files there, as whoever they are; each can only touch its own.
	pids := filepath.Join(base, "pids", d.app.Name)
	if err := os.MkdirAll(pids, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(pids, 0o777|os.ModeSticky); err != nil {
		return nil, err
	}
	var err error
	if d.log, err = openLog(d.app.LogFile, echo); err != nil {
		return nil, err
	}
	d.journal = openJournal(base, d.app.Name)
	for _, p := range d.app.Processes {
		d.monitors = append(d.monitors, newMonitor(p, d))
	}
	listener, err := listen(sock(base, d.app.Name))
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(pid(base, d.app.Name), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// listen opens the socket, which is for the daemon's user alone. One that nobody listens on is taken away.
func listen(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, ErrRunning
	}
	os.Remove(path)
	old := syscall.Umask(0o077) // nothing else makes files yet
	defer syscall.Umask(old)
	return net.Listen("unix", path)
}

// wait waits for the end, and sees to the log meanwhile.
func (d *Daemon) wait(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			if s != syscall.SIGHUP {
				d.hasty.Store(s == syscall.SIGINT)
				d.log.write(info, []string{d.app.Name}, "Terminating...")
				return
			}
			if err := d.log.reopen(); err != nil {
				d.log.write(failure, []string{d.app.Name}, "%v", err)
			}
		}
	}
}

// table is all processes of the machine, as they were not long ago.
func (d *Daemon) table() process.Table {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.taken) > tick/2 {
		if all, err := process.All(); err == nil {
			d.all, d.taken = all, time.Now()
		}
	}
	return d.all
}

// reply is what a command is answered with.
type reply struct {
	Lines []string `json:"lines"`
	Error string   `json:"error,omitempty"`
}

// The limits of a conversation.
const (
	maxLine      = 4096
	conversation = 30 * time.Second
	// A command whose effect takes longer is under way, and its client need not wait for it.
	soon = 5 * time.Second
)

func (d *Daemon) serve(listener net.Listener) {
	var conversations sync.WaitGroup
	defer conversations.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		conversations.Go(func() { d.converse(conn) })
	}
}

func (d *Daemon) converse(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(conversation)) //nolint:errcheck // a unix socket has deadlines
	line, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadString('\n')
	if err != nil {
		return
	}
	words := strings.Split(strings.TrimSuffix(line, "\n"), ":")
	for len(words) > 1 && words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	json.NewEncoder(conn).Encode(d.answer(words[0], words[1:])) //nolint:errcheck // the client has left
}

func (d *Daemon) answer(name string, target []string) reply {
	switch {
	case len(target) > 2:
		return reply{Error: fmt.Sprintf("the target %q has more than a group and a process", strings.Join(target, ":"))}
	case name == "log_file":
		return reply{Lines: []string{d.app.LogFile}}
	case name == "status":
		return reply{Lines: d.status(target)}
	case slices.Contains(Events, name):
		return reply{Lines: d.order(name, target)}
	}
	return reply{Error: fmt.Sprintf("there is no command %q", name)}
}

// groups are the groups in their order. Processes without a group are in one that has no name.
func (d *Daemon) groups() (names []string) {
	for _, m := range d.monitors {
		if !slices.Contains(names, m.Group) {
			names = append(names, m.Group)
		}
	}
	return names
}

// selection is part of a group.
type selection struct {
	group   string
	process string // empty: all of it
	members []*monitor
}

// find selects what a target names: nothing for all, a group, a process of any group, or a group and a process.
func (d *Daemon) find(target []string) (found []selection) {
	groups := d.groups()
	one := func(group, process string) selection {
		s := selection{group: group, process: process}
		for _, m := range d.monitors {
			if m.Group == group && (process == "" || m.Name == process) {
				s.members = append(s.members, m)
			}
		}
		return s
	}
	process := ""
	switch {
	case len(target) == 0:
	case target[0] != "" && slices.Contains(groups, target[0]):
		return []selection{one(target[0], strings.Join(target[1:], ""))}
	case len(target) == 1:
		process = target[0]
	case target[0] == "": // ":web", as processes without a group are listed
		return []selection{one("", target[1])}
	default:
		return nil
	}
	for _, group := range groups {
		found = append(found, one(group, process))
	}
	return found
}

// status is how what a target names is. The form is Bluepill's.
func (d *Daemon) status(target []string) (lines []string) {
	for _, s := range d.find(target) {
		indent := ""
		if s.process == "" && s.group != "" {
			lines = append(lines, s.group+":")
			indent = "  "
		}
		for _, m := range s.members {
			lines = append(lines, m.status(indent, s.process != "")...)
		}
		lines = append(lines, "")
	}
	return lines
}

// status is one process's state, with its history or its children.
func (m *monitor) status(indent string, alone bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	pid := ""
	if m.id.PID > 0 {
		pid = strconv.Itoa(m.id.PID)
	}
	lines := []string{fmt.Sprintf("%s%s(pid:%s): %s", indent, m.Name, pid, m.state)}
	if alone {
		lines = append(lines, "event history:")
		for _, e := range slices.Backward(m.events) {
			lines = append(lines, fmt.Sprintf("  %s at %s - %s", e.name, e.when.Format("01/02/2006 15:04:05"), e.reason))
		}
		return lines
	}
	for _, child := range m.family {
		lines = append(lines, fmt.Sprintf("  %s<child(pid:%d)>: up", indent, child))
	}
	return lines
}

// order hands a command to what a target names, and returns whom. It is under way then, or will be before long.
func (d *Daemon) order(name string, target []string) []string {
	affected := []string{}
	var underWay sync.WaitGroup
	for _, s := range d.find(target) {
		for _, m := range s.members {
			affected = append(affected, m.Group+":"+m.Name)
		}
		underWay.Add(len(s.members))
		go d.hand(name, s.members, underWay.Done)
	}
	issued := make(chan struct{})
	go func() {
		underWay.Wait()
		close(issued)
	}()
	select {
	case <-issued:
	case <-time.After(soon):
	}
	return affected
}

// hand gives a command to the processes of a group, and waits for those that want to be waited for before the next.
func (d *Daemon) hand(name string, members []*monitor, issued func()) {
	for _, m := range members {
		done := make(chan struct{})
		c := command{name, sync.OnceFunc(issued), sync.OnceFunc(func() { close(done) })}
		select {
		case m.commands <- c:
		case <-d.gone:
			c.issued()
			continue
		}
		if slices.Contains(m.OneByOne, name) {
			select {
			case <-done:
			case <-d.gone:
				c.issued()
			}
		}
	}
}
