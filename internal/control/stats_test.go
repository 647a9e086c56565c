package control

import (
	"maps"
	"slices"
	"testing"
	"time"
)

var (
	started = time.Date(2026, 11, 22, 21, 0, 5, 123, time.FixedZone("x", 3600))
	two     = Stats{
		PID: 5, Started: started, Cluster: true, Phase: 2, Wanted: 2, Requests: 40, Queued: 3, Clients: 9,
		Versions: Versions{Serval: "0.1.0", Ruby: "3.1.2", Engine: "ruby", Patchlevel: 20},
		Workers: []Worker{
			{Index: 1, PID: 12, Phase: 2, Started: started, LastCheckIn: started, State: "serving", Threads: 5, Held: 5, Requests: 9},
			{Index: 0, PID: 10, Phase: 1, Started: started, LastCheckIn: started, State: "draining", Threads: 5, Held: 1, Requests: 7},
			{Index: 0, PID: 11, Phase: 2, Started: started, LastCheckIn: started, State: "serving", Threads: 5, Held: 4, Requests: 8, Restarts: 1},
		},
	}
)

// The fields are those of docs/reference of Puma 5.6.5 and 8.0.2, and more.
func TestAClusterIsReportedAsPumaDoes(t *testing.T) {
	_, address := serving(t, &recorder{stats: two}, Access{})
	_, _, body := raw(t, address, "/stats")
	top := decode(t, body)
	for name, want := range map[string]any{
		"started_at": "2026-11-22T20:00:05Z", "workers": 2.0, "phase": 2.0, "booted_workers": 2.0, "old_workers": 1.0,
		"waiting": 3.0, "connections": 9.0, "generation": 2.0, "pid": 5.0,
	} {
		if top[name] != want {
			t.Errorf("%s is %v, want %v", name, top[name], want)
		}
	}
	if top["backlog"] != nil || top["running"] != nil {
		t.Error("it has the single mode's fields, too")
	}
	ruby := top["versions"].(map[string]any)["ruby"].(map[string]any)
	if ruby["engine"] != "ruby" || ruby["version"] != "3.1.2" || ruby["patchlevel"] != 20.0 {
		t.Errorf("Ruby is %v", ruby)
	}
	workers := top["worker_status"].([]any)
	var pids []any
	backlog := 0.0
	for _, w := range workers {
		pids = append(pids, w.(map[string]any)["pid"])
		backlog += w.(map[string]any)["last_status"].(map[string]any)["backlog"].(float64)
	}
	if !slices.Equal(pids, []any{10.0, 11.0, 12.0}) || backlog != 3 {
		t.Errorf("the workers are %v with a backlog of %v in all", pids, backlog)
	}
	third := workers[2].(map[string]any)
	for name, want := range map[string]any{
		"index": 1.0, "phase": 2.0, "booted": true, "last_checkin": "2026-11-22T20:00:05Z", "started_at": "2026-11-22T20:00:05Z",
		"state": "serving", "pss": 12000.0, "restarts": 0.0, "generation": 2.0,
	} {
		if third[name] != want {
			t.Errorf("of a worker, %s is %v, want %v", name, third[name], want)
		}
	}
	status := third["last_status"].(map[string]any)
	want := map[string]any{
		"backlog": 1.0, "running": 5.0, "pool_capacity": 0.0, "busy_threads": 6.0, "io_threads": 0.0, "backlog_max": 1.0,
		"max_threads": 5.0, "requests_count": 9.0, "reactor_max": 0.0,
	}
	if !maps.Equal(status, want) {
		t.Errorf("last_status is %v, want %v", status, want)
	}
}

func TestASingleServerIsReportedAsPumaDoes(t *testing.T) {
	one := two
	one.Cluster, one.Wanted, one.Workers = false, 1, two.Workers[:1]
	_, address := serving(t, &recorder{stats: one}, Access{})
	_, _, body := raw(t, address, "/stats")
	top := decode(t, body)
	for name, want := range map[string]any{
		"started_at": "2026-11-22T20:00:05Z", "backlog": 3.0, "running": 5.0, "pool_capacity": 0.0, "busy_threads": 8.0,
		"io_threads": 0.0, "backlog_max": 7.0, "max_threads": 5.0, "requests_count": 40.0, "reactor_max": 0.0,
	} {
		if top[name] != want {
			t.Errorf("%s is %v, want %v", name, top[name], want)
		}
	}
	if top["workers"] != nil || top["worker_status"] != nil || top["versions"] == nil {
		t.Error("it has a cluster's fields, or no versions")
	}
	if worker := top["worker"].(map[string]any); worker["pid"] != 12.0 || worker["pss"] != 12000.0 {
		t.Errorf("the worker is %v", worker)
	}
	minute := top["queue_time"].(map[string]any)["last_minute"].(map[string]any)
	if minute["count"] != 3.0 || minute["p50"] != 1.5 {
		t.Errorf("the queue time is %v", minute)
	}
}
