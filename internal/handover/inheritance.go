package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/listener"
)

// Version is the protocol's. Fronts of different versions do not hand over to each other; a release that changes it says in
// its notes that it takes a stop and a start.
const Version = 1

// variable is where a front finds its inheritance.
const variable = "SERVAL_HANDOVER"

// Role is what a front is for that another one started.
type Role string

const (
	Deputy Role = "deputy" // serves while the main process changes its program
	Main   Role = "main"   // is the main process after that
)

// Inheritance is what a front gets from the one that started it, or that was in its place before. The nil inheritance is that
// of a server that was started afresh.
type Inheritance struct {
	*Channel
	Role  Role
	Began time.Time // when the hot restart did

	peer      int // the process id of the other front
	listeners []entry
	ended     chan struct{} // of a deputy: closed when it is gone
}

// note is the inheritance as it stands in the environment.
type note struct {
	Version   int     `json:"version"`
	Role      Role    `json:"role"`
	Peer      int     `json:"peer"`
	Channel   int     `json:"channel"` // its descriptor
	Listeners []entry `json:"listeners"`

	Began time.Time `json:"began"`
}

// entry is a listener and its descriptor.
type entry struct {
	listener.Passed
	FD int `json:"fd"`
}

// Inherit takes what the environment speaks of. Processes started from then on do not get it, nor hear of it. It returns nil
// when there is nothing.
func Inherit() (*Inheritance, error) {
	text := os.Getenv(variable)
	os.Unsetenv(variable)
	if text == "" {
		return nil, nil
	}
	var n note
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return nil, fmt.Errorf("%s=%q is not what a front leaves to another; unset it", variable, text)
	}
	// All of them before anything else can be started: the kernel passes on what is not marked.
	unix.CloseOnExec(n.Channel)
	for _, e := range n.Listeners {
		unix.CloseOnExec(e.FD)
	}
	channel, err := newChannel(n.Channel)
	if err != nil {
		return nil, err
	}
	if n.Version != Version {
		err := fmt.Errorf("this is version %d of the handover's protocol, and the running server's is %d: stop it and start the new one", Version, n.Version)
		channel.Send(Failed, []byte(err.Error())) //nolint:errcheck // it hears of our end in any case
		channel.Close()
		return nil, err
	}
	in := &Inheritance{Channel: channel, Role: n.Role, Began: n.Began, peer: n.Peer, listeners: n.Listeners, ended: make(chan struct{})}
	if in.Role == Main {
		go in.await()
	}
	return in, nil
}

// await waits for the end of the deputy, which is a child of this process: it was one before the program changed.
func (in *Inheritance) await() {
	defer close(in.ended)
	if deputy, err := os.FindProcess(in.peer); err == nil {
		deputy.Wait() //nolint:errcheck // somebody else may have waited for it
	}
}

// Is says whether the front has a role. A server that was started afresh has none.
func (in *Inheritance) Is(role Role) bool { return in != nil && in.Role == role }

// Listeners makes listeners of the inherited sockets. It may be called again; the files of their sockets are owned by nobody
// here, until Own.
func (in *Inheritance) Listeners() ([]*listener.Listener, error) {
	var open []*listener.Listener
	for _, e := range in.listeners {
		l, err := listener.Inherit(e.Passed, e.FD)
		if err != nil {
			listener.CloseAll(open)
			return nil, err
		}
		open = append(open, l)
	}
	return open, nil
}

// Settle closes the inherited descriptors: listeners have been made of them, for good.
func (in *Inheritance) Settle() {
	for _, e := range in.listeners {
		unix.Close(e.FD)
	}
	in.listeners = nil
}

// Leave ends what the main process has to do with its deputy: it waits until that one is gone, for some time, and kills it
// then.
func (in *Inheritance) Leave(patience time.Duration) {
	in.Close()
	if in.Role != Main {
		return
	}
	select {
	case <-in.ended:
	case <-time.After(patience):
		unix.Kill(in.peer, unix.SIGKILL) //nolint:errcheck // gone is as good
		<-in.ended
	}
}

// Peer is the process id of the other front.
func (in *Inheritance) Peer() int { return in.peer }

// Over is closed when the deputy is gone.
func (in *Inheritance) Over() <-chan struct{} { return in.ended }

// Ended says whether the deputy is gone.
func (in *Inheritance) Ended() bool {
	select {
	case <-in.ended:
		return true
	default:
		return false
	}
}

// Signal sends the deputy a signal, unless it is gone.
func (in *Inheritance) Signal(sig unix.Signal) {
	if !in.Ended() {
		unix.Kill(in.peer, sig) //nolint:errcheck // gone is as good
	}
}

// environment is the inheritance as an entry of the environment.
func (n note) environment() (string, error) {
	n.Version = Version
	text, err := json.Marshal(n)
	if err != nil {
		return "", err
	}
	if len(text) > 100<<10 {
		return "", errors.New("there are too many listeners to pass on: " + strconv.Itoa(len(n.Listeners)))
	}
	return variable + "=" + string(text), nil
}
