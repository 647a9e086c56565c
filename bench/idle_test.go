package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestHeldConnectionsStayOpenUntilTheServerClosesThem(t *testing.T) {
	var mu sync.Mutex
	var accepted []net.Conn
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			accepted = append(accepted, conn)
			mu.Unlock()
		}
	}
	s.Start()
	defer s.Close()
	held, err := holdConnections(t.Context(), s.Listener.Addr().String(), 40)
	defer held.close()
	if err != nil {
		t.Fatal(err)
	}
	if len(held) != 40 || held.open() != 40 {
		t.Fatalf("%d are held, %d of them open, want 40", len(held), held.open())
	}
	mu.Lock()
	for _, conn := range accepted[:3] {
		conn.Close()
	}
	mu.Unlock()
	awaitOpen(t, held, 37)
}

// awaitOpen waits until so many are open, which is soon: the close has to cross loopback.
func awaitOpen(t *testing.T, held connections, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); held.open() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are open, want %d", held.open(), want)
		}
	}
}

func TestAServerThatAnswersWithErrorsHoldsNothing(t *testing.T) {
	address := serve(t, http.NotFound)
	held, err := holdConnections(t.Context(), address, 3)
	defer held.close()
	if err == nil || len(held) != 0 {
		t.Errorf("%d are held, with the error %v", len(held), err)
	}
}

func TestTheFileLimitIsRaisedToWhatIsNeeded(t *testing.T) {
	if err := raiseFileLimit(64); err != nil {
		t.Errorf("64 files are too many: %v", err)
	}
}

func TestMemoryIsSharedOutAmongConnections(t *testing.T) {
	r := idleRun{Server: "serval", Connections: 100, Front: [2]memory{{RSS: 1000, PSS: 900}, {RSS: 1500, PSS: 1400}},
		All: [2]memory{{RSS: 9000, PSS: 5000}, {RSS: 9600, PSS: 5700}}, Without: []result{{Rate: 1000}}, With: []result{{Rate: 900}}, Open: 100}
	if r.frontGrowth() != 5 || r.growth() != 7 || r.kept() != 0.9 {
		t.Errorf("front %v, all %v, kept %v", r.frontGrowth(), r.growth(), r.kept())
	}
	want := "serval: an idle connection took 5.0 KiB in the front and 7.0 KiB in all processes; beside 100 of them it answered 0.90 times as many requests as without (900 a second)."
	if got := idleWords(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
