package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"serval/internal/control"
)

// status shows a server and its workers.
func (c *ctl) status(ctx context.Context, client *control.Client) error {
	if c.asPumactl {
		if err := client.Reachable(ctx); err != nil {
			return err
		}
		c.say("Puma is started")
		return nil
	}
	r, err := client.Stats(ctx)
	if err != nil {
		return err
	}
	writeStatus(c.Out, r, time.Now())
	return nil
}

// writeStatus writes a table that fits into 80 columns.
func writeStatus(out io.Writer, r *control.Report, now time.Time) {
	var b strings.Builder
	if r.Versions.Serval == "" { // Puma's statistics leave out most of what follows
		fmt.Fprintf(&b, "Puma, up %s\n", age(r.StartedAt, now))
	} else {
		writeServer(&b, r, now)
	}
	if r.Booting {
		io.WriteString(out, b.String()) //nolint:errcheck // nobody reads it
		return
	}
	const row = "%6v %8v %6v %-9v %7v %10v %8v %7v %8v\n"
	fmt.Fprintf(&b, "\n"+row, "WORKER", "PID", "PHASE", "STATE", "BUSY", "REQUESTS", "MEMORY", "AGE", "RESTARTS")
	for _, w := range workersOf(r) {
		busy := fmt.Sprintf("%d/%d", w.LastStatus.MaxThreads-w.LastStatus.PoolCapacity, w.LastStatus.MaxThreads)
		fmt.Fprintf(&b, row, w.Index, w.PID, w.Phase, w.State, busy, w.LastStatus.Requests, size(w.PSS), age(w.StartedAt, now), w.Restarts)
	}
	io.WriteString(out, b.String()) //nolint:errcheck // nobody reads it
}

// workersOf are a cluster's workers, or the only one.
func workersOf(r *control.Report) []control.WorkerReport {
	switch {
	case r.Cluster != nil:
		return r.WorkerStatus
	case r.Only != nil:
		return []control.WorkerReport{*r.Only}
	}
	return nil
}

// writeServer writes the lines about the server as a whole.
func writeServer(b *strings.Builder, r *control.Report, now time.Time) {
	if r.Booting {
		fmt.Fprintf(b, "Serval %s, PID %d, up %s, booting\n", r.Versions.Serval, r.PID, age(r.StartedAt, now))
		return
	}
	fmt.Fprintf(b, "Serval %s, PID %d, up %s, generation %d, %s %s\n", r.Versions.Serval, r.PID, age(r.StartedAt, now), r.Generation,
		r.Versions.Ruby.Engine, r.Versions.Ruby.Version)
	q := r.QueueTime.LastMinute
	fmt.Fprintf(b, "Clients: %d   Queue: %d waiting", r.Connections, r.Waiting)
	if q.Count > 0 {
		fmt.Fprintf(b, ", p50 %.1f ms, p95 %.1f ms, p99 %.1f ms", q.P50, q.P95, q.P99)
	}
	sum := r.Front.PSS
	for _, w := range workersOf(r) {
		sum += w.PSS
	}
	fmt.Fprintf(b, "\nMemory: front %s", size(r.Front.PSS))
	if r.Mold != nil {
		sum += r.Mold.PSS
		fmt.Fprintf(b, ", mold %s (PID %d)", size(r.Mold.PSS), r.Mold.PID)
	}
	fmt.Fprintf(b, ", all %s\n", size(sum))
	if r.Failure != "" {
		b.WriteString("Last restart:\n" + wrap(r.Failure, 78))
	}
}

// age is a time since, in two units at most.
func age(since string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return "?"
	}
	switch d := max(now.Sub(t), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

func size(bytes int64) string {
	if bytes == 0 {
		return "?"
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}
