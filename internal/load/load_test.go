package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const patience = time.Minute

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// shortDir is short enough for a socket's path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// served starts a server on a socket, counts its connections, and returns its address as Serval would log it.
func served(t *testing.T, network string, handler http.HandlerFunc) (url string, connections *atomic.Int32) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(shortDir(t), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	srv := httptest.NewUnstartedServer(handler)
	srv.Listener.Close()
	srv.Listener = l
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	if network == "unix" {
		return "unix://" + address, connections
	}
	return "http://" + l.Addr().String(), connections
}

func TestALoadReportsOnAServerThatAnswersEverything(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		var seen atomic.Value
		url, _ := served(t, network, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			seen.Store(r.Method + " " + r.URL.Path + " " + string(body))
		})
		l := Start(Config{URL: url, Rate: 200, Method: "POST", Path: "/echo", Body: "hello"})
		waitFor(t, "requests are answered", func() bool { return l.Served() >= 20 })
		r := l.Stop()
		if r.Sent < 20 || r.Failed != 0 || r.Resets() != 0 || r.P99 == 0 || r.Max < r.P99 || r.Silence == 0 {
			t.Errorf("%s: %s", network, r)
		}
		if seen.Load() != "POST /echo hello" {
			t.Errorf("%s: the server saw %q", network, seen.Load())
		}
	}
}

func TestAnOffsetPutsTheFirstRequestOff(t *testing.T) {
	t.Parallel()
	url, _ := served(t, "tcp", func(http.ResponseWriter, *http.Request) {})
	began := time.Now()
	l := Start(Config{URL: url, Rate: 1000, Offset: 50 * time.Millisecond})
	waitFor(t, "requests are answered", func() bool { return l.Served() >= 2 })
	l.Stop()
	if first, second := l.results[0].due, l.results[1].due; min(first.Sub(began), second.Sub(began)) < 50*time.Millisecond {
		t.Errorf("requests were due %s and %s after the start", first.Sub(began), second.Sub(began))
	}
}

func TestConnectionsAreUsedAgainOrNot(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		url, connections := served(t, "tcp", func(http.ResponseWriter, *http.Request) {})
		l := Start(Config{URL: url, Rate: 50, KeepAlive: keep})
		waitFor(t, "requests are answered", func() bool { return l.Served() >= 20 })
		r := l.Stop()
		if n := int(connections.Load()); r.Failed > 0 || keep && n >= r.Sent || !keep && n != r.Sent {
			t.Errorf("keep-alive %t: %d connections for %s", keep, n, r)
		}
	}
}

func TestALoadCountsEveryFailureByItsKind(t *testing.T) {
	t.Parallel()
	hijack := func(w http.ResponseWriter, end func(*net.TCPConn)) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		end(conn.(*net.TCPConn))
	}
	for kind, handler := range map[string]http.HandlerFunc{
		"status 503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"reset": func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, func(c *net.TCPConn) { c.SetLinger(0); c.Close() })
		},
		"closed without an answer": func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, func(c *net.TCPConn) { c.Close() })
		},
		"timeout": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"wrong":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "other") },
	} {
		url, _ := served(t, "tcp", handler)
		l := Start(Config{URL: url, Rate: 20, Timeout: time.Second, Check: func([]byte) error { return errors.New("wrong") }})
		waitFor(t, "requests fail", func() bool { return l.Between(time.Time{}, time.Time{}).Failed >= 3 })
		if r := l.Stop(); r.Kinds[kind] != r.Sent || r.Failed != r.Sent {
			t.Errorf("%s: %s", kind, r)
		}
	}
	for kind, url := range map[string]string{
		"no socket": "unix://" + filepath.Join(t.TempDir(), "none"),
		"refused":   "http://" + closedAddress(t),
	} {
		l := Start(Config{URL: url, Rate: 20})
		waitFor(t, "requests fail", func() bool { return l.Between(time.Time{}, time.Time{}).Failed >= 3 })
		if r := l.Stop(); r.Kinds[kind] != r.Sent {
			t.Errorf("%s: %s", kind, r)
		}
	}
}

func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAStalledServerDoesNotSlowTheLoadDown(t *testing.T) {
	t.Parallel()
	stalled := make(chan struct{})
	var asked atomic.Int32
	url, _ := served(t, "tcp", func(http.ResponseWriter, *http.Request) { asked.Add(1); <-stalled })
	l := Start(Config{URL: url, Rate: 100, Timeout: patience})
	began := time.Now()
	waitFor(t, "requests arrive while none is answered", func() bool { return asked.Load() >= 30 })
	took := time.Since(began)
	if l.Served() != 0 {
		t.Error("some were answered")
	}
	close(stalled)
	if r := l.Stop(); r.Failed > 0 || r.Max < took/2 {
		t.Errorf("it stalled for %s, and %s", took, r)
	}
}

func TestAReportCoversTheTimeAskedFor(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(1000 + ms)) }
	l := &Load{results: []result{
		{due: at(0), began: at(1), ended: at(5)},
		{due: at(10), began: at(10), ended: at(12), failure: "reset"},
		{due: at(20), began: at(23), ended: at(40)},
		{due: at(30), began: at(30), ended: at(31)},
	}}
	if r := l.Between(time.Time{}, time.Time{}); r.Sent != 4 || r.Failed != 1 || r.Silence != 26*time.Millisecond ||
		r.Lag != 3*time.Millisecond || r.Max != 17*time.Millisecond || r.P50 != 4*time.Millisecond {
		t.Errorf("%s", r)
	}
	if r := l.Between(at(10), at(30)); r.Sent != 2 || r.Resets() != 1 || r.Max != 17*time.Millisecond || r.Silence != 0 {
		t.Errorf("%s", r)
	}
	if r := l.Between(at(99), at(100)); r.Sent != 0 || r.String() == "" {
		t.Errorf("%s", r)
	}
}

func TestClientsOfAClosedLoopKeepTheirConnections(t *testing.T) {
	t.Parallel()
	url, connections := served(t, "tcp", func(http.ResponseWriter, *http.Request) {})
	l := Start(Config{URL: url, Clients: 3, Pause: time.Millisecond, KeepAlive: true})
	waitFor(t, "requests are answered", func() bool { return l.Served() >= 30 })
	if r := l.Stop(); r.Failed > 0 || connections.Load() > 3 || l.Dialled() != int(connections.Load()) {
		t.Errorf("%d connections, %d dialled: %s", connections.Load(), l.Dialled(), r)
	}
}

func TestWaitsAreCountedFromWhenARequestWasDue(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(1000 + ms)) }
	l := &Load{results: []result{
		{due: at(0), began: at(0), ended: at(30)}, // the one that stalls
		{due: at(10), began: at(30), ended: at(31)},
		{due: at(20), began: at(31), ended: at(32)},
		{due: at(25), began: at(32), ended: at(33), failure: "reset"},
	}}
	got := l.Between(time.Time{}, time.Time{}).Waits
	if want := []time.Duration{12 * time.Millisecond, 21 * time.Millisecond, 30 * time.Millisecond}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRandomArrivalsHaveTheRateAndAreTheSameForASeed(t *testing.T) {
	t.Parallel()
	const n = 10_000
	first := func(cfg Config) []time.Duration {
		var offsets []time.Duration
		for offset := range cfg.arrivals() {
			if offsets = append(offsets, offset); len(offsets) > n {
				break
			}
		}
		return offsets
	}
	random := first(Config{Rate: 1000, Seed: 7})
	if mean := random[n] / n; mean < 950*time.Microsecond || mean > 1050*time.Microsecond {
		t.Errorf("%s between two on average, want about 1ms", mean)
	}
	short := 0
	for i := range n {
		if random[i+1]-random[i] < 100*time.Microsecond {
			short++
		}
	}
	if share := float64(short) / n; share < 0.08 || share > 0.11 { // 1 - e^-0.1
		t.Errorf("%.3f of the gaps are under a tenth of the mean, want 0.095", share)
	}
	if !slices.Equal(random, first(Config{Rate: 1000, Seed: 7})) || slices.Equal(random, first(Config{Rate: 1000, Seed: 8})) {
		t.Error("the seed does not decide")
	}
	if even := first(Config{Rate: 1000}); even[n] != n*time.Millisecond || even[1] != time.Millisecond {
		t.Errorf("without a seed the second is due at %s, the last at %s", even[1], even[n])
	}
}

func TestASpreadLoadTakesItsConnectionsInTurn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	url, connections := served(t, "tcp", func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.RemoteAddr]++
		mu.Unlock()
	})
	l := Start(Config{URL: url, Clients: 1, KeepAlive: true, Spread: 8})
	waitFor(t, "requests are answered", func() bool { return l.Served() >= 80 })
	l.Stop()
	if connections.Load() != 8 {
		t.Errorf("%d connections were made, want 8", connections.Load())
	}
	for address, n := range asked {
		if n < 9 {
			t.Errorf("%s had %d requests of 80, want about 10", address, n)
		}
	}
}

func TestASpreadLoadMakesNoMoreConnectionsThanThat(t *testing.T) {
	t.Parallel()
	stalled := make(chan struct{})
	url, connections := served(t, "tcp", func(http.ResponseWriter, *http.Request) { <-stalled })
	l := Start(Config{URL: url, Rate: 200, KeepAlive: true, Spread: 5, Timeout: patience})
	began := time.Now()
	waitFor(t, "five arrive", func() bool { return connections.Load() == 5 })
	time.Sleep(200 * time.Millisecond) // 40 more are due
	close(stalled)
	waitFor(t, "those that waited are answered", func() bool { return l.Served() >= 30 })
	if r := l.Stop(); r.Failed > 0 || connections.Load() != 5 || r.Waits[len(r.Waits)-1] < 200*time.Millisecond {
		t.Errorf("after %s: %d connections, %s", time.Since(began), connections.Load(), r)
	}
}

func TestASpreadLoadReplacesWhatBreaks(t *testing.T) {
	t.Parallel()
	url, connections := served(t, "tcp", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	l := Start(Config{URL: url, Rate: 200, KeepAlive: true, Spread: 2})
	waitFor(t, "requests are answered", func() bool { return l.Served() >= 20 })
	if r := l.Stop(); r.Failed > 0 || int(connections.Load()) != r.Sent {
		t.Errorf("%d connections: %s", connections.Load(), r)
	}
	l = Start(Config{URL: "http://" + closedAddress(t), Rate: 200, KeepAlive: true, Spread: 2})
	waitFor(t, "requests fail", func() bool { return l.Between(time.Time{}, time.Time{}).Kinds["refused"] >= 20 })
	l.Stop()
}

func TestLoadsAreReportedOnTogether(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(1000 + ms)) }
	one := &Load{results: []result{{due: at(0), began: at(0), ended: at(5)}, {due: at(20), began: at(20), ended: at(25)}}}
	other := &Load{results: []result{{due: at(10), began: at(10), ended: at(15)}, {due: at(30), began: at(30), ended: at(31), failure: "reset"}}}
	if r := Over([]Span{{}}, one, other); r.Sent != 4 || r.Resets() != 1 || r.Silence != 10*time.Millisecond || r.Outage != 0 {
		t.Errorf("%s", r)
	}
	late := &Load{results: []result{{due: at(500), began: at(500), ended: at(600)}, {due: at(501), began: at(501), ended: at(700)}}}
	if r := Over([]Span{{at(0), at(25)}, {at(500), time.Time{}}}, one, other, late); r.Sent != 5 || r.Silence != 100*time.Millisecond || r.Outage != r.Silence {
		t.Errorf("silence between the spans counts, or that within does not: %s", r)
	}
}
