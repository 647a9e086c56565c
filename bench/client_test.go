package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve runs a handler and returns its address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestGettingTakesAsLongAsTheServerDoes(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		time.Sleep(20 * time.Millisecond)
		io.WriteString(w, "late")
	})
	took, err := get(t.Context(), address, "/")
	if err != nil {
		t.Fatal(err)
	}
	if took < 20*time.Millisecond {
		t.Errorf("it took %v, which leaves out the body", took)
	}
}

func TestAnAnswerThatIsNot200IsAnError(t *testing.T) {
	address := serve(t, http.NotFound)
	if _, err := get(t.Context(), address, "/"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}

func TestGettingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // the client hangs up
	})
	if _, err := get(ctx, address, "/"); err == nil {
		t.Error("it went well, although nobody answered")
	}
}

func TestEveryRequestOfEveryClientIsTimed(t *testing.T) {
	var asked atomic.Int64
	address := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	times, err := timeRequests(t.Context(), address, "/", 4, 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(times) != 20 || asked.Load() != 20 {
		t.Errorf("%d times of %d requests, want 20", len(times), asked.Load())
	}
}

func TestAFailedRequestEndsTheTiming(t *testing.T) {
	address := serve(t, http.NotFound)
	if _, err := timeRequests(t.Context(), address, "/", 2, 5); err == nil {
		t.Error("it went well")
	}
}
