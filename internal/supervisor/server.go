package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is where the supervisor of an app can be asked, in the app's state directory.
func Socket(stateDir string) string { return filepath.Join(stateDir, "supervisor.sock") }

// Server answers what is asked of a supervisor on a unix socket: one JSON object a line, each way. It is for the supervisor's
// user and for root.
type Server struct {
	supervisor *Supervisor
	listener   *net.UnixListener
	lock       *os.File
	talks      sync.WaitGroup
	ctx        context.Context // over when the server is closed
	cancel     context.CancelFunc
	end        chan struct{} // closed when somebody wants the supervisor to end
	wish       sync.Once
}

// request is what is asked.
type request struct {
	Do    string   `json:"do"` // status, start, restart, stop, remove, end
	Specs []Spec   `json:"specs,omitempty"`
	Names []string `json:"names,omitempty"`
}

// reply is what is answered, when it is done.
type reply struct {
	Status []Status `json:"status,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// ErrRunning is the error when there is a supervisor already.
var ErrRunning = errors.New("a supervisor runs already")

// Claim makes this process the one supervisor of a state directory. Requests wait until Serve.
func Claim(stateDir string) (*Server, error) {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, fmt.Errorf("there is no place for the supervisor's socket: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(stateDir, "supervisor.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether a supervisor runs: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w for %s: ask it by serval status, or stop it", ErrRunning, stateDir)
	}
	path := Socket(stateDir)
	os.Remove(path) // of one that was killed: this one has the lock
	listener, err := listen(path)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot be asked on %s: %w", path, err)
	}
	s := &Server{listener: listener, lock: lock, end: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// listen makes a socket for its user alone.
func listen(path string) (*net.UnixListener, error) {
	old := syscall.Umask(0o177) // the socket is there before its permissions could be changed
	defer syscall.Umask(old)
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// Serve answers until Close.
func (s *Server) Serve(supervisor *Supervisor) {
	s.supervisor = supervisor
	for {
		conn, err := s.listener.AcceptUnix()
		if err != nil {
			return
		}
		s.talks.Go(func() { s.talk(conn) })
	}
}

// End is closed when somebody wants the supervisor to end. Everything is stopped then.
func (s *Server) End() <-chan struct{} { return s.end }

// Close ends the conversations. What was begun goes on.
func (s *Server) Close() {
	s.listener.Close() // which takes its file away
	s.cancel()
	s.talks.Wait()
	s.lock.Close()
}

// maxRequest is what a request may have in bytes: a thousand specs with large environments.
const maxRequest = 64 << 20

func (s *Server) talk(conn *net.UnixConn) {
	defer conn.Close()
	over := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer over()
	if err := allowed(conn); err != nil {
		json.NewEncoder(conn).Encode(reply{Error: err.Error()}) //nolint:errcheck // it has left
		return
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxRequest)
	for lines.Scan() {
		var r request
		answer := reply{}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			answer.Error = "this is no request: " + err.Error()
		} else {
			answer = s.answer(r)
		}
		err := json.NewEncoder(conn).Encode(answer)
		if r.Do == "end" {
			s.wish.Do(func() { close(s.end) }) // only now: who hears it closes the server, and with it this conversation
		}
		if err != nil {
			return
		}
	}
}

// allowed refuses other users, should the socket's permissions have been changed (unix(7), SO_PEERCRED).
func allowed(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	if controlErr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); controlErr != nil || err != nil {
		return errors.Join(controlErr, err)
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("the supervisor belongs to another user (%d): ask as that one or as root", os.Geteuid())
	}
	return nil
}

func (s *Server) answer(r request) reply {
	var err error
	switch r.Do {
	case "status":
		return reply{Status: s.supervisor.Status()}
	case "start":
		err = s.supervisor.Start(s.ctx, r.Specs)
	case "restart":
		err = s.supervisor.Restart(s.ctx, r.Specs)
	case "stop":
		err = s.supervisor.Stop(s.ctx, r.Names)
	case "remove":
		for _, name := range r.Names {
			err = errors.Join(err, s.supervisor.Remove(s.ctx, name))
		}
	case "end":
		err = s.supervisor.Stop(s.ctx, s.supervisor.Names())
	default:
		err = fmt.Errorf("this supervisor does not know %q: it is another version of serval", r.Do)
	}
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{}
}
