package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// restartKind is one sort of restart. perform brings it about, and returns when the server says that it is over.
type restartKind struct {
	name    string
	about   string
	slow    bool     // also measured with an app that boots for seconds
	bundled bool     // its app has a Gemfile
	flags   []string // of the server
	only    string   // the one server that can do it
	perform func(*site, context.Context) error
}

var restartKinds = []restartKind{
	{name: "usr1", about: "a new release, then USR1", slow: true, perform: (*site).phased},
	{name: "usr2", about: "a new release, then USR2", slow: true, perform: (*site).hot},
	{name: "binary", about: "a new release and another serval program in place of the old, then USR2", only: "serval", perform: (*site).binary},
	{name: "urg", about: "URG, with --fork-worker=0", flags: []string{"--fork-worker=0"}, perform: (*site).refork},
	{name: "env", about: "another environment: Serval's --env-file is changed, then USR1; Puma is stopped by a TERM and started", perform: (*site).environment},
	{name: "gemfile", about: "a new release with another version of a gem in its Gemfile, then USR1", bundled: true, perform: (*site).phased},
	{name: "broken-usr1", about: "a release that raises while it loads, then USR1", perform: (*site).brokenPhased},
	{name: "broken-usr2", about: "the same, then USR2", perform: (*site).brokenHot},
	{name: "kill", about: "kill -9 of a worker", perform: (*site).kill},
}

func kindNames() []string {
	return each(restartKinds, func(k restartKind) string { return k.name })
}

// site is a deployment with its server.
type site struct {
	*deployment
	bench   *bench
	name    string // of the server
	setup   setup
	preload bool
	srv     *server
}

// open makes a deployment and starts a server for it.
func (b *bench) open(ctx context.Context, name string, kind restartKind, preload bool, boot int) (*site, error) {
	d, err := deploy(boot, kind.bundled)
	if err != nil {
		return nil, err
	}
	s := &site{deployment: d, bench: b, name: name, preload: preload}
	s.setup = setup{dir: d.current(), workers: b.Workers, threads: b.Threads, flags: slices.Clone(kind.flags)}
	if preload {
		s.setup.flags = append(s.setup.flags, "--preload")
	}
	if name == "serval" {
		s.setup.program = filepath.Join(d.dir, "serval")
		err = s.install()
		if kind.name == "env" {
			s.setup.flags = append(s.setup.flags, "--env-file", d.envFile())
		} else {
			s.setup.env = []string{"FLAVOUR=1"}
		}
	}
	if err == nil {
		s.setup.address, err = freeAddress()
	}
	if err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		d.remove()
		return nil, err
	}
	return s, nil
}

func (s *site) start(ctx context.Context) (err error) {
	if s.name != "serval" {
		s.setup.env = []string{fmt.Sprintf("FLAVOUR=%d", s.flavour)}
	}
	s.srv, err = s.bench.start(ctx, s.name, s.setup, "/")
	return err
}

func (s *site) close() {
	s.srv.stop()
	s.remove()
}

// command is the server's command line without this run's directories.
func (s *site) command() string {
	return strings.NewReplacer(filepath.Join(s.dir, "serval"), s.bench.Serval, s.dir, "DIR").Replace(s.srv.command)
}

// install puts a copy of serval, unlike all before, where the server is started from.
func (s *site) install() error {
	program, err := os.ReadFile(s.bench.Serval)
	if err != nil {
		return err
	}
	program = append(program, fmt.Sprintf("release %d\n", s.release)...) // behind what the loader reads
	fresh := s.setup.program + ".next"
	if err := os.WriteFile(fresh, program, 0o700); err != nil {
		return err
	}
	return os.Rename(fresh, s.setup.program)
}

var (
	servalDone   = regexp.MustCompile(`- Finished |ERROR: the .* failed, `)
	servalFailed = regexp.MustCompile(`ERROR: the .* failed, `)
)

const restartTimeout = time.Minute

// signal sends a signal to the front and waits until the server says that the restart is over: Serval once, Puma by
// booting so many workers.
func (s *site) signal(ctx context.Context, sig syscall.Signal, booting int) error {
	pattern, more := servalDone, 1
	if s.name == "puma" {
		pattern, more = pumaReady, booting
	}
	before, _ := s.srv.output.count(pattern)
	failures, _ := s.srv.output.count(servalFailed)
	if err := syscall.Kill(s.srv.front(), sig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	if err := s.srv.output.wait(ctx, pattern, before+more, s.srv.exited); err != nil {
		return fmt.Errorf("after %s: %w", sig, err)
	}
	if now, _ := s.srv.output.count(servalFailed); now > failures {
		return errRefused
	}
	return nil
}

var errRefused = errors.New("the server said that the restart failed")

func (s *site) phased(ctx context.Context) error {
	if err := s.next(""); err != nil {
		return err
	}
	return s.signal(ctx, syscall.SIGUSR1, s.setup.workers)
}

func (s *site) hot(ctx context.Context) error {
	if err := s.next(""); err != nil {
		return err
	}
	return s.signal(ctx, syscall.SIGUSR2, s.setup.workers)
}

// binary checks that the process runs the new program.
func (s *site) binary(ctx context.Context) error {
	if err := s.next(""); err != nil {
		return err
	}
	if err := s.install(); err != nil {
		return err
	}
	if err := s.signal(ctx, syscall.SIGUSR2, s.setup.workers); err != nil {
		return err
	}
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", s.srv.front()))
	if err != nil {
		return err
	}
	installed, err := os.Stat(s.setup.program)
	if err != nil {
		return err
	}
	if !os.SameFile(running, installed) {
		return errors.New("the old program still runs")
	}
	return nil
}

func (s *site) refork(ctx context.Context) error {
	return s.signal(ctx, syscall.SIGURG, s.setup.workers-1)
}

func (s *site) environment(ctx context.Context) error {
	s.flavour++
	if s.name == "serval" {
		if err := s.flavoured(); err != nil {
			return err
		}
		return s.signal(ctx, syscall.SIGUSR1, s.setup.workers)
	}
	s.srv.stop()
	return s.start(ctx)
}

func (s *site) brokenPhased(ctx context.Context) error { return s.broken(ctx, syscall.SIGUSR1) }
func (s *site) brokenHot(ctx context.Context) error    { return s.broken(ctx, syscall.SIGUSR2) }

// fixingTakes is how long a broken release stays where it is until somebody mends it.
const fixingTakes = time.Second

// broken deploys a release that does not load. Serval refuses it, and the link is moved back. Puma has gone over to it, so
// it is mended there; when Puma ended for it, it is started again, as systemd would.
func (s *site) broken(ctx context.Context, sig syscall.Signal) error {
	serving := s.serving
	if err := s.next(`raise "broken"`); err != nil {
		return err
	}
	if s.name == "serval" {
		if err := s.signal(ctx, sig, 0); !errors.Is(err, errRefused) {
			return fmt.Errorf("a broken release was not refused: %w", err)
		}
		return s.back(serving)
	}
	ready := peerNamed(s.name).ready
	before, _ := s.srv.output.count(ready)
	if err := syscall.Kill(s.srv.front(), sig); err != nil {
		return err
	}
	if err := pause(ctx, fixingTakes); err != nil {
		return err
	}
	if err := s.write(""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	if s.srv.output.wait(ctx, ready, before+s.setup.workers, s.srv.exited) == nil {
		return nil
	}
	s.srv.stop()
	return s.start(ctx)
}

// kill kills the worker that answers next.
func (s *site) kill(ctx context.Context) error {
	answer, err := answers(ctx, s.setup.address, 1)
	if err != nil {
		return err
	}
	_, word, _ := strings.Cut(answer[0], " pid ")
	pid, err := strconv.Atoi(word)
	if err != nil || !slices.Contains(descendants(s.srv.front()), pid) {
		return fmt.Errorf("%q is no answer of a worker", answer[0])
	}
	ready := peerNamed(s.name).ready
	before, _ := s.srv.output.count(ready)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	return s.srv.output.wait(ctx, ready, before+1, s.srv.exited)
}

// serves checks that what was deployed is what is answered.
func (s *site) serves(ctx context.Context) error {
	all, err := answers(ctx, s.setup.address, 2*s.setup.workers)
	if err != nil {
		return err
	}
	for _, text := range all {
		if !strings.HasPrefix(text, s.answer()) {
			return fmt.Errorf("the answer is %q, not %q", text, s.answer())
		}
	}
	return nil
}
