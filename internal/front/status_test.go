package front

import (
	"testing"

	"serval/internal/dispatch"
)

func TestTheStatusHasWorkersThreadsAndBacklogInOrder(t *testing.T) {
	have := statusOf("1.2", dispatch.Stats{Ready: 2, Wanted: 2, Queued: 3, Phase: 1, Workers: []dispatch.WorkerStats{
		{Index: 1, PID: 12, State: "serving", Threads: 5},
		{Index: 0, PID: 13, State: "serving", Threads: 5, Held: 1},
		{Index: 0, PID: 11, State: "draining", Threads: 5, Held: 5},
	}})
	want := "Serval 1.2: cluster: 2/2, worker_status: [{ 0: 5/5 threads, 0 available, draining }, " +
		"{ 0: 5/5 threads, 4 available }, { 1: 5/5 threads, 5 available }], 3 backlog, phase: 1"
	if have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestAFailureIsShownByItsFirstLines(t *testing.T) {
	for text, want := range map[string]string{"a\nb\nc\n": "a b", "a": "a", "": ""} {
		if have := firstLines(text, 2); have != want {
			t.Errorf("%q: %q", text, have)
		}
	}
}
