package test

import (
	"path/filepath"
	"testing"
	"time"

	"serval/internal/testkit"
)

// computes is an app whose requests compute in Ruby, but for the short ones.
const computes = `
require "timeout"

clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
compute = lambda do |seconds|
  finish = clock.call + seconds
  1_000.times { finish } while clock.call < finish
end
answers = {
  "/short" => -> { "short" },
  "/20-ms" => -> { compute.call(0.02) },
  "/2-s" => -> { compute.call(2) },
  "/timeout" => lambda do
    Timeout.timeout(0.5) { compute.call(60) }
  rescue Timeout::Error => e
    e.class
  end,
  "/kill" => lambda do
    thread = Thread.new { compute.call(60) }
    sleep 0.5
    thread.kill.join(20) ? "killed" : "still there"
  end
}
run ->(env) { [200, {}, [answers.fetch(env["PATH_INFO"]).call.to_s]] }`

// startComputing starts a worker of two threads, which has seen computations.
func startComputing(t *testing.T, accelerator string) *testkit.Server {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.ru"), computes)
	s := testkit.Command{Dir: dir, Flags: []string{"-w", "1", "-t", "2", "--accelerator", accelerator}}.Start(t)
	for range 4 {
		s.Get("/20-ms")
	}
	if s.Logged("there is no accelerator") {
		t.Fatal("the worker has no accelerator")
	}
	return s
}

// beside asks for a path, and for short requests one after the other until that has its answer. wait is how long a short request would have taken on
// average that came at any moment of that time: long ones count for as long as they took.
func beside(t *testing.T, s *testkit.Server, path string) (wait time.Duration, body string) {
	t.Helper()
	c := s.Dial()
	c.Send(testkit.Request("GET", path, ""))
	answer := make(chan *testkit.Response)
	go func() {
		r, _ := c.TryResponse("GET")
		answer <- r
	}()
	var sum, squares float64
	for {
		select {
		case r := <-answer:
			if r == nil || r.Status != 200 {
				t.Fatalf("%s: got %+v", path, r)
			}
			return time.Duration(squares / sum), r.Body
		default:
		}
		began := time.Now()
		if r := s.Get("/short"); r.Body != "short" {
			t.Fatalf("got %+v", r)
		}
		took := float64(time.Since(began))
		sum, squares = sum+took, squares+took*took
	}
}

// Ruby alone changes between threads that compute ten times a second.
func TestShortRequestsDoNotWaitForTheEndOfAComputation(t *testing.T) {
	t.Parallel()
	ruby, _ := beside(t, startComputing(t, "off"), "/2-s")
	var c time.Duration
	for range 3 { // a busy machine has its moments
		c, _ = beside(t, startComputing(t, "on"), "/2-s")
		t.Logf("a short request beside a computation took %s without the accelerator, %s with it", ruby, c)
		if c < ruby/3 {
			return
		}
	}
	t.Error("that is more than a third")
}

func TestAComputationThatOthersInterruptCanBeEnded(t *testing.T) {
	t.Parallel()
	s := startComputing(t, "on")
	for path, want := range map[string]string{"/timeout": "Timeout::Error", "/kill": "killed"} {
		if _, got := beside(t, s, path); got != want {
			t.Errorf("%s: got %q", path, got)
		}
	}
}
