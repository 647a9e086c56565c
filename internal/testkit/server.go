package testkit

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Command says how to start Serval. Without an address among its flags it listens on a free port of 127.0.0.1; without
// an environment it runs in production.
type Command struct {
	App      string   // a name in test/apps, or a path; empty: the config.ru of Dir
	Flags    []string // after those above, so they win
	Dir      string   // where it is started; empty: a directory of the test's own
	Env      []string // NAME=value, over this process's environment
	OwnBinds bool     // its configuration file says where it listens
	Program  []string // what to run in place of serval: "bundle", "exec", Binary(t)
}

// Server is a running Serval.
type Server struct {
	PID  int
	URLs []string // where it listens, as it says: "http://127.0.0.1:40123", "unix:///tmp/…/socket"
	Out  *output  // its standard output
	Err  *output  // its standard error

	t      testing.TB
	cmd    *exec.Cmd
	exited chan struct{} // closed when it is gone

	mu      sync.Mutex // guards following
	seen    []Process  // its descendants, at the last look
	killed  bool       // it could not clean up
	settled sync.Once
}

// Start starts Serval with an app of test/apps and waits until it listens. When the test ends, it is stopped by a TERM and
// everything about its end is checked.
func Start(t testing.TB, app string, flags ...string) *Server {
	t.Helper()
	return Command{App: app, Flags: flags}.Start(t)
}

// Start starts the command and waits until it listens.
func (c Command) Start(t testing.TB) *Server {
	t.Helper()
	s := c.Launch(t)
	s.AwaitListening()
	return s
}

// Launch starts the command and returns at once.
func (c Command) Launch(t testing.TB) *Server {
	t.Helper()
	Need(t, "ruby")
	args := c.Program
	if len(args) == 0 {
		args = []string{Binary(t)}
	}
	args = append(slices.Clone(args), c.arguments(t)...)
	s := &Server{t: t, cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), c.Env...)
	if s.cmd.Dir = c.Dir; c.Dir == "" {
		s.cmd.Dir = t.TempDir()
	}
	s.run()
	return s
}

func (c Command) arguments(t testing.TB) []string {
	args := []string{"-e", "production"}
	if !c.OwnBinds && !slices.ContainsFunc(c.Flags, func(f string) bool { return f == "-b" || f == "-p" }) {
		bind := "tcp://127.0.0.1:0"
		if os.Getenv("SERVAL_TEST_TLS") != "" { // all tests hold with TLS as well, save those whose clients do not speak it
			bind = SSLBind(t, "")
		}
		args = append(args, "-b", bind)
	}
	args = append(args, c.Flags...)
	switch {
	case c.App == "":
		return args
	case strings.Contains(c.App, "/"):
		return append(args, c.App)
	}
	return append(args, App(t, c.App))
}

func (s *Server) run() {
	s.t.Helper()
	var err error
	if s.Out, err = newOutput(); err != nil {
		s.t.Fatal(err)
	}
	if s.Err, err = newOutput(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = s.Out.write, s.Err.write
	err = s.cmd.Start()
	s.Out.write.Close()
	s.Err.write.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	s.PID = s.cmd.Process.Pid
	go func() {
		s.cmd.Wait() //nolint:errcheck // its state is looked at where it matters
		close(s.exited)
	}()
	s.t.Cleanup(s.cleanup)
}

// listening is the line that names a socket, as text or as JSON.
var listening = regexp.MustCompile(`(?:\* |"message":")Listening on ([^\s"]+)`)

// AwaitListening waits until the server takes connections and all of its workers serve.
func (s *Server) AwaitListening() {
	s.t.Helper()
	s.AwaitLog("Use Ctrl-C to stop")
	s.URLs = nil
	for line := range strings.Lines(s.Out.String()) {
		if found := listening.FindStringSubmatch(line); found != nil {
			s.URLs = append(s.URLs, found[1])
		}
	}
}

// AwaitLog waits for a line that contains text, on either stream, and returns it.
func (s *Server) AwaitLog(text string) (line string) {
	s.t.Helper()
	found := false
	look := func() bool {
		if line, found = s.Out.line(text); !found {
			line, found = s.Err.line(text)
		}
		return found
	}
	waitFor(Patience, func() bool { return look() || s.gone() })
	if !look() {
		s.t.Fatalf("the log does not say %q%s", text, s.story())
	}
	return line
}

// Logged reports whether the log, on either stream, has text.
func (s *Server) Logged(text string) bool {
	return strings.Contains(s.Out.String(), text) || strings.Contains(s.Err.String(), text)
}

func (s *Server) gone() bool {
	select {
	case <-s.exited:
		// What it wrote last may still be on its way through the pipe.
		select {
		case <-s.Out.ended:
		case <-time.After(time.Second):
		}
		return true
	default:
		return false
	}
}

// story is what a failed test should show.
func (s *Server) story() string {
	end := "it is running"
	if s.gone() {
		end = s.cmd.ProcessState.String()
	}
	return fmt.Sprintf("\n(serval %s: %s; make test installs what the tests need)\n--- standard output\n%s--- standard error\n%s---",
		strings.Join(s.cmd.Args[1:], " "), end, s.Out, s.Err)
}

// Addr is the address of the first TCP socket, HOST:PORT.
func (s *Server) Addr() string {
	s.t.Helper()
	for _, url := range s.URLs {
		for _, scheme := range []string{"http://", "https://"} {
			if addr, ok := strings.CutPrefix(url, scheme); ok {
				return addr
			}
		}
	}
	s.t.Fatalf("it listens on no port, only on %v", s.URLs)
	return ""
}

// Workers returns the worker processes that live, the oldest first.
func (s *Server) Workers() []Process { return s.children(func(p Process) bool { return !p.isMold() }) }

// Molds returns the molds that live, the oldest first.
func (s *Server) Molds() []Process { return s.children(Process.isMold) }

func (s *Server) children(wanted func(Process) bool) []Process {
	workers := slices.DeleteFunc(Children(s.PID), func(p Process) bool { return !wanted(p) || !p.Alive() })
	slices.SortFunc(workers, func(a, b Process) int { return strings.Compare(pad(a.start), pad(b.start)) })
	return workers
}

func pad(number string) string { return fmt.Sprintf("%20s", number) }

// Worker returns the only worker.
func (s *Server) Worker() Process {
	s.t.Helper()
	workers := s.Workers()
	if len(workers) != 1 {
		s.t.Fatalf("there are %d workers instead of one: %v", len(workers), workers)
	}
	return workers[0]
}

// Signal sends a signal to the front.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	s.seen = Descendants(s.PID)
	s.killed = s.killed || sig == syscall.SIGKILL || sig == syscall.SIGABRT
	s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("cannot send %s: %v%s", sig, err, s.story())
	}
}

// Stop stops the server by a TERM and checks its end.
func (s *Server) Stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	if status := s.Exit(); status.Signal() != syscall.SIGTERM {
		s.t.Errorf("after a TERM it ended with %s%s", s.cmd.ProcessState, s.story())
	}
}

// Exit waits for the end of the server, checks that nothing is left of it, and returns how it ended.
func (s *Server) Exit() syscall.WaitStatus {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(Patience):
		s.Signal(syscall.SIGABRT) // Go then says where all goroutines are
		<-s.exited
		s.t.Error("it does not end")
	}
	s.settled.Do(s.settle)
	return s.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// settle checks what a server leaves behind: nothing.
func (s *Server) settle() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.seen {
		if !waitFor(Patience, func() bool { return !p.Alive() }) {
			s.t.Errorf("process %s was left behind%s", p, s.story())
			syscall.Kill(p.PID, syscall.SIGKILL) //nolint:errcheck // gone is as good
		}
	}
	for _, o := range []*output{s.Out, s.Err} {
		select {
		case <-o.ended:
		case <-time.After(Patience):
			s.t.Errorf("some process of the server's is still there: it holds the output open%s", s.story())
		}
	}
	for _, url := range s.URLs {
		path, ok := strings.CutPrefix(url, "unix:///")
		if _, err := os.Lstat("/" + path); ok && err == nil && !s.killed {
			s.t.Errorf("the socket /%s was left behind", path)
		}
	}
	for _, sign := range []string{"DATA RACE", "panic: ", "fatal error: "} {
		if strings.Contains(s.Err.String(), sign) && !s.killed {
			s.t.Errorf("its standard error says %q%s", sign, s.story())
		}
	}
}

func (s *Server) cleanup() {
	if !s.gone() {
		s.Stop()
	} else {
		s.Exit()
	}
	if s.t.Failed() {
		s.t.Log(s.story())
	}
}

// Dial connects to the first address of the server.
func (s *Server) Dial() *Client {
	s.t.Helper()
	if len(s.URLs) == 0 {
		s.t.Fatal("the server was not awaited")
	}
	return DialURL(s.t, s.URLs[0])
}

// DialURL connects to an address as Serval logs it.
func DialURL(t testing.TB, url string) *Client {
	t.Helper()
	if strings.HasPrefix(url, "https://") {
		return DialTLS(t, url, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is known who that is
	}
	network, addr := "tcp", strings.TrimPrefix(url, "http://")
	if path, ok := strings.CutPrefix(url, "unix://"); ok {
		network, addr = "unix", path
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(t, conn)
}

// Get asks for a path on a connection of its own. Headers are whole lines: "Accept: text/html".
func (s *Server) Get(path string, headers ...string) *Response {
	s.t.Helper()
	return s.Do("GET", path, "", headers...)
}

// Do makes one request on a connection of its own.
func (s *Server) Do(method, path, body string, headers ...string) *Response {
	s.t.Helper()
	c := s.Dial()
	defer c.Close()
	c.Send(Request(method, path, body, append(headers, "Connection: close")...))
	return c.Response(method)
}
