package front

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"serval/internal/control"
	"serval/internal/dispatch"
	"serval/internal/metrics"
	"serval/internal/worker"
)

// remote is the operator as the control server sees it.
type remote struct {
	*operator
	started time.Time
}

var _ control.Operator = (*remote)(nil)

// Stop ends the server as an INT does, Halt as a QUIT does. Stopping twice is no sign of impatience here: somebody's script
// may do it.
func (r *remote) Stop() {
	if !r.asked.stopping() {
		r.asked.end(syscall.SIGINT)
	}
}

func (r *remote) Halt() {
	r.asked.end(syscall.SIGQUIT)
	r.asked.end(syscall.SIGQUIT)
}

func (r *remote) Restart(kind control.Kind, report func(control.Event)) error {
	var mu sync.Mutex
	progress := func(p dispatch.Progress) {
		mu.Lock()
		defer mu.Unlock()
		report(control.Event{Step: p.Step.String(), Worker: new(p.Index), PID: p.PID, Done: p.Done, Total: p.Total})
	}
	if err := r.Available(kind); err != nil {
		return err
	}
	switch kind {
	case control.Hot:
		return r.Hot(progress)
	case control.Phased:
		return r.Phased(progress)
	default:
		return r.Refork(progress)
	}
}

func (r *remote) Available(kind control.Kind) error {
	if kind == control.Refork && !r.current.Load().Forked() {
		return errNotForked
	}
	return nil
}

func (r *remote) ReopenLogs() { r.Reopen() }

func (r *remote) Ask(what string, wait time.Duration) []control.Answer {
	workers := r.workers()
	answers := make([]control.Answer, len(workers))
	var all sync.WaitGroup
	for i, w := range workers {
		all.Go(func() {
			json, err := w.Worker.Ask(what, wait)
			answers[i] = control.Answer{Index: w.Index, PID: w.PID, JSON: json, Err: err}
		})
	}
	all.Wait()
	return slices.DeleteFunc(answers, func(a control.Answer) bool { return errors.Is(a.Err, os.ErrClosed) })
}

// workers are those that serve, by index.
func (r *remote) workers() []dispatch.WorkerStats {
	workers := slices.DeleteFunc(r.pool.Stats().Workers, func(w dispatch.WorkerStats) bool { return w.State != "serving" })
	slices.SortFunc(workers, byIndex)
	return workers
}

func byIndex(a, b dispatch.WorkerStats) int { return cmp.Or(a.Index-b.Index, a.PID-b.PID) }

func (r *remote) Stats() control.Stats {
	pool := r.pool.Stats()
	slices.SortFunc(pool.Workers, byIndex)
	g := r.current.Load()
	s := control.Stats{
		PID: os.Getpid(), Started: r.started, Cluster: g.Config.Cluster(), Phase: pool.Phase, Wanted: pool.Wanted,
		Requests: pool.Finished, Queued: pool.Queued, Clients: r.server.Connections(),
		Versions: control.Versions{Serval: r.version},
	}
	if mold := g.Mold(); mold != nil {
		s.MoldPID = mold.PID()
	}
	if failure := r.failure.Load(); failure != nil {
		s.Failure = *failure
	}
	for _, w := range pool.Workers {
		s.Versions.Ruby, s.Versions.Engine = w.Worker.Fact("ruby"), w.Worker.Fact("engine")
		s.Versions.Patchlevel, _ = strconv.Atoi(w.Worker.Fact("patchlevel")) //nolint:errcheck // 0 then
		s.Workers = append(s.Workers, controlled(w))
	}
	return s
}

// controlled is a worker as the control server sees it.
func controlled(w dispatch.WorkerStats) control.Worker {
	return control.Worker{
		Index: w.Index, PID: w.PID, Phase: w.Phase, Started: w.Started, LastCheckIn: w.Worker.LastCheckIn(), State: w.State,
		Threads: w.Threads, Held: w.Held, Requests: w.Requests, Restarts: w.Restarts,
	}
}

// lastStatus are Puma's numbers of a worker that has ended.
func lastStatus(w dispatch.WorkerStats) string {
	text, err := json.Marshal(control.LoadOf(controlled(w)))
	if err != nil {
		return "{}"
	}
	return string(text)
}

func (r *remote) Waits() (waits control.Waits, queuedMax int) {
	minute, all, longest := r.pool.Waits(0.5, 0.95, 0.99)
	return control.Waits{LastMinute: percentiles(minute), SinceStart: percentiles(all)}, longest
}

func (r *remote) Memory(pid int) int64 {
	n, err := worker.PSS(pid)
	if err != nil {
		return 0
	}
	return n
}

func percentiles(s metrics.Summary) control.Percentiles {
	p := control.Percentiles{Count: s.Count}
	if len(s.Percentiles) == 3 {
		p.P50, p.P95, p.P99 = s.Percentiles[0], s.Percentiles[1], s.Percentiles[2]
	}
	return p
}
