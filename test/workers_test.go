package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

func TestAnAppThatDoesNotLoadEndsTheServerWithItsOwnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		name, rackup string
		want         []string
	}{
		{"missing constant", "\nrun NoSuchApp.new\n", []string{"NameError: uninitialized constant", "NoSuchApp", "config.ru:2"}},
		{"missing file", "require 'no/such/file'\n", []string{"LoadError: cannot load such file -- no/such/file", "config.ru:1"}},
		{"syntax error", "run ->(env) {\n", []string{"SyntaxError", "config.ru:"}},
		{"an error with a cause", "begin; raise 'the cause'; rescue; raise 'the effect'; end\n", []string{"the effect", "caused by RuntimeError: the cause"}},
		{"no app", "", []string{"the app did not boot"}},
		{"exit", "exit 3\n", []string{"the app called exit while it was loading"}},
		{"exit!", "exit! 3\n", []string{"exited with status 3 before it was ready"}},
		{"killed", "Process.kill(:KILL, $$); sleep\n", []string{"was killed by SIGKILL before it was ready"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, "config.ru")
			write(t, path, tt.rackup)
			s := testkit.Command{App: path, Flags: []string{"-w", "2"}}.Launch(t)
			if status := s.Exit(); status.ExitStatus() != 1 {
				t.Errorf("it ended with %v", status)
			}
			for _, want := range append(tt.want, "serval: the app did not boot") {
				if !strings.Contains(s.Err.String(), want) {
					t.Errorf("standard error does not say %q but %q", want, s.Err)
				}
			}
			if s.Logged("Listening") {
				t.Error("it listened all the same")
			}
		})
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestABusyWorkerPinsNobody(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-w", "2", "-t", "1")
	c, open := gated(t, s, "GET")
	pids := map[string]bool{}
	for range 30 {
		pids[s.Get("/pid").Body] = true
	}
	if len(pids) != 1 {
		t.Errorf("30 requests beside a slow one were served by %v", pids)
	}
	open()
	if r := c.Response("GET"); r.Body != "open\n" {
		t.Errorf("got %+v", r)
	}
}

func TestIdleWorkersTakeTurns(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-w", "3", "-t", "2")
	served := map[string]int{}
	for range 30 {
		served[s.Get("/pid").Body]++
	}
	if len(served) != 3 {
		t.Errorf("the workers served %v requests each", served)
	}
}

func TestAWorkerRunsAsManyRequestsAsItHasThreads(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-t", "5")
	dir := t.TempDir()
	entered := func() int {
		files, _ := filepath.Glob(dir + "/entered*")
		return len(files)
	}
	var clients []*testkit.Client
	for i := range 10 {
		c := s.Dial()
		c.Send(testkit.Request("GET", "/gate?file="+dir+"/gate", "", fmt.Sprintf("X-Entered: %s/entered%d", dir, i)))
		clients = append(clients, c)
	}
	testkit.WaitFor(t, "five requests run", func() bool { return entered() >= 5 })
	time.Sleep(100 * time.Millisecond) // a sixth would come now
	if n := entered(); n != 5 {
		t.Errorf("%d requests run on five threads", n)
	}
	write(t, dir+"/gate", "")
	for _, c := range clients {
		if r := c.Response("GET"); r.Body != "open\n" {
			t.Errorf("got %+v", r)
		}
	}
}

func TestAFullQueueAnswers503(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-t", "1", "--queue-limit", "2")
	running, open := gated(t, s, "GET")
	answers := make(chan *testkit.Response, 3)
	for range 3 { // whichever comes last is one too many
		c := s.Dial()
		c.Send(testkit.Request("GET", "/fast", ""))
		go func() { answers <- c.Response("GET") }()
	}
	if r := <-answers; r.Status != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("the third in the queue got %+v", r)
	}
	s.AwaitLog("2 requests are waiting already (--queue-limit)")
	open()
	for _, r := range []*testkit.Response{running.Response("GET"), <-answers, <-answers} {
		if r.Status != 200 {
			t.Errorf("got %+v", r)
		}
	}
}

func TestWithoutAQueueTheSurplusIsTurnedAwayAtOnce(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-t", "1", "--queue-limit", "0")
	running, open := gated(t, s, "GET")
	if r := s.Get("/fast"); r.Status != 503 {
		t.Errorf("got %+v", r)
	}
	open()
	running.Response("GET")
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestAQueuedRequestWhoseClientLeftNeverReachesTheApp(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-t", "1")
	running, open := gated(t, s, "GET")
	before := len(sockets(t, s.PID))
	for _, leave := range []func(*testkit.Client){(*testkit.Client).Reset, func(c *testkit.Client) { c.Close() }} {
		leave(queued(t, s, "POST", "/leak?mb=1"))
	}
	testkit.WaitFor(t, "the front has noticed that two clients left", func() bool { return len(sockets(t, s.PID)) == before })
	open()
	running.Response("GET")
	if r := s.Get("/leak?mb=0"); r.Body != "0 MB\n" {
		t.Errorf("the app ran requests whose clients were gone: %+v", r)
	}
}

// workerOf returns the worker process that answers next.
func workerOf(t *testing.T, s *testkit.Server) testkit.Process {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(s.Get("/pid").Body))
	if err != nil {
		t.Fatal(err)
	}
	return testkit.FindProcess(pid)
}

func kill(t *testing.T, p testkit.Process, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(p.PID, sig); err != nil {
		t.Fatal(err)
	}
}

func TestAKilledWorkerIsReplacedAndTheLogSaysWhatItHeld(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow")
	worker := s.Worker()
	gate := t.TempDir() + "/gate"
	get, post := held(t, s, "GET", "/gate?file="+gate), held(t, s, "POST", "/gate?why=not&file="+gate)
	kill(t, worker, syscall.SIGKILL)

	line := s.AwaitLog(fmt.Sprintf("(PID %d) was killed by SIGKILL", worker.PID))
	for _, want := range []string{"worker 0", "holding 2 requests", "GET /gate?file=" + gate + " (", "POST /gate?why=not&file=" + gate + " (", "replacing it"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log does not say %q: %s", want, line)
		}
	}
	write(t, gate, "")
	if r := get.Response("GET"); r.Status != 200 || r.Body != "open\n" {
		t.Errorf("a GET was not repeated: %+v", r)
	}
	if r := post.Response("POST"); r.Status != 502 || r.Body == "" {
		t.Errorf("a POST got %+v", r)
	}
	if replaced := s.Worker(); replaced == worker {
		t.Error("the worker is the same")
	}
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestARepeatedRequestTakesItsBodyAlong(t *testing.T) {
	t.Parallel()
	// The first run of a request ends its worker; the second finds the marker and answers.
	dir := t.TempDir()
	rackup := filepath.Join(dir, "config.ru")
	write(t, rackup, `
marker = "`+dir+`/marker"
run(lambda do |env|
  size = env["rack.input"].read.bytesize
  File.exist?(marker) || (File.write(marker, "") && exit!(1))
  [200, {}, ["#{size} bytes"]]
end)
`)
	s := testkit.Command{App: rackup}.Start(t)
	for _, size := range []int{100, 500_000} {
		os.Remove(filepath.Join(dir, "marker"))
		if r := s.Do("GET", "/", strings.Repeat("x", size)); r.Body != fmt.Sprintf("%d bytes", size) {
			t.Errorf("a body of %d bytes: got %+v", size, r)
		}
	}
}

func TestARequestIsRepeatedOnlyOnce(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-w", "2")
	before := s.Workers()
	if r := s.Get("/kill"); r.Status != 502 {
		t.Errorf("a request that kills its workers got %+v", r)
	}
	testkit.WaitFor(t, "two workers are back", func() bool { return strings.Count(s.Out.String(), " booted in ") == 4 })
	for _, p := range before {
		if p.Alive() {
			t.Errorf("worker %s is still there: the request was not repeated", p)
		}
	}
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestTheLogSaysHowAWorkerEnded(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow")
	for path, want := range map[string]string{"/exit!": "exited with status 7", "/segv": "was killed by SIG"} {
		if r := s.Do("POST", path, ""); r.Status != 502 {
			t.Errorf("%s: got %+v", path, r)
		}
		if line := s.AwaitLog(want); !strings.Contains(line, "holding 1 request: POST "+path) {
			t.Errorf("%s: the log says %s", path, line)
		}
	}
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestAWorkerThatDiesInMidResponseCutsTheConnection(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow")
	for _, protocol := range []string{"HTTP/1.1", "HTTP/1.0"} {
		c := s.Dial()
		c.Send("GET /kill-later " + protocol + "\r\nHost: a\r\n\r\n")
		if r, err := c.TryResponse("GET"); err == nil || r != nil && r.Body != "one\n" {
			t.Errorf("%s: got %+v, %v", protocol, r, err)
		}
	}
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestAProcessTheAppForkedDoesNotKeepADeadWorker(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow")
	child, err := strconv.Atoi(strings.TrimSpace(s.Get("/fork").Body))
	if err != nil {
		t.Fatal(err)
	}
	defer kill(t, testkit.FindProcess(child), syscall.SIGKILL)
	kill(t, workerOf(t, s), syscall.SIGKILL)
	s.AwaitLog("replacing it")
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

// steady asks for /fast again and again, on several connections, until stop is called, which returns how many requests
// there were and how many of them failed.
func steady(t *testing.T, s *testkit.Server) (stop func() (requests, failures int)) {
	var over atomic.Bool
	var all, bad atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c := s.Dial()
			for !over.Load() {
				c.Send(testkit.Request("GET", "/fast", ""))
				r, err := c.TryResponse("GET")
				all.Add(1)
				if err != nil || r.Status != 200 {
					t.Errorf("a steady client got %+v, %v", r, err)
					bad.Add(1)
					return
				}
			}
		})
	}
	return func() (int, int) {
		over.Store(true)
		clients.Wait()
		return int(all.Load()), int(bad.Load())
	}
}

func TestAWorkerPastItsMemoryLimitIsReplacedWithoutLosingARequest(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "--worker-memory-limit", "150M")
	worker := s.Worker()
	stop := steady(t, s)
	if r := s.Get("/leak?mb=200"); r.Status != 200 {
		t.Fatalf("got %+v", r)
	}
	line := s.AwaitLog("the limit 150 MB (--worker-memory-limit)")
	if !strings.Contains(line, fmt.Sprintf("worker 0 (PID %d)", worker.PID)) {
		t.Errorf("the log does not say which: %s", line)
	}
	s.AwaitLog(fmt.Sprintf("Worker 0 (PID: %d) retired", worker.PID))
	if worker.Alive() {
		t.Error("the worker is still there")
	}
	if requests, failures := stop(); requests == 0 || failures > 0 {
		t.Errorf("%d of %d requests failed meanwhile", failures, requests)
	}
}

func TestAWorkerThatGetsATermIsReplacedWithoutLosingARequest(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-w", "2", "-t", "2")
	stop := steady(t, s)
	for i, worker := range s.Workers() {
		c, open := gated(t, s, "POST")
		kill(t, worker, syscall.SIGTERM)
		testkit.WaitFor(t, "its successor is there", func() bool { return strings.Count(s.Out.String(), " booted in ") > 2+i })
		open()
		s.AwaitLog(fmt.Sprintf("(PID: %d) retired: asked to stop by a TERM of its own", worker.PID))
		if r := c.Response("POST"); r.Status != 200 {
			t.Errorf("a request in flight got %+v", r)
		}
	}
	if requests, failures := stop(); requests == 0 || failures > 0 {
		t.Errorf("%d of %d requests failed meanwhile", failures, requests)
	}
	if len(s.Workers()) != 2 {
		t.Errorf("there are %d workers", len(s.Workers()))
	}
}

func TestSignalsThatAreNotForWorkersDoNothingToThem(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow")
	worker := s.Worker()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE} {
		kill(t, worker, sig)
		if r := s.Get("/sleep?s=0.05"); r.Status != 200 {
			t.Errorf("after %s: got %+v", sig, r)
		}
	}
	if s.Worker() != worker {
		t.Error("the worker was replaced")
	}
}

func TestNoWorkerOutlivesItsFront(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-w", "3", "-t", "2")
	for _, path := range []string{"/block", "/cpu?ms=600000", "/queue"} {
		held(t, s, "GET", path)
	}
	if len(s.Workers()) != 3 {
		t.Fatalf("there are %d workers", len(s.Workers()))
	}
	s.Signal(syscall.SIGKILL)
	s.Exit() // which finds processes that are left
}

func TestAnAppThatBreaksLaterIsTriedAgainUntilItLoads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rackup := filepath.Join(dir, "config.ru")
	working := "run ->(_) { [200, {}, [$$.to_s]] }\n"
	write(t, rackup, working)
	s := testkit.Command{App: rackup}.Start(t)
	write(t, rackup, "raise 'not today'\n")
	kill(t, s.Worker(), syscall.SIGKILL)
	s.AwaitLog("worker 0 did not boot (attempt 2, next in about")
	if !s.Logged("RuntimeError: not today") {
		t.Error("the log does not say why")
	}
	waiting := s.Dial()
	waiting.Send(testkit.Request("GET", "/", ""))
	write(t, rackup, working)
	if r := waiting.Response("GET"); r.Status != 200 {
		t.Errorf("a request that waited for a worker got %+v", r)
	}
}

func TestAReplacementThatDoesNotBootChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rackup := filepath.Join(dir, "config.ru")
	write(t, rackup, "run ->(_) { [200, {}, [$$.to_s]] }\n")
	s := testkit.Command{App: rackup}.Start(t)
	before := s.Get("/").Body
	write(t, rackup, "raise 'not today'\n")
	kill(t, s.Worker(), syscall.SIGTERM)
	if line := s.AwaitLog("the old one stays"); !strings.Contains(line, "worker 0") {
		t.Errorf("the log says %s", line)
	}
	if after := s.Get("/").Body; after != before {
		t.Errorf("worker %s is not the one from before, %s", after, before)
	}
}

func TestWorkersSeeTheEnvironmentAndNothingOfServals(t *testing.T) {
	t.Parallel()
	s := testkit.Command{App: "slow", Env: []string{"COLOUR=tan", "RACK_ENV=staging"}}.Start(t)
	for name, want := range map[string]string{"COLOUR": "tan", "RACK_ENV": "production", "SERVAL_WORKER": ""} {
		if have := strings.TrimSpace(s.Get("/env?name=" + name).Body); have != want {
			t.Errorf("%s is %q, want %q", name, have, want)
		}
	}
	open := testkit.Descriptors(t, s.Worker().PID)
	sockets := slices.DeleteFunc(open, func(target string) bool { return !strings.HasPrefix(target, "socket:") })
	if len(sockets) > 2 { // requests and control; no client's, no listener
		t.Errorf("the worker has the sockets %v", sockets)
	}
}
