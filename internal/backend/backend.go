// Package backend is how the processes of an app are run on a host: by systemd, or by the built-in supervisor. A backend
// carries out what is asked for and waits until it is done; which processes there are and what is known about them is said by
// package installation.
package backend

import (
	"context"
	"io"
	"time"

	"serval/internal/installation"
	"serval/internal/plan"
)

// Backend runs services. Its methods return when what was asked for is done, has failed, or ctx is over; what was begun goes
// on then. Errors are sentences that name the service, and end with the last lines of its log where the service is to blame.
type Backend interface {
	// Start starts what does not run, those that others depend on first, and returns when web servers listen and all others
	// have not ended at once.
	Start(ctx context.Context, services []installation.Service, say Progress) error

	// Stop stops what runs, each by its stop sequence.
	Stop(ctx context.Context, services []installation.Service, say Progress) error

	// Restart restarts services, and starts those that do not run. The web server gets its restart signal, and has restarted
	// when new workers serve; if it has not, nothing else is restarted. With hard it is stopped and started, as are all others
	// in any case, one instance of a process after the other.
	Restart(ctx context.Context, services []installation.Service, hard bool, say Progress) error

	// Reload has services read their configuration again. Which services can do that is the backend's matter; it is an
	// error if none can.
	Reload(ctx context.Context, services []installation.Service, say Progress) error

	// Status is how services are, in their order.
	Status(ctx context.Context, services []installation.Service) ([]Status, error)

	// Logs writes the last lines of each service's log, each line after the name of its service, and with follow goes on
	// with what is written until ctx is over, which is no error then.
	Logs(ctx context.Context, services []installation.Service, follow bool, lines int, w LogWriter) error

	// Scale sees to it that count instances of a process run, those numbered 1 to count, now and after the next boot. It puts
	// the count into i.Counts; the caller stores that. On an error everything is as it was.
	Scale(ctx context.Context, i *installation.Installation, p plan.Plan, process string, count int, say Progress) error

	io.Closer
}

// LogWriter takes one line, without its end, of the log of a service. It is called by one goroutine at a time.
type LogWriter func(service, line string) error

// Progress takes what happens on the way. It may be called by many goroutines at once.
type Progress func(Event)

// Event is a step of one service.
type Event struct {
	Service string // its name: web, worker.2
	Kind    Kind
	Text    string // "stopping", "worker 1 of 2 serves", "restarted"
}

// Kind says what an event means to the reader.
type Kind int

// The kinds.
const (
	Doing   Kind = iota // it goes on; the next event takes this one's place
	Warning             // something to read when all is done
	Done                // nothing more follows about this service
)

// Status is how a service is.
type Status struct {
	Service   string    `json:"service"`        // its name
	Unit      string    `json:"unit,omitempty"` // systemd's name for it
	State     State     `json:"state"`
	PID       int       `json:"pid,omitempty"`    // of its main process
	Since     time.Time `json:"since,omitzero"`   // when it came to this state
	Restarts  int       `json:"restarts"`         // by itself, since somebody started it
	Memory    int64     `json:"memory,omitempty"` // bytes: the proportional set size (PSS) of all its processes
	Socket    string    `json:"socket,omitempty"` // the web server's unix socket
	Listening bool      `json:"listening,omitempty"`
	Enabled   bool      `json:"enabled"`               // it is started when the host boots
	Why       string    `json:"why,omitempty"`         // it failed: how its process ended
	LastWords []string  `json:"last_words,omitempty"`  // it failed: the end of its log
	Changed   []string  `json:"changed_env,omitempty"` // variables that have another value, or none, since it was started
}

// State is the state of a service.
type State string

// The states.
const (
	Running    State = "running"
	Starting   State = "starting" // it boots
	Reloading  State = "reloading"
	Stopping   State = "stopping"
	Stopped    State = "stopped"
	Failed     State = "failed"
	Restarting State = "restarting"    // it has ended by itself and is to be started again
	NotThere   State = "not installed" // the backend does not know it
)
