package dispatch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serval/internal/logs"
	"serval/internal/wire"
	"serval/internal/worker"
)

// The pool is tested with real workers: real Ruby runs this app. /hold waits until the file named by the query is there.
const testApp = `
run ->(env) {
  case env["PATH_INFO"]
  when "/pid" then [200, {}, [Process.pid.to_s]]
  when "/hold" then sleep 0.005 until File.exist?(env["QUERY_STRING"]); [200, {}, ["held by #{Process.pid}"]]
  when "/stuck" then sleep
  when "/nap" then sleep 0.02; sleep 0.005 until env["QUERY_STRING"].empty? || File.exist?(env["QUERY_STRING"]); [200, {}, ["slept"]]
  when "/die" then Process.kill(:KILL, Process.pid); sleep
  when "/die-once" then File.exist?(env["QUERY_STRING"]) ? [200, {}, ["second time"]] : (File.write(env["QUERY_STRING"], ""); Process.kill(:KILL, Process.pid); sleep)
  when "/size" then [200, {}, [env["rack.input"].read.bytesize.to_s]]
  else [404, {}, ["?"]]
  end
}
`

// testPool is a running pool with the app above.
func testPool(t *testing.T, cfg Config) (*Pool, *testLog) {
	t.Helper()
	if _, err := exec.LookPath("ruby"); err != nil {
		t.Fatal("these tests run real Ruby: install what they need with `make test`")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte(testApp), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Launch = launcher(t, filepath.Join(dir, "config.ru"), cfg.Threads)
	return started(t, cfg)
}

// launcher starts workers with a rackup file.
func launcher(t *testing.T, rackup string, threads int) func(int, worker.Handler) (*worker.Worker, error) {
	t.Helper()
	script, err := filepath.Abs("../../ruby/lib/serval/worker.rb")
	if err != nil {
		t.Fatal(err)
	}
	return func(index int, h worker.Handler) (*worker.Worker, error) {
		return worker.Start(worker.Config{
			Ruby: "ruby", Script: script, Dir: filepath.Dir(rackup), Env: append(os.Environ(), "RACK_ENV=production"), Index: index, Stdout: os.Stdout, Stderr: os.Stderr,
			Settings: []string{fmt.Sprint("index=", index), fmt.Sprint("threads=", threads), "rackup=" + rackup, "version=test"},
		}, h)
	}
}

// started starts a pool and shuts it down when the test ends.
func started(t *testing.T, cfg Config) (*Pool, *testLog) {
	t.Helper()
	log := &testLog{}
	cfg.Log = log
	p := New(cfg)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-p.Manned()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		p.Shutdown(ctx)
		if s := p.Stats(); len(s.PIDs) > 0 {
			t.Errorf("workers %v are left", s.PIDs)
		}
	})
	return p, log
}

type testLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *testLog) Detail(format string, args ...any) { l.add(format, args) }
func (l *testLog) Warn(format string, args ...any)   { l.add(format, args) }
func (l *testLog) Error(format string, args ...any)  { l.add(format, args) }

func (l *testLog) add(format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, logs.Text(format, args...))
}

func (l *testLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// answer is a request under way and what came of it.
type answer struct {
	Request
	done   chan struct{}
	status int
	body   string
}

func (a *answer) Whole(status int, _, body []byte) {
	a.status, a.body = status, string(body)
	close(a.done)
}
func (a *answer) Fail(status int, reason string) {
	a.status, a.body = status, reason
	close(a.done)
}
func (a *answer) Head(int, []byte, []byte)                 { panic("no such response here") }
func (a *answer) Chunk([]byte)                             { panic("no such response here") }
func (a *answer) Stream(*os.File)                          { panic("no such response here") }
func (a *answer) End(bool)                                 { panic("no such response here") }
func (a *answer) File(int, []byte, *os.File, int64, int64) { panic("no such response here") }
func (a *answer) Hints([]byte)                             { panic("no such response here") }
func (a *answer) Hijack(Give)                              { panic("no such response here") }
func (a *answer) HijackHead(int, []byte, []byte, Give)     { panic("no such response here") }

var (
	keys   = wire.NewKeys()
	method = keys.Must("REQUEST_METHOD")
	path   = keys.Must("PATH_INFO")
	query  = keys.Must("QUERY_STRING")
)

// ask dispatches a request.
func ask(p *Pool, verb, where, what string) *answer {
	a := &answer{done: make(chan struct{})}
	a.Start()
	a.Add(method, []byte(verb))
	a.Add(path, []byte(where))
	a.Add(query, []byte(what))
	a.Finish(keys, nil, false)
	a.Line = []byte(verb + " " + where)
	a.Repeatable = verb == "GET"
	a.Responder = a
	p.Dispatch(&a.Request)
	return a
}

func (a *answer) wait(t *testing.T) (int, string) {
	t.Helper()
	select {
	case <-a.done:
		return a.status, a.body
	case <-time.After(30 * time.Second):
		t.Fatalf("%s got no answer", a.Line)
		return 0, ""
	}
}

// flag is a file whose making lets the requests go that wait for it.
type flag string

func newFlag(t *testing.T) flag { return flag(filepath.Join(t.TempDir(), "go")) }
func (f flag) raise()           { os.WriteFile(string(f), nil, 0o600) }

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for wait, deadline := time.Millisecond, time.Now().Add(30*time.Second); !holds(); wait *= 2 {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
		time.Sleep(min(wait, 100*time.Millisecond))
	}
}

func TestABusyWorkerPinsNobody(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 10})
	free := newFlag(t)
	slow := ask(p, "GET", "/hold", string(free))
	for range 50 {
		if status, body := ask(p, "GET", "/pid", "").wait(t); status != 200 || body == "" {
			t.Fatalf("a request beside a slow one got %d %q", status, body)
		}
	}
	free.raise()
	if status, _ := slow.wait(t); status != 200 {
		t.Errorf("the slow one got %d", status)
	}
}

func TestAWorkerRunsAsManyRequestsAsItHasThreads(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 3, QueueLimit: 10})
	free := newFlag(t)
	var held []*answer
	for range 2 {
		held = append(held, ask(p, "GET", "/hold", string(free)))
	}
	// The third thread has to be woken: the other two say nothing.
	if status, _ := ask(p, "GET", "/pid", "").wait(t); status != 200 {
		t.Errorf("beside two slow requests a third one got %d", status)
	}
	free.raise()
	for _, a := range held {
		a.wait(t)
	}
}

func TestPastTheQueueLimitRequestsAreTurnedAway(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 1})
	free := newFlag(t)
	running, queued := ask(p, "GET", "/hold", string(free)), ask(p, "GET", "/pid", "")
	if status, reason := ask(p, "GET", "/pid", "").wait(t); status != 503 || !strings.Contains(reason, "--queue-limit") {
		t.Errorf("the third got %d %q", status, reason)
	}
	free.raise()
	for _, a := range []*answer{running, queued} {
		if status, _ := a.wait(t); status != 200 {
			t.Errorf("%s got %d", a.Line, status)
		}
	}
}

func TestThoseWhoWaitedForTheStartAreNotTurnedAway(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 1, Rush: true})
	free := newFlag(t)
	waiting := []*answer{ask(p, "GET", "/hold", string(free))}
	for range 20 {
		waiting = append(waiting, ask(p, "GET", "/pid", ""))
	}
	free.raise()
	for _, a := range waiting {
		if status, reason := a.wait(t); status != 200 {
			t.Errorf("%s got %d %q", a.Line, status, reason)
		}
	}
	// After that the limit counts again.
	time.Sleep(rushTime)
	free = newFlag(t)
	waiting = []*answer{ask(p, "GET", "/hold", string(free)), ask(p, "GET", "/pid", "")}
	if status, reason := ask(p, "GET", "/pid", "").wait(t); status != 503 || !strings.Contains(reason, "--queue-limit") {
		t.Errorf("one too many got %d %q", status, reason)
	}
	free.raise()
	for _, a := range waiting {
		a.wait(t)
	}
}

func TestARequestWaitsNoLongerThanTheQueueTimeout(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10, QueueTimeout: 100 * time.Millisecond})
	free := newFlag(t)
	running := ask(p, "GET", "/hold", string(free))
	if status, reason := ask(p, "GET", "/pid", "").wait(t); status != 503 || !strings.Contains(reason, "--queue-timeout") {
		t.Errorf("the second got %d %q", status, reason)
	}
	free.raise()
	running.wait(t)
}

func TestAWithdrawnRequestIsNeverRun(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	free, ran := newFlag(t), newFlag(t)
	running := ask(p, "GET", "/hold", string(free))
	queued := ask(p, "GET", "/die-once", string(ran)) // leaves a trace when it runs
	if !p.Withdraw(&queued.Request) {
		t.Fatal("it was not in the queue")
	}
	if p.Withdraw(&queued.Request) {
		t.Error("it could be withdrawn twice")
	}
	free.raise()
	running.wait(t)
	ask(p, "GET", "/pid", "").wait(t)
	if _, err := os.Stat(string(ran)); err == nil {
		t.Error("it ran all the same")
	}
}

func TestAStuckRequestGets504AndItsWorkerIsReplaced(t *testing.T) {
	p, log := testPool(t, Config{Workers: 1, Threads: 2, QueueLimit: 10, RequestTimeout: 200 * time.Millisecond, DrainTimeout: 10 * time.Second})
	_, before := ask(p, "GET", "/pid", "").wait(t)
	if status, reason := ask(p, "GET", "/hold", "/never").wait(t); status != 504 || !strings.Contains(reason, "--request-timeout") {
		t.Errorf("the stuck request got %d %q", status, reason)
	}
	eventually(t, "another worker serves", func() bool {
		status, after := ask(p, "GET", "/pid", "").wait(t)
		return status == 200 && after != before
	})
	eventually(t, "the log says which, where and how long", func() bool {
		text := log.text()
		return strings.Contains(text, "GET /hold has run for 0.") && strings.Contains(text, "config.ru:5") && strings.Contains(text, "retired: stuck")
	})
}

func TestARepeatableRequestSurvivesItsWorker(t *testing.T) {
	p, log := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 10})
	once := filepath.Join(t.TempDir(), "once")
	if status, body := ask(p, "GET", "/die-once", once).wait(t); status != 200 || body != "second time" {
		t.Errorf("it got %d %q", status, body)
	}
	eventually(t, "the log says who died, how, and holding what", func() bool {
		return strings.Contains(log.text(), "was killed by SIGKILL") && strings.Contains(log.text(), "holding 1 request: GET /die-once")
	})
	eventually(t, "two workers serve again", func() bool { return p.Stats().Ready == 2 })
}

func TestARequestIsRepeatedOnceOnly(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 10})
	if status, _ := ask(p, "GET", "/die", "").wait(t); status != 502 {
		t.Errorf("it got %d", status)
	}
}

func TestRequestsSurviveTheDeathOfAllWorkersAtOnce(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 10})
	free := newFlag(t)
	held := []*answer{ask(p, "GET", "/hold", string(free)), ask(p, "GET", "/hold", string(free))}
	eventually(t, "both workers are busy", func() bool { return p.Stats().Held == 2 })
	for _, pid := range p.Stats().PIDs {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	free.raise()
	for _, a := range held {
		if status, body := a.wait(t); status != 200 {
			t.Errorf("it got %d %q", status, body)
		}
	}
}

func TestARequestThatMayNotBeRepeatedGets502(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 10})
	once := filepath.Join(t.TempDir(), "once")
	if status, reason := ask(p, "POST", "/die-once", once).wait(t); status != 502 || !strings.Contains(reason, "died") {
		t.Errorf("it got %d %q", status, reason)
	}
}

func TestRequestsWaitWhileNoWorkerLives(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	syscall.Kill(p.Stats().PIDs[0], syscall.SIGKILL)
	if status, _ := ask(p, "GET", "/pid", "").wait(t); status != 200 {
		t.Errorf("it got %d", status)
	}
}

func TestAWorkerThatIsToldToStopIsReplacedFirst(t *testing.T) {
	p, log := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	old := p.Stats().PIDs[0]
	syscall.Kill(old, syscall.SIGTERM)
	eventually(t, "another one serves", func() bool {
		status, body := ask(p, "GET", "/pid", "").wait(t)
		if status != 200 {
			t.Errorf("meanwhile a request got %d %q", status, body)
		}
		return body != fmt.Sprint(old)
	})
	eventually(t, "the log says why", func() bool { return strings.Contains(log.text(), "a TERM of its own") })
}

func TestABodyFileReachesTheApp(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	for _, queue := range []bool{false, true} {
		body, err := os.CreateTemp(t.TempDir(), "body")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		body.Write(make([]byte, 100_000))
		body.Seek(0, 0)
		free := newFlag(t)
		if queue {
			ask(p, "GET", "/hold", string(free))
		}
		a := &answer{done: make(chan struct{})}
		a.Start()
		a.Add(method, []byte("POST"))
		a.Add(path, []byte("/size"))
		a.Finish(keys, nil, true)
		a.Line, a.Responder, a.Body = []byte("POST /size"), a, body
		p.Dispatch(&a.Request)
		free.raise()
		if status, size := a.wait(t); status != 200 || size != "100000" {
			t.Errorf("queued %v: it got %d, %s bytes", queue, status, size)
		}
	}
}

func TestShutdownKillsWhatDoesNotEnd(t *testing.T) {
	p, log := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	stuck := ask(p, "GET", "/hold", "/never")
	eventually(t, "it runs", func() bool { return p.Stats().Held == 1 })
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	p.Shutdown(ctx)
	if status, _ := stuck.wait(t); status != 502 {
		t.Errorf("the request got %d", status)
	}
	if !strings.Contains(log.text(), "holding 1 request: GET /hold") {
		t.Errorf("the log says %s", log.text())
	}
	if status, _ := ask(p, "GET", "/pid", "").wait(t); status != 503 {
		t.Errorf("a request after the end got %d", status)
	}
}

func TestAnAppThatDoesNotLoadEndsTheStart(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "config.ru"), []byte("NoSuchThing\n"), 0o600)
	script, _ := filepath.Abs("../../ruby/lib/serval/worker.rb")
	p := New(Config{Workers: 2, Threads: 1, Log: &testLog{}, Launch: func(index int, h worker.Handler) (*worker.Worker, error) {
		return worker.Start(worker.Config{
			Ruby: "ruby", Script: script, Dir: dir, Env: os.Environ(), Index: index, Stdout: os.Stdout, Stderr: os.Stderr,
			Settings: []string{"rackup=" + filepath.Join(dir, "config.ru")},
		}, h)
	}})
	err := p.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "NoSuchThing") || !strings.Contains(err.Error(), "config.ru:1") {
		t.Errorf("the error is %v", err)
	}
	if s := p.Stats(); len(s.PIDs) > 0 {
		t.Errorf("workers %v are left", s.PIDs)
	}
}

func TestAMissingRubyIsSaid(t *testing.T) {
	p := New(Config{Workers: 1, Threads: 1, Log: &testLog{}, Launch: func(index int, h worker.Handler) (*worker.Worker, error) {
		return worker.Start(worker.Config{Ruby: "no-such-ruby", Script: "x", Dir: t.TempDir(), Stdout: os.Stdout, Stderr: os.Stderr}, h)
	}})
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--ruby") {
		t.Errorf("the error is %v", err)
	}
}

func TestBesideOthersThatServeTheFirstWorkersBootAFewAtATime(t *testing.T) {
	rackup := filepath.Join(t.TempDir(), "config.ru")
	if err := os.WriteFile(rackup, []byte(testApp), 0o600); err != nil {
		t.Fatal(err)
	}
	var p *Pool
	var mu sync.Mutex
	started := 0
	launch := launcher(t, rackup, 1)
	p = New(Config{Workers: gently() + 2, Threads: 1, QueueLimit: 1, BootTimeout: time.Minute, Beside: true, Log: &testLog{},
		Launch: func(index int, h worker.Handler) (*worker.Worker, error) {
			ready := p.Stats().Ready
			mu.Lock()
			started++
			if booting := started - ready; booting > gently() {
				t.Errorf("%d boot at the same time", booting)
			}
			mu.Unlock()
			return launch(index, h)
		}})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	p.Shutdown(ctx)
	if started != gently()+2 {
		t.Errorf("%d workers were started", started)
	}
}
