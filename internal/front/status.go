package front

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"serval/internal/dispatch"
)

// lastSteps is how long it may take to end when all requests and workers are gone, or given up: hooks run, and a mold ends.
const lastSteps = 2 * hookLimit

// pulse returns when the loops that all requests go through have answered.
func (o *operator) pulse() {
	o.server.Connections()
	o.pool.Pulse()
}

// status is the server on one line, for systemctl status. It stays the same while nothing changes.
func (o *operator) status() string {
	line := statusOf(o.version, o.pool.Stats())
	if failure := o.failure.Load(); failure != nil {
		line += "; " + *failure
	}
	return line
}

// statusOf is a pool in the words of Puma's systemd status: threads that are there, those that are free, and requests
// that wait.
func statusOf(version string, s dispatch.Stats) string {
	slices.SortFunc(s.Workers, func(a, b dispatch.WorkerStats) int { return cmp.Or(a.Index-b.Index, a.PID-b.PID) })
	var workers []string
	for _, w := range s.Workers {
		line := fmt.Sprintf("%d: %d/%d threads, %d available", w.Index, w.Threads, w.Threads, w.Threads-w.Held)
		if w.State != "serving" {
			line += ", " + w.State
		}
		workers = append(workers, "{ "+line+" }")
	}
	return fmt.Sprintf("Serval %s: cluster: %d/%d, worker_status: [%s], %d backlog, phase: %d",
		version, s.Ready, s.Wanted, strings.Join(workers, ", "), s.Queued, s.Phase)
}

// firstLines are the first lines of a text, in one.
func firstLines(text string, n int) string {
	lines := strings.SplitN(strings.TrimSpace(text), "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], " ")
}
