package backend

import (
	"reflect"
	"testing"
	"time"

	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/sequence"
	"serval/internal/supervisor"
)

func TestAServiceIsASpecOfTheSupervisors(t *testing.T) {
	service := installation.Service{
		Process: plan.Process{
			Name: "web", Web: true, Command: "cd app; puma", StopSequence: sequence.MustParse("quit, 5, kill"), MemoryLimit: 1 << 20, DependsOn: []string{"redis"},
			Health: &plan.Health{URL: "/up", Interval: time.Minute, Timeout: time.Second, Failures: 2},
		},
		Name: "web", Argv: []string{"/bin/sh", "-c", "cd app; puma"}, Env: []string{"A=1"}, Directory: "/srv", User: "deploy", Group: "www",
		Log: "/srv/log/web.log", Socket: "/tmp/web.sock", PIDFile: "/tmp/web.pid",
	}
	want := supervisor.Spec{
		Name: "web", Argv: service.Argv, Env: service.Env, Directory: "/srv", User: "deploy", Group: "www", Log: "/srv/log/web.log", PIDFile: "/tmp/web.pid",
		Stop: service.Process.StopSequence, DependsOn: []string{"redis"}, Ready: supervisor.Ready{Network: "unix", Address: "/tmp/web.sock"},
		Checks: []supervisor.Check{
			{Kind: supervisor.Memory, Below: 1 << 20, Every: memoryInterval, Times: memoryFailures},
			{Kind: supervisor.HTTP, URL: "http://localhost/up", Socket: "/tmp/web.sock", Every: time.Minute, Timeout: time.Second, Times: 2},
		},
	}
	got := SpecOf(service)
	got.Family = false // which shells stay in front is for package procfile to know
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\n%+v", got, want)
	}
}

func TestAHealthCheckAsksWhereTheServerListens(t *testing.T) {
	for address, want := range map[string]string{
		"3000": "http://localhost:3000/up", "0.0.0.0:3000": "http://localhost:3000/up", "tcp://10.0.0.1:80": "http://10.0.0.1:80/up", "[::]:80": "http://localhost:80/up",
		"": "", "$PORT": "", "example:": "",
	} {
		check, possible := healthCheck(installation.Service{Address: address}, plan.Health{URL: "/up"})
		if possible != (want != "") || possible && check.URL != want {
			t.Errorf("%q is asked at %q, %v", address, check.URL, possible)
		}
	}
	if check, possible := healthCheck(installation.Service{}, plan.Health{Command: "true"}); !possible || check.Kind != supervisor.Command || check.Command != "true" {
		t.Errorf("%+v", check)
	}
}
