package handover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/listener"
)

// helloPatience is how long a program may take to say hello, which it does before anything else. What does not is no Serval.
const helloPatience = 15 * time.Second

// endPatience is how long a deputy may take to end when it serves nobody yet.
const endPatience = 10 * time.Second

// ErrStopped is the error of a handover that the end of the server overtook.
var ErrStopped = errors.New("the server is stopping")

// Successor is a front of the new program, started as a deputy, as the process sees it that started it.
type Successor struct {
	*Channel
	Opened []*listener.Listener // what it listens on beyond what it got; owned by this process

	Began   time.Time
	program Program
	proven  *os.File // what it runs, whatever becomes of it and of the file on disk; nil if that is not known
	process *os.Process
	pid     int
	ended   chan struct{} // closed when it is gone
	status  string        // how it ended, once it has
}

// Start starts a front of the program as a deputy. Nothing has changed until it is ready.
func (p Program) Start(environ []string, listeners []*listener.Listener) (*Successor, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("no socket to the new program: %w", err)
	}
	defer unix.Close(pair[1])
	channel, err := newChannel(pair[0])
	if err != nil {
		return nil, err
	}
	began := time.Now()
	n := note{Role: Deputy, Peer: os.Getpid(), Channel: 3, Began: began}
	files := []uintptr{0, 1, 2, uintptr(pair[1])}
	for _, l := range listeners {
		fd, err := l.Duplicate()
		if err != nil {
			channel.Close()
			return nil, err
		}
		defer unix.Close(fd)
		n.Listeners = append(n.Listeners, entry{l.Pass(), len(files)})
		files = append(files, uintptr(fd))
	}
	inheritance, err := n.environment()
	if err != nil {
		channel.Close()
		return nil, err
	}
	// Not by os/exec, which would make shared sockets blocking.
	pid, err := syscall.ForkExec(p.Path, p.Args, &syscall.ProcAttr{Env: append(forDeputy(environ), inheritance), Files: files})
	if err != nil {
		channel.Close()
		return nil, fmt.Errorf("%s cannot be run: %w; install a program that works, then restart again", p.Path, err)
	}
	s := &Successor{Channel: channel, Began: began, program: p, pid: pid, ended: make(chan struct{})}
	s.process, _ = os.FindProcess(pid)                      // on Unix there is no error
	s.proven, _ = os.Open(fmt.Sprintf("/proc/%d/exe", pid)) //nolint:errcheck // it has ended already
	go func() {
		defer close(s.ended)
		if state, err := s.process.Wait(); err == nil {
			s.status = state.String()
		}
	}()
	return s, nil
}

// Program is the path of what the deputy runs.
func (s *Successor) Program() string { return s.program.Path }

// PID is the process id of the deputy.
func (s *Successor) PID() int { return s.pid }

// Await waits until the deputy serves, and returns its version of Serval. When it does not come to that within patience (0: for
// ever), or stop is closed, it is killed, and the error says why.
func (s *Successor) Await(patience time.Duration, stop <-chan struct{}) (version string, err error) {
	type result struct {
		version string
		err     error
	}
	ready := make(chan result, 1)
	hello := make(chan struct{})
	go func() {
		version, err := s.listen(hello)
		ready <- result{version, err}
	}()
	var late <-chan time.Time
	if patience > 0 {
		late = time.After(patience)
	}
	mute := time.After(helloPatience)
	greeted := hello
	for err == nil {
		select {
		case <-greeted:
			greeted, mute = nil, nil
		case r := <-ready:
			if r.err == nil {
				return r.version, nil
			}
			ready <- r
			err = r.err
		case <-mute:
			err = fmt.Errorf("%s does not say hello within %s: it is no serval that can take over", s.program.Path, helloPatience)
		case <-late:
			err = fmt.Errorf("the new program is not ready within %s", patience)
		case <-stop:
			err = ErrStopped
		}
	}
	s.Close()
	<-ready
	if greeted == nil {
		s.Leave(endPatience) // it ends by itself, and puts its workers in order
	} else {
		s.Kill()
	}
	s.abandon()
	return "", err
}

// listen takes what the deputy says until it is ready.
func (s *Successor) listen(hello chan<- struct{}) (version string, err error) {
	for {
		m, err := s.Receive()
		if err != nil {
			return "", s.gone(err)
		}
		switch m.Kind {
		case Hello:
			version = string(m.Text)
			close(hello)
		case Failed:
			return "", errors.New(strings.TrimSpace(string(m.Text)))
		case Listening:
			l, err := m.Listener()
			if err != nil {
				return "", err
			}
			s.Opened = append(s.Opened, l)
		case Ready:
			return version, nil
		default:
			m.Drop()
			return "", fmt.Errorf("the new program says %s before it is ready", m.Kind)
		}
	}
}

// gone is the error of a deputy that does not speak any more.
func (s *Successor) gone(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	select {
	case <-s.ended:
		return fmt.Errorf("%s ended before it was ready (%s): its last lines in the log say why", s.program.Path, s.status)
	case <-time.After(time.Second):
		return fmt.Errorf("%s closed its socket before it was ready: it is no serval that can take over", s.program.Path)
	}
}

// Lost is the error of a deputy that does not take any more: that it has ended, if so.
func (s *Successor) Lost(err error) error {
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	select {
	case <-s.ended:
		return fmt.Errorf("the new program ended while it took over (%s): its last lines in the log say why", s.status)
	case <-time.After(time.Second):
		return fmt.Errorf("the new program does not take over any more: %w", err)
	}
}

// Signal sends the deputy a signal.
func (s *Successor) Signal(sig syscall.Signal) { s.process.Signal(sig) } //nolint:errcheck // gone is as good

// Kill ends the deputy at once.
func (s *Successor) Kill() {
	s.Signal(syscall.SIGKILL)
	s.Close()
	<-s.ended
}

// Leave has the deputy end after the requests it has, and waits for that, some time. Then it is killed.
func (s *Successor) Leave(patience time.Duration) {
	s.Close()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.Kill()
	}
	s.abandon()
}

// abandon closes what the deputy opened.
func (s *Successor) abandon() {
	s.proven.Close() //nolint:errcheck // there may be none
	listener.CloseAll(s.Opened)
	s.Opened = nil
}

// Succeed replaces this process's program by the new one, which is to be the main process from then on: same process id, same
// arguments. It returns only if that does not work.
func (s *Successor) Succeed(environ []string, listeners []*listener.Listener) error {
	n := note{Role: Main, Peer: s.pid, Began: s.Began}
	var err error
	if n.Channel, err = passOn(s.socket); err != nil {
		return err
	}
	for _, l := range append(listeners, s.Opened...) {
		fd, err := passOn(l.Listener.(syscall.Conn))
		if err != nil {
			return err
		}
		n.Listeners = append(n.Listeners, entry{l.Pass(), fd})
	}
	inheritance, err := n.environment()
	if err != nil {
		return err
	}
	path := s.program.Path
	if s.proven != nil {
		if proven := fmt.Sprintf("/proc/self/fd/%d", s.proven.Fd()); !sameFile(path, proven) {
			path = proven // it was replaced again meanwhile, by what nobody has tried yet
		}
	}
	return syscall.Exec(path, s.program.Args, append(environ, inheritance))
}

// passOn makes a descriptor that is still open after an exec.
func passOn(socket syscall.Conn) (fd int, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	closed := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD, 3) })
	if closed != nil {
		return -1, closed
	}
	return fd, err
}
