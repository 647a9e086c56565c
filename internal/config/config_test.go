package config

import (
	"reflect"
	"testing"
	"time"
)

func TestDefaultIsWhatTheFieldsDocument(t *testing.T) {
	have := Default()
	have.sources = nil
	want := Config{
		Environment:      "development",
		MaxThreads:       5,
		Ruby:             "ruby",
		MaxConnections:   16384,
		QueueLimit:       1024,
		QueueTimeout:     30 * time.Second,
		HeaderTimeout:    30 * time.Second,
		MinBodyRate:      100,
		WriteTimeout:     60 * time.Second,
		KeepAliveTimeout: 65 * time.Second,
		MaxTarget:        12 << 10,
		MaxHeader:        112 << 10,
		MaxHeaders:       200,
		BootTimeout:      60 * time.Second,
		ShutdownTimeout:  30 * time.Second,
		LogFormat:        "text",

		ForkWorker: -1, WorkerTimeout: 60 * time.Second, WorkerCheckInterval: 5 * time.Second, StatePermission: 0o600,
		RemoteAddress: "socket", UnderscoreHeaders: true, YJIT: "auto", Accelerator: "auto",
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
}

func TestZeroWorkersIsOneWorkerWithoutACluster(t *testing.T) {
	for _, test := range []struct {
		workers, count int
		cluster        bool
	}{{0, 1, false}, {1, 1, true}, {3, 3, true}} {
		c := Config{Workers: test.workers}
		if c.WorkerCount() != test.count || c.Cluster() != test.cluster {
			t.Errorf("%d workers: have count %d, cluster %t", test.workers, c.WorkerCount(), c.Cluster())
		}
	}
}
