package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
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
	address := s.address
	if address == "" {
		var err error
		if address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	args := peers[name].command(b.Options, s, address)
	srv := &server{
		name:    name,
		address: address,
		command: strings.Join(peers[name].command(b.Options, s, "127.0.0.1:PORT"), " "),
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
		return nil, fmt.Errorf("cannot start %s: %w; build or install it, or leave it out with -servers", name, err)
	}
	go func() {
		srv.process.Wait()
		close(srv.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := srv.boot(ctx, s.workers, path, started); err != nil {
		srv.stop()
		return nil, fmt.Errorf("%s did not boot: %w\n%s", name, err, srv.output)
	}
	return srv, nil
}

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
		// A server that gives up its boot closes the socket under the one who asks, and then says why.
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			return err
		}
		time.Sleep(askAgain)
	}
	s.first = time.Since(started)
	return s.output.wait(ctx, peers[s.name].ready, workers, s.exited)
}

// stop ends the server and waits until it is gone; what is left of its process group after twenty seconds is killed.
func (s *server) stop() {
	group := s.process.Process.Pid
	s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		s.logf("%s did not stop within %v of a TERM and is killed", s.name, stopTimeout)
		syscall.Kill(-group, syscall.SIGKILL)
		<-s.exited
	}
}

// front is the server's main process: Serval's front, the master of the others.
func (s *server) front() int { return s.process.Process.Pid }

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
