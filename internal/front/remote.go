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

// remote is the server as the control server sees it, from before it boots.
type remote struct {
	setup   *Setup
	asked   *signals
	started time.Time

	settled  chan struct{} // closed when the server has booted, or will not any more
	settling sync.Once
	operator *operator // once settled; nil: it will not
	failure  error     // why not
}

var _ control.Operator = (*remote)(nil)

func newRemote(setup *Setup, asked *signals) *remote {
	return &remote{setup: setup, asked: asked, started: time.Now(), settled: make(chan struct{})}
}

// settle says what has become of the boot. Only the first time counts.
func (r *remote) settle(o *operator, failure error) {
	r.settling.Do(func() {
		r.operator, r.failure = o, failure
		close(r.settled)
	})
}

// now is the operator, nil while the server boots.
func (r *remote) now() *operator {
	select {
	case <-r.settled:
		return r.operator
	default:
		return nil
	}
}

// await returns the operator when the server has booted.
func (r *remote) await() (*operator, error) {
	<-r.settled
	return r.operator, r.failure
}

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
	if r.now() == nil {
		report(control.Event{Step: control.StepBooting})
	}
	o, err := r.await()
	if err != nil {
		return err
	}
	if err := r.Available(kind); err != nil {
		return err
	}
	var mu sync.Mutex
	progress := func(p dispatch.Progress) {
		mu.Lock()
		defer mu.Unlock()
		report(control.Event{Step: p.Step.String(), Worker: new(p.Index), PID: p.PID, Done: p.Done, Total: p.Total})
	}
	switch kind {
	case control.Hot:
		return o.Hot(progress)
	case control.Phased:
		return o.Phased(progress)
	default:
		return o.Refork(progress)
	}
}

func (r *remote) Available(kind control.Kind) error {
	if o := r.now(); o != nil && kind == control.Refork && !o.current.Load().Forked() {
		return errNotForked
	}
	return nil
}

func (r *remote) Scale(by int) error {
	o, err := r.await()
	if err != nil {
		return err
	}
	return o.Scale(by)
}

func (r *remote) ReopenLogs() {
	if o := r.now(); o != nil {
		o.Reopen()
		return
	}
	note(r.asked.reopen)
}

func (r *remote) ShowThreads() { note(r.asked.info) }

func (r *remote) Ask(what string, wait time.Duration) []control.Answer {
	o := r.now()
	if o == nil {
		return nil
	}
	workers := o.workers()
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

func (r *remote) Stats() control.Stats {
	s := control.Stats{PID: os.Getpid(), Started: r.started, Versions: control.Versions{Serval: r.setup.Version}}
	o := r.now()
	if o == nil {
		s.Booting, s.Cluster, s.Wanted = true, r.setup.Config.Cluster(), r.setup.Config.WorkerCount()
		return s
	}
	o.look(&s)
	return s
}

func (r *remote) Waits() (waits control.Waits, queuedMax int) {
	o := r.now()
	if o == nil {
		return control.Waits{}, 0
	}
	minute, all, longest := o.pool.Waits(0.5, 0.95, 0.99)
	return control.Waits{LastMinute: percentiles(minute), SinceStart: percentiles(all)}, longest
}

func (r *remote) Memory(pid int) int64 {
	n, err := worker.PSS(pid)
	if err != nil {
		return 0
	}
	return n
}

// workers are those that serve, by index.
func (o *operator) workers() []dispatch.WorkerStats {
	workers := slices.DeleteFunc(o.pool.Stats().Workers, func(w dispatch.WorkerStats) bool { return w.State != "serving" })
	slices.SortFunc(workers, byIndex)
	return workers
}

func byIndex(a, b dispatch.WorkerStats) int { return cmp.Or(a.Index-b.Index, a.PID-b.PID) }

// look fills in what is to be said of a server that has booted.
func (o *operator) look(s *control.Stats) {
	pool := o.pool.Stats()
	slices.SortFunc(pool.Workers, byIndex)
	g := o.current.Load()
	s.Cluster, s.Phase, s.Wanted = g.Config.Cluster(), pool.Phase, pool.Wanted
	s.Requests, s.Queued, s.Clients = pool.Finished, pool.Queued, o.server.Connections()
	if mold := g.Mold(); mold != nil {
		s.MoldPID = mold.PID()
	}
	if failure := o.failure.Load(); failure != nil {
		s.Failure = *failure
	}
	for _, w := range pool.Workers {
		s.Versions.Ruby, s.Versions.Engine = w.Worker.Fact("ruby"), w.Worker.Fact("engine")
		s.Versions.Patchlevel, _ = strconv.Atoi(w.Worker.Fact("patchlevel")) //nolint:errcheck // 0 then
		s.Workers = append(s.Workers, controlled(w))
	}
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

func percentiles(s metrics.Summary) control.Percentiles {
	p := control.Percentiles{Count: s.Count}
	if len(s.Percentiles) == 3 {
		p.P50, p.P95, p.P99 = s.Percentiles[0], s.Percentiles[1], s.Percentiles[2]
	}
	return p
}
