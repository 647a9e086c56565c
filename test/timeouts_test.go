package test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"serval/internal/testkit"
)

// soon is a generous bound for what should happen within about a second.
const soon = 8 * time.Second

func took(t *testing.T, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if d := time.Since(began); d > soon {
		t.Errorf("%s took %s", what, d)
	}
}

func TestARequestHeadHasADeadline(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello", "--header-timeout", "1")
	half := s.Dial()
	half.Send("GET / HTTP/1.1\r\nHost:")
	silent := s.Dial()
	trickling := s.Dial()
	go func() { // bytes that keep coming do not move the deadline
		for i := range 100 {
			if _, err := fmt.Fprintf(trickling.Conn, "%.1s", "GET / HTTP/1.1\r\nX-Trickle: "+strings.Repeat("x", 100)[i:]); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	took(t, "ending a silent client", silent.End)
	took(t, "refusing half a head", func() { refusedWith(t, half, 408) })
	took(t, "refusing a trickle", func() {
		if r, err := trickling.TryResponse("GET"); err != nil || r.Status != 408 && r.Status != 400 && r.Status != 501 {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

func TestARequestBodyHasADeadline(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "--body-timeout", "1")
	counted := s.Dial()
	counted.Send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	inChunks := s.Dial()
	inChunks.Send(chunkedPost("4\r\nhalf\r\n"))
	expecting := s.Dial()
	expecting.Send("POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	expecting.Head()
	for _, c := range []*testkit.Client{counted, inChunks, expecting} {
		took(t, "refusing half a body", func() { refusedWith(t, c, 408) })
	}
}

func TestABodyThatComesTooSlowlyIsRefused(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "--min-body-rate", "1K")
	slow, quick := s.Dial(), s.Dial()
	for _, c := range []*testkit.Client{slow, quick} {
		c.Send("POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
	}
	refused := make(chan *testkit.Response)
	go func() {
		r, _ := slow.TryResponse("POST")
		refused <- r
	}()
	sent := 0
	for began := time.Now(); time.Since(began) < testkit.Patience; time.Sleep(250 * time.Millisecond) {
		io.WriteString(slow.Conn, strings.Repeat("x", 100)) // 400 bytes a second; fails once it is refused
		quick.Send(strings.Repeat("x", 1000))               // 4000
		sent += 1000
		select {
		case r := <-refused:
			if r == nil || r.Status != 408 || time.Since(began) < 15*time.Second {
				t.Errorf("the slow body got %+v after %s", r, time.Since(began))
			}
			quick.Send(strings.Repeat("x", 1000000-sent))
			if r := quick.Response("POST"); r.Status != 200 {
				t.Errorf("the quick body got %+v", r)
			}
			return
		default:
		}
	}
	t.Error("the slow body was not refused")
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello", "--keepalive-timeout", "1")
	c := s.Dial()
	for range 2 {
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Close {
			t.Errorf("got %+v", r)
		}
	}
	took(t, "closing an idle connection", c.End)

	never := testkit.Start(t, "hello", "--keepalive-timeout", "0")
	c = never.Dial()
	c.Send(testkit.Request("GET", "/", ""))
	if r := c.Response("GET"); !r.Close {
		t.Errorf("without keep-alive: got %+v", r)
	}
	c.End()
}

func TestAClientThatTakesNothingIsCutOff(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies", "--write-timeout", "1", "-t", "1")
	for _, path := range []string{"/generate?mb=100&tag=cut", "/string?mb=100"} {
		c := s.Dial()
		c.Send(testkit.Request("GET", path, ""))
		c.Head()
		if strings.Contains(path, "tag") {
			took(t, "closing the body", func() { awaitClosed(t, s, "cut") })
		}
		time.Sleep(3 * time.Second) // a client that reads at last: too late
		if rest, err := c.Rest(); len(rest) > 90<<20 || err != nil {
			t.Errorf("%s: it was not cut off: %d bytes, %v", path, len(rest), err)
		}
	}
}

func TestASlowButSteadyReaderIsNotCutOff(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies", "--write-timeout", "1")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/generate?mb=8&length=1", ""))
	c.Head()
	total, buf := 0, make([]byte, 256<<10)
	for total < 8<<20 {
		n, err := io.ReadFull(c, buf)
		total += n
		if err != nil {
			t.Fatalf("it was cut off after %d bytes: %v", total, err)
		}
		time.Sleep(150 * time.Millisecond) // 5 s in all
	}
}

func TestAStuckRequestGets504AndItsWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-t", "3", "--request-timeout", "4")
	worker := s.Worker()
	began := time.Now()
	stuck := held(t, s, "GET", "/block?who=me")
	time.Sleep(time.Until(began.Add(2 * time.Second)))
	alive, open := gated(t, s, "POST")
	r := stuck.Response("GET")
	open() // after the worker was given up, two seconds before it would be stuck as well
	if r.Status != 504 || r.Close {
		t.Errorf("the stuck request got %+v", r)
	}
	took(t, "serving on another worker", func() {
		if r := s.Get("/fast"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
	})
	if r := alive.Response("POST"); r.Status != 200 {
		t.Errorf("another request in the worker got %+v", r)
	}
	line := s.AwaitLog("is stuck")
	for _, want := range []string{fmt.Sprintf("worker 0 (PID %d)", worker.PID), "GET /block?who=me has run for 4.", "--request-timeout", "504"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log does not say %q: %s", want, line)
		}
	}
	s.AwaitLog("slow.ru:") // where it is
	testkit.WaitFor(t, "the stuck worker is gone", func() bool { return !worker.Alive() })
	if now := s.Worker(); now == worker {
		t.Error("it is the same worker")
	}
}

func TestAWorkerWhoseInterpreterStandsStillIsReplaced(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "--request-timeout", "1")
	worker := s.Worker()
	worker.Freeze(t)
	if r := s.Get("/fast"); r.Status != 504 {
		t.Errorf("got %+v", r)
	}
	s.AwaitLog("the worker did not say where")
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
	testkit.WaitFor(t, "the worker is gone", func() bool { return !worker.Alive() })
}

func TestTheRequestTimeoutIsForTheBeginOfTheResponse(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies", "--request-timeout", "1")
	if r := s.Get("/delayed?n=3&s=1"); r.Body != "part 0\npart 1\npart 2\n" {
		t.Errorf("got %+v", r)
	}
	if s.Logged("is stuck") {
		t.Error("it counted as stuck")
	}
}

func TestARequestWaitsInTheQueueOnlySoLong(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-t", "1", "--queue-timeout", "1")
	running, open := gated(t, s, "GET")
	began := time.Now()
	r := s.Get("/fast")
	if r.Status != 503 || r.Header.Get("Retry-After") == "" || time.Since(began) < 900*time.Millisecond {
		t.Errorf("got %+v after %s", r, time.Since(began))
	}
	s.AwaitLog("no thread was free for 1s (--queue-timeout)")
	open()
	if r := running.Response("GET"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestAnAppThatLoadsForTooLongEndsTheServer(t *testing.T) {
	t.Parallel()
	s := testkit.Command{App: "boot_slow", Flags: []string{"--boot-timeout", "2"}, Env: []string{"BOOT_SLEEP=1000"}}.Launch(t)
	if status := s.Exit(); status.ExitStatus() != 1 {
		t.Errorf("it ended with %v", status)
	}
	if !strings.Contains(s.Err.String(), "the app did not load within 2s (--boot-timeout)") {
		t.Errorf("standard error is %q", s.Err)
	}
}

func TestAServerWithoutRequestsEndsWhenAskedTo(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "--idle-timeout", "2")
	for range 3 { // requests keep it alive, also those that take longer
		if r := s.Get("/sleep?s=1"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
	}
	if r := s.Get("/sleep?s=3"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
	if status := s.Exit(); !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("it ended with %v", status)
	}
	s.AwaitLog("no request for 2s (--idle-timeout)")
}
