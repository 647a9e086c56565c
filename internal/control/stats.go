package control

import (
	"cmp"
	"slices"
	"time"
)

// PumaVersion is the version of Puma whose statistics, commands and options Serval has.
const PumaVersion = "8.0.2"

// Report is the statistics as callers get them: Puma's single or cluster mode, with Serval's own beside them. What has no
// value in a mode is left out.
type Report struct {
	StartedAt string `json:"started_at"`

	*Load // single mode

	*Cluster // cluster mode

	Versions ReportVersions `json:"versions"`

	// Serval's own.
	PID         int           `json:"pid"` // of the front
	Booting     bool          `json:"booting,omitempty"`
	Generation  int           `json:"generation"`
	Waiting     int           `json:"waiting"`     // requests that wait for a thread
	Connections int           `json:"connections"` // open client connections
	QueueTime   QueueTime     `json:"queue_time"`
	Front       Process       `json:"front"`
	Mold        *Process      `json:"mold,omitempty"`
	Only        *WorkerReport `json:"worker,omitempty"` // single mode: the one worker
	Failure     string        `json:"last_restart_error,omitempty"`
}

// Load is what Puma says of the threads of a process.
type Load struct {
	Backlog      int `json:"backlog"` // requests that wait
	Running      int `json:"running"` // threads that are there
	PoolCapacity int `json:"pool_capacity"`
	BusyThreads  int `json:"busy_threads"`
	IOThreads    int `json:"io_threads"`
	BacklogMax   int `json:"backlog_max"`
	MaxThreads   int `json:"max_threads"`
	Requests     int `json:"requests_count"`
	ReactorMax   int `json:"reactor_max"`
}

// Cluster is what Puma says of a cluster.
type Cluster struct {
	Workers       int            `json:"workers"`
	Phase         int            `json:"phase"`
	BootedWorkers int            `json:"booted_workers"`
	OldWorkers    int            `json:"old_workers"`
	WorkerStatus  []WorkerReport `json:"worker_status"`
}

// WorkerReport is what Puma says of a worker, and what Serval adds.
type WorkerReport struct {
	StartedAt   string `json:"started_at"`
	PID         int    `json:"pid"`
	Index       int    `json:"index"`
	Phase       int    `json:"phase"`
	Booted      bool   `json:"booted"`
	LastCheckIn string `json:"last_checkin"`
	LastStatus  Load   `json:"last_status"`

	State      string `json:"state"` // "serving" or "draining"
	Generation int    `json:"generation"`
	Restarts   int    `json:"restarts"`
	PSS        int64  `json:"pss"` // bytes
}

// Process is a process that runs no requests.
type Process struct {
	PID int   `json:"pid"`
	PSS int64 `json:"pss"` // bytes
}

// QueueTime says how long requests waited for a thread.
type QueueTime struct {
	LastMinute QueuePercentiles `json:"last_minute"`
	SinceStart QueuePercentiles `json:"since_start"`
}

// QueuePercentiles are in milliseconds.
type QueuePercentiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// ReportVersions are versions of what runs, and the version of Puma whose fields these are.
type ReportVersions struct {
	Puma   string `json:"puma"`
	Serval string `json:"serval"`
	Ruby   struct {
		Engine     string `json:"engine"`
		Version    string `json:"version"`
		Patchlevel int    `json:"patchlevel"`
	} `json:"ruby"`
}

// StatsOf makes the report on a server.
func StatsOf(op Operator) *Report {
	s := op.Stats()
	s.Workers = slices.Clone(s.Workers)
	waits, queuedMax := op.Waits()
	slices.SortFunc(s.Workers, func(a, b Worker) int { return cmp.Or(a.Index-b.Index, a.Phase-b.Phase, a.PID-b.PID) })
	r := &Report{
		StartedAt: iso8601(s.Started), PID: s.PID, Booting: s.Booting, Generation: s.Phase, Waiting: s.Queued, Connections: s.Clients,
		QueueTime: QueueTime{percentiles(waits.LastMinute), percentiles(waits.SinceStart)},
		Front:     Process{s.PID, op.Memory(s.PID)},
		Failure:   s.Failure,
	}
	if s.MoldPID != 0 {
		r.Mold = &Process{s.MoldPID, op.Memory(s.MoldPID)}
	}
	r.Versions.Puma, r.Versions.Serval = PumaVersion, s.Versions.Serval
	r.Versions.Ruby.Engine, r.Versions.Ruby.Version, r.Versions.Ruby.Patchlevel = s.Versions.Engine, s.Versions.Ruby, s.Versions.Patchlevel
	workers := workerReports(op, &s)
	if s.Cluster {
		r.Cluster = clusterOf(&s, workers)
		return r
	}
	r.Load = &Load{Backlog: s.Queued, BacklogMax: queuedMax, Requests: s.Requests}
	for i := range workers { // in a restart there are two, and the newer one counts
		r.Only = &workers[i]
		l := workers[i].LastStatus
		r.Running, r.PoolCapacity, r.BusyThreads, r.MaxThreads = l.Running, l.PoolCapacity, l.BusyThreads, l.MaxThreads
	}
	return r
}

func clusterOf(s *Stats, workers []WorkerReport) *Cluster {
	c := &Cluster{Workers: s.Wanted, Phase: s.Phase, WorkerStatus: workers}
	for _, w := range s.Workers {
		if w.State == "serving" {
			c.BootedWorkers++
		}
		if w.Phase != s.Phase {
			c.OldWorkers++
		}
	}
	return c
}

// workerReports says each worker's share of the common queue is its backlog, so that the sum is what dashboards of Puma show.
func workerReports(op Operator, s *Stats) []WorkerReport {
	reports := []WorkerReport{}
	serving := 0
	for _, w := range s.Workers {
		if w.State == "serving" {
			serving++
		}
	}
	queued := s.Queued
	for _, w := range s.Workers {
		share := 0
		if w.State == "serving" {
			share = (queued + serving - 1) / serving
			queued -= share
			serving--
		}
		reports = append(reports, WorkerReport{
			StartedAt: iso8601(w.Started), PID: w.PID, Index: w.Index, Phase: w.Phase, Booted: true,
			LastCheckIn: iso8601(w.LastCheckIn), State: w.State, Generation: w.Phase, Restarts: w.Restarts, PSS: op.Memory(w.PID),
			LastStatus: LoadOf(w).with(share),
		})
	}
	return reports
}

// LoadOf is what Puma says of a worker's threads.
func LoadOf(w Worker) Load {
	return Load{Running: w.Threads, MaxThreads: w.Threads, PoolCapacity: w.Threads - w.Held, BusyThreads: w.Held, Requests: w.Requests}
}

// with is the load with so many requests that wait.
func (l Load) with(backlog int) Load {
	l.Backlog, l.BacklogMax = backlog, backlog
	l.BusyThreads += backlog
	return l
}

func percentiles(p Percentiles) QueuePercentiles {
	return QueuePercentiles{p.Count, milliseconds(p.P50), milliseconds(p.P95), milliseconds(p.P99)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// iso8601 is a time as Puma writes it.
func iso8601(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
