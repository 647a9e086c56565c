// Package plan is what is to run of an app on a host: a list of processes with everything a backend has to know, whether
// that is systemd or the built-in supervisor. Backends carry plans out and decide nothing.
package plan

import (
	"encoding/json"
	"syscall"
	"time"

	"serval/internal/sequence"
)

// Plan is what is to run.
type Plan struct {
	App         string    `json:"app"`         // its name
	Directory   string    `json:"directory"`   // where it lives
	Environment string    `json:"environment"` // production, …
	Prefix      string    `json:"prefix"`      // what unit names begin with
	Processes   []Process `json:"processes"`   // the web server first
}

// Process is one process type.
type Process struct {
	Name            string            `json:"name"` // "web", or what the Procfile calls it
	Web             bool              `json:"web"`  // it is the web server
	Count           int               `json:"count"`
	Command         string            `json:"command"` // as in the Procfile; procfile.Argv makes words of it
	Environment     map[string]string `json:"environment,omitempty"`
	RestartSignal   Signal            `json:"restart_signal"`
	StopSequence    sequence.Sequence `json:"stop_sequence"`
	RestartOnDeploy bool              `json:"restart_on_deploy"`
	MemoryLimit     int64             `json:"memory_limit,omitempty"` // bytes; 0: none
	User            string            `json:"user,omitempty"`         // empty: whoever the backend takes
	DependsOn       []string          `json:"depends_on,omitempty"`   // names of processes that are started before
	Health          *Health           `json:"health_check,omitempty"`

	Server        string `json:"-"` // of the web server: Puma, Serval, …
	Socket        string `json:"-"` // of the web server: its unix socket as the command has it, unix:// and $VAR included; empty: none
	SocketGuessed bool   `json:"-"` // the configuration makes its socket's name of something that only Ruby knows
	PIDFile       string `json:"-"` // of the web server: the same
	Address       string `json:"-"` // of the web server without a socket: the port or address of its command, as it is there; empty: none

	place int // in the Procfile, for UniqueInt
}

// Health is how to find out whether a process is well: by a URL or by a command that ends with 0.
type Health struct {
	URL      string        // "/up" asks the web server on its own socket
	Command  string        // run by a shell
	Interval time.Duration // between two checks
	Timeout  time.Duration // for one
	Failures int           // in a row, until the process is restarted
}

// What a health check has where nothing is said.
const (
	HealthInterval = 10 * time.Second
	HealthTimeout  = 5 * time.Second
	HealthFailures = 3
)

// MarshalJSON gives times in seconds.
func (h Health) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		URL      string  `json:"url,omitempty"`
		Command  string  `json:"command,omitempty"`
		Interval float64 `json:"interval"`
		Timeout  float64 `json:"timeout"`
		Failures int     `json:"failures"`
	}{h.URL, h.Command, h.Interval.Seconds(), h.Timeout.Seconds(), h.Failures})
}

// Signal is what asks a process to restart itself. 0 is none: it is stopped and started.
type Signal syscall.Signal

// String is the signal's name, or what is done without one.
func (s Signal) String() string {
	if s == 0 {
		return "stop + start"
	}
	return sequence.Name(syscall.Signal(s))
}

// MarshalText is the signal's name, or nothing.
func (s Signal) MarshalText() ([]byte, error) {
	if s == 0 {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// Process returns the process with a name, or nil. The web server is found as web and as custom_web.
func (p Plan) Process(name string) *Process {
	for i, process := range p.Processes {
		if process.Name == name || process.Web && name == "custom_web" {
			return &p.Processes[i]
		}
	}
	return nil
}

// Add adds a process, which gets its place by that.
func (p *Plan) Add(process Process) {
	process.place = len(p.Processes)
	p.Processes = append(p.Processes, process)
}

// UniqueInt is an integer that no other process of the app has, for {{UNIQUE_INT}}: 100 and the process's place in the plan,
// followed by the instance's number, which counts from 1. The third worker of the second process type has 1013.
func (p Process) UniqueInt(instance int) int {
	digits := 10
	for digits <= instance {
		digits *= 10
	}
	return (100+p.place)*digits + instance
}
