package supervisor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"serval/internal/health"
	"serval/internal/process"
)

// Check is something about a process that is looked at again and again. It is restarted when Times of the last Of looks failed.
type Check struct {
	Kind    CheckKind     `json:"kind"`
	Below   float64       `json:"below,omitempty"`   // bytes of memory, or percent of a core
	URL     string        `json:"url,omitempty"`     // that answers with a status below 400
	Socket  string        `json:"socket,omitempty"`  // the unix socket to ask for URL; empty: the URL's host
	Command string        `json:"command,omitempty"` // a shell's, which ends with 0
	Every   time.Duration `json:"every"`             // from 100 ms on
	Timeout time.Duration `json:"timeout,omitempty"` // of URL and Command; 0: five seconds
	Times   int           `json:"times"`             // from 1 on
	Of      int           `json:"of,omitempty"`      // 0: Times, which is to say in a row
}

// CheckKind is what is looked at.
type CheckKind string

// The kinds.
const (
	Memory  CheckKind = "memory" // resident memory of the process and its descendants, shared memory counted for each of them
	CPU     CheckKind = "cpu"    // what they use of a core, from one look to the next
	HTTP    CheckKind = "http"
	Command CheckKind = "command"
)

const (
	minEvery     = 100 * time.Millisecond
	checkTimeout = 5 * time.Second
)

func (c Check) valid() error {
	switch {
	case !slices.Contains([]CheckKind{Memory, CPU, HTTP, Command}, c.Kind):
		return fmt.Errorf("there is no check %q", c.Kind)
	case c.Every < minEvery:
		return fmt.Errorf("the %s check is to be made every %s: %s is the least", c.Kind, c.Every, minEvery)
	case c.Times < 1 || c.Of != 0 && c.Of < c.Times:
		return fmt.Errorf("the %s check is to fail %d times of %d: write a number from 1 on, and no less", c.Kind, c.Times, c.Of)
	case (c.Kind == Memory || c.Kind == CPU) && c.Below <= 0:
		return fmt.Errorf("the %s check has no limit", c.Kind)
	}
	return nil
}

// watch is a check of one process that runs.
type watch struct {
	check  Check
	unit   *unit
	unwell chan<- string // has room for every check
	spec   Spec          // that it was started by, or taken over with
	id     process.ID
	group  int

	cpu  time.Duration // used at the last look
	when time.Time     // of that
}

// run looks until the process is to be restarted, or ctx is over.
func (w *watch) run(ctx context.Context) {
	var failed []bool
	of := max(w.check.Of, w.check.Times)
	for sleep(ctx, w.check.Every) {
		if w.unit.Status().State != Running {
			continue // it boots
		}
		err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		failed = append(failed, err != nil)
		failed = failed[max(0, len(failed)-of):]
		bad := len(slices.DeleteFunc(slices.Clone(failed), func(f bool) bool { return !f }))
		if bad < w.check.Times {
			continue
		}
		w.unwell <- fmt.Sprintf("%v, %d times of %d", err, bad, len(failed))
		return
	}
}

// look returns an error when the process is not well.
func (w *watch) look(ctx context.Context) error {
	switch w.check.Kind {
	case Memory:
		if bytes, _ := w.usage(); float64(bytes) >= w.check.Below {
			return fmt.Errorf("uses %d MB of memory, and %d are allowed", bytes>>20, int64(w.check.Below)>>20)
		}
		return nil
	case CPU:
		return w.lookAtCPU()
	}
	return w.ask(ctx)
}

// ask makes a health check, a command's as the process's user and in its environment.
func (w *watch) ask(ctx context.Context) error {
	question := health.Check{
		URL: w.check.URL, Socket: w.check.Socket, Command: w.check.Command, Timeout: or(w.check.Timeout, checkTimeout),
		Env: w.spec.Env, Directory: w.spec.Directory,
	}
	if w.check.Kind == Command && (w.spec.User != "" || w.spec.Group != "") {
		var err error
		if question.Credential, err = credential(w.spec); err != nil {
			return err
		}
	}
	if err := question.Ask(ctx); err != nil {
		return fmt.Errorf("fails its health check: %w", err)
	}
	return nil
}

// usage is what the process and its family use.
func (w *watch) usage() (memory int64, cpu time.Duration) {
	for _, row := range w.unit.s.sample() {
		if row.ID == w.id || row.Group == w.group {
			memory += row.Memory
			cpu += row.CPU
		}
	}
	return memory, cpu
}

func (w *watch) lookAtCPU() error {
	_, cpu := w.usage()
	now := time.Now()
	used, passed, first := cpu-w.cpu, now.Sub(w.when), w.when.IsZero()
	w.cpu, w.when = cpu, now
	if percent := 100 * used.Seconds() / passed.Seconds(); !first && percent >= w.check.Below {
		return fmt.Errorf("uses %.0f %% of a core, and %.0f are allowed", percent, w.check.Below)
	}
	return nil
}
