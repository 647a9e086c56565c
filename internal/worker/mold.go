package worker

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"serval/internal/wire"
)

// MoldConfig is what a mold is started with.
type MoldConfig struct {
	Ruby     string   // the interpreter, a path or a name in PATH
	Script   string   // the runtime's doorway, mold.rb
	Dir      string   // the app's directory
	Env      []string // the whole environment, NAME=value; workers inherit it
	Settings []string // key=value lines (docs/reference/wire.md)
	Preload  bool     // load the app, so that workers share its memory; else only the configuration
	Stdout   *os.File
	Stderr   *os.File
}

// MoldHandler takes what the mold wants of its own accord: what plugins and hooks ask of the object that Puma calls the
// launcher. It is called from one goroutine per mold and must not block.
type MoldHandler interface {
	// Command asks for "restart", "phased_restart", "refork", "stop" or "halt".
	Command(name string)

	// Stats gives the statistics as JSON, as Puma's control server has them.
	Stats() string
}

// grant passes a wish of the process on to h; nil: nobody is there to grant it.
func (c *child) grant(m wire.Message, h MoldHandler) {
	switch {
	case h == nil:
	case m.Kind == wire.Command:
		h.Command(string(m.Text))
	case m.Kind == wire.WantStats:
		c.control.try(wire.Message{Kind: wire.Stats, ID: m.ID, Text: []byte(h.Stats())}) //nolint:errcheck // it asks no more
	}
}

// Mold is a process that workers are forked from. It stands for the process that Puma calls the master: the blocks of the
// configuration which are for that one run in it.
type Mold struct {
	child
	handler MoldHandler
}

const (
	// forkPatience is how long a fork may take, the hooks around it included.
	forkPatience = time.Minute

	// promotePatience is how long a worker may take to become idle and fork a mold.
	promotePatience = 30 * time.Second
)

// StartMold starts a mold. It is then booting; await Boot. The mold's workers are children of this process, which
// becomes a subreaper for that; a NewReaper should be there to bury the orphans it gets by that.
func StartMold(cfg MoldConfig, h MoldHandler) (*Mold, error) {
	if err := becomeSubreaper(); err != nil {
		return nil, err
	}
	m, theirs, err := newMold(h)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// The workers' sockets will have the numbers 3, 5 and 6: no file of the interpreter's or the app's must be there.
	null, err := os.Open(os.DevNull)
	if err == nil {
		defer null.Close()
		m.process, err = spawn(cfg.command([]*os.File{null, theirs, null, null}))
	}
	if err != nil {
		m.control.close()
		return nil, startError(m.name, cfg.Ruby, err)
	}
	go m.run()
	return m, nil
}

// newMold is a mold without a process, and the descriptor that the process is to have as its control socket.
func newMold(h MoldHandler) (*Mold, *os.File, error) {
	m := &Mold{child: newChild("mold"), handler: h}
	control, theirs, err := newControl()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot start a mold: %w", err)
	}
	m.control = control
	return m, theirs, nil
}

func (cfg *MoldConfig) command(fds []*os.File) *exec.Cmd {
	return command(Config{
		Ruby: cfg.Ruby, Script: cfg.Script, Dir: cfg.Dir, Env: cfg.Env, Settings: cfg.settings(),
		Stdout: cfg.Stdout, Stderr: cfg.Stderr,
	}, fds)
}

func (cfg *MoldConfig) settings() []string {
	preload := "preload=0"
	if cfg.Preload {
		preload = "preload=1"
	}
	return slices.Concat(cfg.Settings, []string{preload})
}

func (m *Mold) run() {
	var wg sync.WaitGroup
	wg.Go(func() { m.control.listen(m.hear) })
	<-m.process.done
	m.control.hush()
	wg.Wait()
	m.bury()
}

func (m *Mold) hear(msg wire.Message) {
	if !m.handle(msg) {
		m.grant(msg, m.handler)
	}
}

// Fork has the mold fork worker index, with settings as Config has them. The worker is like one that Start returns, but
// outlives the mold if need be. Fork waits for the hooks around the fork, a minute at most.
func (m *Mold) Fork(index int, settings []string, h Handler) (*Worker, error) {
	w, theirs, err := newWorker(index, h)
	if err != nil {
		return nil, err
	}
	defer closeAll(theirs)
	pid, err := m.control.ask(wire.Fork, strings.Join(settings, "\n"), forkPatience, theirs...)
	if err == nil {
		w.process, err = adoptNamed(pid)
	}
	if err != nil {
		w.closeSockets()
		return nil, fmt.Errorf("cannot fork %s from the mold (PID %d): %w", w.name, m.PID(), err)
	}
	go w.run()
	return w, nil
}

// adoptNamed takes over the process that the other side says it has forked, and has ceased to be the parent of.
func adoptNamed(pid string) (*process, error) {
	number, err := strconv.Atoi(pid)
	if err != nil {
		return nil, fmt.Errorf("it names %q as the process", pid)
	}
	return adopt(number)
}

// Promote has a warm worker fork a mold of itself, so that what its requests have loaded and cached is shared by the workers
// to come. It forks at a moment when it runs no request, and goes on as before. The mold is booting then, like one that
// StartMold returns: it runs the before_refork hooks. Of cfg only Settings counts; Preload goes without saying.
func (w *Worker) Promote(cfg MoldConfig, h MoldHandler) (*Mold, error) {
	if err := becomeSubreaper(); err != nil {
		return nil, err
	}
	m, theirs, err := newMold(h)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cfg.Preload = true
	pid, err := w.control.ask(wire.Promote, strings.Join(cfg.settings(), "\n"), promotePatience, theirs)
	if err == nil {
		m.process, err = adoptNamed(pid)
	}
	if err != nil {
		m.control.close()
		return nil, fmt.Errorf("cannot fork a mold from %s (PID %d): %w", w.name, w.PID(), err)
	}
	go m.run()
	return m, nil
}

// Finish tells the mold to leave: it runs its exit handlers. Workers stay.
func (m *Mold) Finish() {
	m.control.try(wire.Message{Kind: wire.Quit}) //nolint:errcheck // one that is gone needs no telling
}
