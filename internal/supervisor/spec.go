// Package supervisor runs processes on hosts without systemd, and while an app is developed: it starts them, notices when they
// end, starts them again, stops them by their stop sequences, and keeps an eye on what they use. Processes survive the
// supervisor: the next one finds them by its records and takes them over.
package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"serval/internal/sequence"
)

// Spec is one process that is to run.
type Spec struct {
	Name      string            `json:"name"` // web, worker.2; unique in a supervisor
	Argv      []string          `json:"argv"`
	Env       []string          `json:"env"`                  // all of it, NAME=value
	Directory string            `json:"directory,omitempty"`  // empty: the supervisor's
	User      string            `json:"user,omitempty"`       // name or number; empty: the supervisor's
	Group     string            `json:"group,omitempty"`      // name or number; empty: the user's
	Groups    []string          `json:"groups,omitempty"`     // supplementary; none: those that the user is a member of
	Log       string            `json:"log,omitempty"`        // a file that is appended to; empty: the supervisor's Output
	PIDFile   string            `json:"pid_file,omitempty"`   // where a process that replaces itself by another one says so
	Stop      sequence.Sequence `json:"stop,omitempty"`       // none: term, 90, kill
	Family    bool              `json:"family,omitempty"`     // signals are for all of the process group: a shell is in front of it
	DependsOn []string          `json:"depends_on,omitempty"` // names of specs that are started before and stopped after
	Ready     Ready             `json:"ready"`
	Checks    []Check           `json:"checks,omitempty"`
	Flapping  Flapping          `json:"flapping"`
	Once      bool              `json:"once,omitempty"` // it is not started again when it ends
}

// Ready is how a process is known to be ready: somebody listens on an address, or it is still there after a while.
type Ready struct {
	Network string        `json:"network,omitempty"` // unix or tcp; empty: there is no address
	Address string        `json:"address,omitempty"`
	Settle  time.Duration `json:"settle,omitempty"`  // without an address: how long it has to stay; 0: a second
	Timeout time.Duration `json:"timeout,omitempty"` // until somebody listens; 0: five minutes
}

// Flapping is how often a process may end in a time before it is left alone, and for how long. Zero values are those of
// DefaultFlapping.
type Flapping struct {
	Times   int           `json:"times,omitempty"`
	Within  time.Duration `json:"within,omitempty"`
	RetryIn time.Duration `json:"retry_in,omitempty"` // less than 0: for good
}

// DefaultFlapping is for processes whose spec says nothing.
var DefaultFlapping = Flapping{Times: 6, Within: 2 * time.Minute, RetryIn: 5 * time.Minute}

const (
	defaultSettle  = time.Second
	defaultTimeout = 5 * time.Minute
)

var defaultStop = sequence.MustParse("term, 90, kill")

// complete fills in what the spec leaves open, and refuses what cannot be run.
func (s Spec) complete() (Spec, error) {
	switch {
	case !isFileName(s.Name):
		return s, fmt.Errorf("a process cannot be called %q: its record is a file of that name", s.Name)
	case len(s.Argv) == 0 || s.Argv[0] == "":
		return s, fmt.Errorf("%s has no command", s.Name)
	case s.Log != "" && !filepath.IsAbs(s.Log):
		return s, fmt.Errorf("%s: the log %s is no absolute path", s.Name, s.Log)
	}
	for _, c := range s.Checks {
		if err := c.valid(); err != nil {
			return s, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if len(s.Stop) == 0 {
		s.Stop = defaultStop
	}
	s.Ready.Settle = or(s.Ready.Settle, defaultSettle)
	s.Ready.Timeout = or(s.Ready.Timeout, defaultTimeout)
	if s.Flapping.Times == 0 {
		s.Flapping.Times = DefaultFlapping.Times
	}
	s.Flapping.Within = or(s.Flapping.Within, DefaultFlapping.Within)
	s.Flapping.RetryIn = or(s.Flapping.RetryIn, DefaultFlapping.RetryIn)
	return s, nil
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// isFileName reports whether a name is that of one visible file, wherever that is.
func isFileName(name string) bool {
	return name != "" && name[0] != '.' && len(name) <= 128 && filepath.Base(name) == name
}

// Digest tells specs apart: a process that was started by another one has to be stopped and started to become this.
func (s Spec) Digest() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // there is nothing in it that JSON could not say
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
