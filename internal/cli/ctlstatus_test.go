package cli

import (
	"strings"
	"testing"
	"time"

	"serval/internal/control"
)

func TestTheStatusFitsIntoATerminal(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r := &control.Report{
		StartedAt: "2026-11-20T07:00:00Z", PID: 4194304, Generation: 120, Connections: 12345, Waiting: 1024,
		QueueTime: control.QueueTime{LastMinute: control.QueuePercentiles{Count: 9, P50: 12.3, P95: 456.7, P99: 29999.9}},
		Front:     control.Process{PID: 4194304, PSS: 123e6}, Mold: &control.Process{PID: 4194303, PSS: 456e6},
		Failure: "the phased restart failed: the app did not boot: LoadError: cannot load such file -- nowhere/to/be/found (a long way to go)",
		Cluster: &control.Cluster{WorkerStatus: []control.WorkerReport{{
			Index: 1023, PID: 4194301, Phase: 120, State: "draining", PSS: 4567e6, StartedAt: "2026-11-22T11:57:55Z", Restarts: 1234,
			LastStatus: control.Load{MaxThreads: 128, PoolCapacity: 28, Requests: 1234567890},
		}}},
	}
	r.Versions.Serval, r.Versions.Ruby.Engine, r.Versions.Ruby.Version = "10.10.10", "truffleruby", "3.4.10"
	var b strings.Builder
	writeStatus(&b, r, now)
	for line := range strings.Lines(b.String()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	for _, want := range []string{"up 2d05h", "100/128", "2m05s", "p99 29999.9 ms", "4567.0 MB", "all 5146.0 MB"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, b.String())
		}
	}
}
