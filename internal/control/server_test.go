package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is an operator that notes what it is asked for.
type recorder struct {
	mu     sync.Mutex
	calls  []string
	stats  Stats
	gate   chan struct{} // if there is one, restarts wait for it
	fail   error         // of restarts
	refork error         // why it is not available
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

func (r *recorder) noted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func (r *recorder) Stop()        { r.note("stop") }
func (r *recorder) Halt()        { r.note("halt") }
func (r *recorder) ReopenLogs()  { r.note("reopen") }
func (r *recorder) ShowThreads() { r.note("threads") }
func (r *recorder) Restart(kind Kind, report func(Event)) error {
	r.note("%s", kind)
	if r.gate != nil {
		<-r.gate
	}
	report(Event{Step: "booted", Worker: new(1), PID: 4711, Done: 1, Total: 2})
	return r.fail
}
func (r *recorder) Available(kind Kind) error {
	if kind == Refork {
		return r.refork
	}
	return nil
}
func (r *recorder) Scale(by int) error {
	r.note("scale %d", by)
	return r.fail
}
func (r *recorder) Stats() Stats { return r.stats }
func (r *recorder) Waits() (Waits, int) {
	return Waits{LastMinute: Percentiles{Count: 3, P50: 1500 * time.Microsecond}}, 7
}
func (r *recorder) Memory(pid int) int64 { return int64(pid) * 1000 }
func (r *recorder) Ask(what string, _ time.Duration) []Answer {
	r.note("ask %s", what)
	switch what {
	case "gc-stats":
		return []Answer{{Index: 0, PID: 10, JSON: `{"count":3,"kind":"x"}`}, {Index: 1, PID: 11, JSON: `{"count":4}`}}
	case "backtraces":
		return []Answer{{Index: 0, PID: 10, JSON: `[{"name":"main","backtrace":["a:1","b:2"]}]`}, {Index: 1, PID: 11, JSON: `[{"name":"thread","backtrace":[]}]`}}
	}
	return []Answer{{JSON: `{ "status": "ok" }`}}
}

// serving starts a server for r on a unix socket and returns its address.
func serving(t *testing.T, r Operator, access Access) (*Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := New(r)
	s.Serve(l, access)
	t.Cleanup(s.Close)
	return s, "unix://" + path
}

// raw sends a request as it stands and returns status, content type and body.
func raw(t *testing.T, address, target string) (status int, kind, body string) {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", target) // all that pumactl sends
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	fmt.Sscanf(head, "HTTP/1.0 %d", &status) //nolint:errcheck // 0 shows
	for line := range strings.SplitSeq(head, "\r\n") {
		if value, ok := strings.CutPrefix(line, "Content-Type: "); ok {
			kind = value
		}
	}
	return status, kind, body
}

func TestAnswersAreThoseOfPuma(t *testing.T) {
	const okBody = `{ "status": "ok" }`
	for _, c := range []struct {
		target string
		status int
		kind   string
		body   string
		does   string
	}{
		{"/stop", 200, "application/json", okBody, "stop"},
		{"/halt", 200, "application/json", okBody, "halt"},
		{"/restart", 200, "application/json", okBody, "restart"},
		{"/phased-restart", 200, "application/json", okBody, "phased-restart"},
		{"/refork", 404, "application/json", `{ "error": "refork not available" }`, ""},
		{"/reload-worker-directory", 404, "application/json", `{ "error": "reload_worker_directory not available" }`, ""},
		{"/gc", 200, "application/json", okBody, "ask gc"},
		{"/any/where/gc", 200, "application/json", okBody, "ask gc"},
		{"/worker-count-up", 200, "application/json", okBody, "scale 1"},
		{"/worker-count-down", 200, "application/json", okBody, "scale -1"},
		{"/reopen-log", 200, "application/json", okBody, "reopen"},
		{"/gc-stats", 200, "application/json", `{"count":7,"workers":[{"index":0,"pid":10,"gc":{"count":3}},{"index":1,"pid":11,"gc":{"count":4}}]}`, "ask gc-stats"},
		{"/thread-backtraces", 200, "application/json", `[{"name":"Worker 0 (PID: 10): main","backtrace":["a:1","b:2"]},{"name":"Worker 1 (PID: 11): thread","backtrace":[]}]`, "ask backtraces"},
		{"/start", 404, "text/plain", "Unsupported action", ""},
		{"/", 404, "text/plain", "Unsupported action", ""},
		{"/stats/", 404, "text/plain", "Unsupported action", ""},
	} {
		r := &recorder{refork: errors.New("not with this configuration")}
		s, address := serving(t, r, Access{})
		status, kind, body := raw(t, address, c.target)
		s.Close() // and wait
		if status != c.status || kind != c.kind || body != c.body {
			t.Errorf("%s: %d %s %s", c.target, status, kind, body)
		}
		if got := strings.Join(r.noted(), ", "); got != c.does {
			t.Errorf("%s does %q, want %q", c.target, got, c.does)
		}
	}
}

func TestWithoutTheTokenNobodyGetsIn(t *testing.T) {
	_, address := serving(t, &recorder{}, Access{Token: "se+cret"})
	for query, want := range map[string]int{
		"?token=se+cret": 200, "?a=b&token=se+cret": 200, "?token=se+cret;a": 200, "?token=x&token=se+cret": 200,
		"": 403, "?": 403, "?token=": 403, "?token=se+cre": 403, "?token=se+crett": 403, "?TOKEN=se+cret": 403,
		"?token=se%2Bcret": 403, "?xtoken=se+cret": 403, "?token=se+cret=": 403,
	} {
		if status, _, body := raw(t, address, "/gc"+query); status != want || want == 403 && body != "Invalid auth token" {
			t.Errorf("%q: %d %s, want %d", query, status, body, want)
		}
	}
}

func TestDataOnlyChangesNothing(t *testing.T) {
	r := &recorder{}
	_, address := serving(t, r, Access{DataOnly: true})
	for _, command := range []string{"stop", "halt", "restart", "phased-restart", "refork", "gc", "thread-backtraces", "worker-count-up", "reopen-log"} {
		if status, kind, body := raw(t, address, "/"+command); status != 404 || kind != "text/plain" || body != `Command "`+command+`" unavailable` {
			t.Errorf("%s: %d %s %s", command, status, kind, body)
		}
	}
	for _, command := range []string{"stats", "gc-stats"} {
		if status, _, _ := raw(t, address, "/"+command); status != 200 {
			t.Errorf("%s: %d", command, status)
		}
	}
	if got := r.noted(); !slices.Equal(got, []string{"ask gc-stats"}) {
		t.Errorf("it did %q", got)
	}
}

func TestWhoWaitsHearsOfEveryStep(t *testing.T) {
	r := &recorder{}
	_, address := serving(t, r, Access{Token: "t"})
	status, kind, body := raw(t, address, "/restart?token=t&wait=1")
	want := `{"event":"booted","worker":1,"pid":4711,"done":1,"total":2}` + "\n" + `{"event":"ok"}` + "\n"
	if status != 200 || kind != "application/x-ndjson" || body != want {
		t.Errorf("%d %s\n%s", status, kind, body)
	}
	c, err := Dial(address, "t")
	if err != nil {
		t.Fatal(err)
	}
	r.fail = errors.New("the app did not boot:\nno such file")
	var steps []string
	done, err := c.Watch(t.Context(), "restart", func(e Event) { steps = append(steps, e.Step) })
	if !done || err == nil || err.Error() != r.fail.Error() || !slices.Equal(steps, []string{"booted", "failed"}) {
		t.Errorf("%v after %q: %v", done, steps, err)
	}
	r.refork = errors.New("only with preload_app!")
	if _, err := c.Do(t.Context(), "refork"); err == nil || !strings.Contains(err.Error(), "refork not available") {
		t.Errorf("refork: %v", err)
	}
}

func TestRestartsThatWaitForTheirTurnAreOne(t *testing.T) {
	r := &recorder{gate: make(chan struct{})}
	_, address := serving(t, r, Access{})
	raw(t, address, "/restart")
	eventually(t, "the first restart runs", func() bool { return len(r.noted()) == 1 })
	for range 5 {
		raw(t, address, "/restart")
	}
	close(r.gate)
	if _, _, body := raw(t, address, "/restart?wait=1"); !strings.HasSuffix(body, `{"event":"ok"}`+"\n") {
		t.Errorf("the last one: %s", body)
	}
	if n := len(r.noted()); n < 2 || n > 3 {
		t.Errorf("there were %d restarts", n)
	}
}

func TestTheEndIsAwaited(t *testing.T) {
	r := &recorder{stats: Stats{Queued: 2, Workers: []Worker{{Held: 1}, {Held: 3}}}}
	s, address := serving(t, r, Access{})
	c, err := Dial(address, "")
	if err != nil {
		t.Fatal(err)
	}
	var first sync.Once
	var steps []Event
	done, err := c.Watch(t.Context(), "stop", func(e Event) {
		steps = append(steps, e)
		first.Do(func() { go s.Close() })
	})
	if !done || err != nil || len(steps) != 2 || steps[0] != (Event{Step: "draining", Held: 4, Queued: 2, Total: 2}) || steps[1].Step != "ok" {
		t.Errorf("%v %v: %+v", done, err, steps)
	}
}

func TestWhoLeavesWhileWaitingStopsNothing(t *testing.T) {
	r := &recorder{gate: make(chan struct{})}
	_, address := serving(t, r, Access{})
	c, err := Dial(address, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, "the restart runs", func() bool { return len(r.noted()) == 1 })
		cancel()
	}()
	if _, err := c.Watch(ctx, "restart", func(Event) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(r.gate)
	if _, err := c.Do(t.Context(), "gc"); err != nil {
		t.Error(err)
	}
}

func TestUnreachableServersAreNamedInASentence(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for address, want := range map[string]string{
		"unix://" + dir + "/none": "there is no socket at unix://" + dir + "/none: is the server running?",
		"unix://" + dead:          "nobody listens at unix://" + dead + ": is the server running?",
		"tcp://127.0.0.1":         "the control URL tcp://127.0.0.1 has no port: write tcp://HOST:PORT",
		"ssl://127.0.0.1":         "the control URL ssl://127.0.0.1 has no port: write ssl://HOST:PORT",
		"/run/x":                  `the control URL "/run/x" is not understood: write tcp://HOST:PORT, ssl://HOST:PORT or unix:///PATH`,
		"unix://":                 "the control URL unix:// has no path: write unix:///PATH",
	} {
		c, err := Dial(address, "")
		if err == nil {
			_, err = c.Do(t.Context(), "stats")
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAPrivateSocketIsFoundByThePIDAlone(t *testing.T) {
	l, err := ListenPrivate()
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{stats: Stats{PID: 99}}
	s := New(r)
	s.Serve(l, Access{})
	defer s.Close()
	report, err := DialPrivate(os.Getpid()).Stats(t.Context())
	if err != nil || report.PID != 99 {
		t.Errorf("%+v: %v", report, err)
	}
	if _, err := DialPrivate(os.Getppid()).Stats(t.Context()); err == nil || !strings.Contains(err.Error(), "has no private control socket") {
		t.Errorf("of another process: %v", err)
	}
}

// Somebody else's socket with the right name is not taken for the server's.
func TestAnImpostorIsNotAsked(t *testing.T) {
	l, err := net.Listen("unix", fmt.Sprintf("%s%d/x", privatePrefix, os.Getppid()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := dialPrivate(os.Getppid()); err == nil {
		t.Error("it is talked to")
	}
}

func TestCallersPastTheLimitWait(t *testing.T) {
	r := &recorder{gate: make(chan struct{})}
	_, address := serving(t, r, Access{})
	var conns []net.Conn
	for range maxCallers {
		conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	answered := make(chan int)
	go func() {
		status, _, _ := raw(t, address, "/gc")
		answered <- status
	}()
	select {
	case <-answered:
		t.Error("one more got in")
	case <-time.After(50 * time.Millisecond):
	}
	for _, conn := range conns {
		conn.Close()
	}
	if status := <-answered; status != http.StatusOK {
		t.Errorf("then: %d", status)
	}
	close(r.gate)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("it did not come about that %s", what)
			return
		}
	}
}

func decode(t *testing.T, text string) (value map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}
