package plan

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/sequence"
)

func sample() Plan {
	p := Plan{App: "blog", Prefix: Cloud66Prefix}
	p.Add(Process{Name: "web", Web: true, Count: 1, RestartSignal: Signal(syscall.SIGUSR2), StopSequence: sequence.MustParse("term, 90, kill")})
	p.Add(Process{Name: "worker", Count: 2, Health: &Health{URL: "/up", Interval: 90 * time.Second, Timeout: time.Second, Failures: 3}})
	return p
}

func TestUnitsAreCalledAsThePageHasIt(t *testing.T) {
	p := sample()
	for got, want := range map[string]string{
		p.Unit(p.Processes[0], 1):    "cloud66_web_server.service",
		p.Unit(p.Processes[1], 2):    "cloud66_process_worker@2.service",
		p.Template(p.Processes[0]):   "cloud66_web_server.service",
		p.Template(p.Processes[1]):   "cloud66_process_worker@.service",
		p.Process("custom_web").Name: "web",
		p.Process("worker").Name:     "worker",
	} {
		if got != want {
			t.Errorf("%q in place of %q", got, want)
		}
	}
	if p.Process("nobody") != nil {
		t.Error("a process is found that is not there")
	}
}

func TestNoTwoProcessesHaveTheSameInteger(t *testing.T) {
	var p Plan
	for range 120 {
		p.Add(Process{})
	}
	seen := map[int]bool{}
	for _, process := range p.Processes {
		for instance := 1; instance <= 1100; instance++ {
			n := process.UniqueInt(instance)
			if seen[n] {
				t.Fatalf("%d is there twice", n)
			}
			seen[n] = true
		}
	}
	if n := p.Processes[1].UniqueInt(3); n != 1013 {
		t.Errorf("the third instance of the second process has %d", n)
	}
}

func TestNamesThatCouldEscapeAreRefused(t *testing.T) {
	for _, name := range []string{"web", "worker-2", "a_b", "9lives", strings.Repeat("a", 64)} {
		if err := CheckName("name", name); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{
		"": "empty", "..": "'.' in it", "../etc": "in it", "a/b": "'/'", "a@b": "'@'", "a.service": "'.'", "a b": "' '", "a%i": "'%'", "a\nb": "in it", "a\x00": "in it",
		"-rf": "begins with", "_x": "begins with", "ä": "'ä'", strings.Repeat("a", 65): "65 bytes",
	} {
		if err := CheckName("name", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}

func TestAPlanIsJSON(t *testing.T) {
	text, err := json.Marshal(sample().Processes)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"web","web":true,"count":1,"command":"","restart_signal":"usr2","stop_sequence":"term, 90, kill","restart_on_deploy":false},` +
		`{"name":"worker","web":false,"count":2,"command":"","restart_signal":"","stop_sequence":"","restart_on_deploy":false,` +
		`"health_check":{"url":"/up","interval":90,"timeout":1,"failures":3}}]`
	if string(text) != want {
		t.Errorf("%s", text)
	}
	if got := Signal(0).String(); got != "stop + start" {
		t.Error(got)
	}
}
