package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	bootTimeout = time.Minute
	stopTimeout = 20 * time.Second
)

// server is a running peer.
type server struct {
	name    string
	peer    peer
	leader  int           // the process that started the others, if it is not the one that was started here; else 0
	main    int           // its child, the main process; else 0
	address string        // host:port
	command string        // as one would type it, with PORT for the port
	first   time.Duration // from its start to its first response
	process *exec.Cmd
	output  *output
	logf    func(string, ...any)
	exited  chan struct{} // closed once the process is gone
}

// start runs a server on a free port of loopback and returns when all its workers are ready and path is answered with 200.
func (b *bench) start(ctx context.Context, name string, s setup, path string) (*server, error) {
	p := peerNamed(name)
	program, err := p.program(b.Options)
	if err != nil {
		return nil, err
	}
	return b.startPeer(ctx, p, program, s, path)
}

// startPeer is start for a program that may be none of the peers.
func (b *bench) startPeer(ctx context.Context, p peer, program []string, s setup, path string) (*server, error) {
	for _, address := range []*string{&s.address, &s.behind} {
		if *address == "" {
			var err error
			if *address, err = freeAddress(); err != nil {
				return nil, err
			}
		}
	}
	args := p.command(program, s)
	srv := &server{
		name:    p.name,
		peer:    p,
		address: s.address,
		command: p.typed(b.Options, s),
		process: exec.Command(args[0], args[1:]...),
		output:  newOutput(),
		logf:    b.logf,
		exited:  make(chan struct{}),
	}
	srv.process.Env = append(plainEnvironment(), s.env...)
	srv.process.Stdout, srv.process.Stderr = srv.output, srv.output
	// A group of its own, so that a Ctrl-C reaches this program alone, which then stops the server in order.
	srv.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	srv.process.WaitDelay = time.Second
	started := time.Now()
	if err := srv.process.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w; build or install it, or leave it out with -servers", p.name, err)
	}
	go func() {
		srv.process.Wait()
		close(srv.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := srv.boot(ctx, s.workers, path, started); err != nil {
		srv.stop()
		return nil, bootError{fmt.Errorf("%s did not boot: %w\n%s", p.name, err, srv.output)}
	}
	return srv, nil
}

// bootError is one of a server that was started, but did not come to serve the app.
type bootError struct{ error }

// boot asks until there is an answer, and waits until all workers are ready.
func (s *server) boot(ctx context.Context, workers int, path string, started time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.exited:
			cancel(errors.New("it exited"))
		case <-ctx.Done():
		}
	}()
	for {
		_, err := get(ctx, s.address, path)
		if err == nil {
			break
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if !stillBoots(err) {
			return err
		}
		time.Sleep(askAgain)
	}
	s.first = time.Since(started)
	if s.peer.apart != nil {
		return s.findMain()
	}
	if s.peer.ready == nil {
		return nil
	}
	return s.output.wait(ctx, s.peer.ready, workers, s.exited)
}

// stillBoots reports whether an answer may yet come: nobody listens, or a proxy does and what is behind it boots. A server that gives
// up its boot closes the socket under the one who asks, and then says why.
func stillBoots(err error) bool {
	for _, kind := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, io.EOF, statusError(http.StatusBadGateway)} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// findMain finds the main process where it is not the one that was started: the child of the one whose id is in a file.
func (s *server) findMain() error {
	leader, err := strconv.Atoi(strings.TrimSpace(read(s.peer.apart(s.address))))
	if err != nil {
		return fmt.Errorf("%s should hold the id of a process: %w", s.peer.apart(s.address), err)
	}
	children := descendants(leader)
	if len(children) == 0 {
		return fmt.Errorf("process %d has no children", leader)
	}
	s.leader, s.main = leader, children[0]
	return nil
}

// stop ends the server and waits until all its processes are gone; what is left after twenty seconds is killed.
func (s *server) stop() {
	all := s.processes()
	s.process.Process.Signal(syscall.SIGTERM)
	deadline := time.Now().Add(stopTimeout)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		s.logf("%s did not stop within %v of a TERM and is killed", s.name, stopTimeout)
		syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
		<-s.exited
	}
	for _, pid := range all {
		for alive(pid) && time.Now().Before(deadline) {
			time.Sleep(askAgain)
		}
		if alive(pid) {
			s.logf("process %d of %s did not stop and is killed", pid, s.name)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if s.peer.apart != nil {
		os.Remove(s.peer.apart(s.address))
	}
}

// front is the server's main process: Serval's front, the proxy of those that have one, the master of the others.
func (s *server) front() int { return cmp.Or(s.main, s.process.Process.Pid) }

// processes are all that belong to the server.
func (s *server) processes() []int {
	all := append(descendants(s.process.Process.Pid), s.process.Process.Pid)
	if s.leader != 0 {
		all = append(append(all, descendants(s.leader)...), s.leader)
	}
	return all
}

// plainEnvironment is what every server gets: nothing that could set it up differently.
func plainEnvironment() []string {
	env := []string{"LANG=C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// freeAddress finds a port nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
