package server

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"serval/internal/dispatch"
)

// A client that takes its response slowly is not one that takes nothing. What the socket and the kernel's idea of
// when it is worth writing again make of it must not matter.
func TestASlowButSteadyReaderIsNotCut(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	file := tempFile(t, body)
	for name, answer := range map[string]func(dispatch.Responder){
		"memory": func(r dispatch.Responder) { r.Whole(200, nil, body) },
		"file":   func(r dispatch.Responder) { r.File(200, nil, file, 0, int64(len(body))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &app{handle: func(r *dispatch.Request) { answer(r.Responder) }}
			// The client takes some every 15 ms, as long as this machine lets it; the kernel finds it worth writing again once
			// a third of its buffer is free, which takes seconds.
			_, addr, _ := serving(t, Config{WriteTimeout: time.Second}, a)
			c := dial(t, addr)
			c.socket().SetReadBuffer(16 << 10)
			c.send("GET / HTTP/1.0\r\n\r\n")
			got := 0
			for began := time.Now(); time.Since(began) < 4*time.Second; time.Sleep(15 * time.Millisecond) {
				n, err := io.ReadFull(c.Conn, make([]byte, 4<<10))
				got += n
				if err != nil {
					t.Fatalf("after %d bytes, in %s: %v", got, time.Since(began), err)
				}
			}
			rest, err := io.ReadAll(c.Conn)
			if got += len(rest); err != nil || got < len(body) {
				t.Errorf("of %d bytes, %d arrived, %v", len(body), got, err)
			}
		})
	}
}

func tempFile(t *testing.T, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err == nil {
		_, err = f.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The end of the connection is the end of such a body, so a connection that is ended early has to be reset.
func TestABodyThatEndsWithItsConnectionIsNotCutSilently(t *testing.T) {
	for name, cut := range map[string]func(*Server){
		"by the write timeout": func(*Server) {},
		"by a shutdown": func(s *Server) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{handle: func(r *dispatch.Request) {
				r.Responder.Head(200, nil, make([]byte, 16<<20))
			}}
			s, addr, _ := serving(t, Config{WriteTimeout: 300 * time.Millisecond}, a)
			c := dial(t, addr)
			c.send("GET / HTTP/1.0\r\n\r\n")
			c.Peek(1)
			cut(s)
			eventually(t, "it is cut", func() bool { return s.Connections() == 0 })
			if all, err := io.ReadAll(c.Reader); err == nil {
				t.Errorf("the client takes %d bytes for the whole body", len(all))
			}
		})
	}
}

// The sweeper looks at the clock and then acts; meanwhile the next request may have begun, and has all its time.
func TestATimeoutStrikesOnlyWhatItWasMeantFor(t *testing.T) {
	s, addr, _ := serving(t, Config{}, answering())
	c := dial(t, addr)
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.response("GET")
	conn := onlyConn(t, s)
	eventually(t, "it is idle", func() bool { return conn.phase() == idle })
	before := wait(conn.wait.Load())
	for _, half := range []string{"GET /2 HTTP/1.1\r\n", "Host: a\r\nContent-Length: 4\r\n\r\n", "bo"} {
		c.send(half)
		eventually(t, "it was read", func() bool { return wait(conn.wait.Load()) != before })
		conn.endWait(before)
		time.Sleep(5 * time.Millisecond)
	}
	c.send("dy")
	if res, body := c.response("GET"); res.StatusCode != 200 || body != "body" {
		t.Errorf("it got %d %q", res.StatusCode, body)
	}
	// As the sweeper, which looks again and again: what it has seen may be over when it acts.
	eventually(t, "its time is up when it is idle", func() bool {
		if w := wait(conn.wait.Load()); w.phase() == idle {
			conn.endWait(w)
		}
		return len(s.connected()) == 0
	})
	c.closed()
}

// At the end of its patience with an idle connection, or in a shutdown, the server serves what has come by then.
func TestARequestThatCameBeforeTheTimeoutStruckIsRead(t *testing.T) {
	s, _, _ := serving(t, Config{}, answering())
	l, addr := listen(t)
	defer l.Close()
	peer := dial(t, addr)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c, err := newConn(s, nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	peer.send("GET")
	time.Sleep(5 * time.Millisecond) // it has come, and nobody has read it
	c.endWait(wait(c.wait.Load()))
	if err := c.fill(); err != nil || string(c.work.in) != "GET" {
		t.Errorf("nothing was read: %v", err)
	}
	c.enter(idle)
	c.work.in = c.work.in[:0]
	c.endWait(wait(c.wait.Load()))
	if err := c.fill(); err == nil || c.parked {
		t.Errorf("it goes on for ever: %v", err)
	}
}

func TestABodyHasToComeAtItsRate(t *testing.T) {
	const second = time.Second
	s := &Server{}
	s.Configure(Config{MinBodyRate: 1000})
	for name, test := range map[string]struct {
		bytes []int64 // that have come by each look, one a second
		slow  int     // at which look it is too slow; 0: never
	}{
		"nothing comes":              {make([]int64, 60), 20},
		"just enough":                {ramp(60, 1000), 0},
		"a little less":              {ramp(60, 999), 20},
		"all in the first second":    {flat(25, 25_000), 0},
		"a burst and nothing after":  {flat(60, 25_000), 40},
		"slow at first, fast enough": {append(flat(19, 0), ramp(30, 20_000)...), 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := &conn{}
			began := newWait(receiving, 7*second)
			slow := 0
			for i, bytes := range test.bytes {
				c.bodyRead.Store(bytes)
				if look := i + 1; s.tooSlow(c, began, 7*second+time.Duration(look)*second) && slow == 0 {
					slow = look
				}
			}
			if slow != test.slow {
				t.Errorf("it is too slow at look %d, want %d", slow, test.slow)
			}
		})
	}
}

// The next body is measured by itself, whatever the one before it was like.
func TestEachBodyHasAWindowOfItsOwn(t *testing.T) {
	s := &Server{}
	s.Configure(Config{MinBodyRate: 1000})
	c := &conn{}
	c.bodyRead.Store(1 << 30)
	s.tooSlow(c, newWait(receiving, 0), rateWindow)
	c.bodyRead.Store(20_000)
	if s.tooSlow(c, newWait(receiving, rateWindow), 2*rateWindow) {
		t.Error("the second body is too slow, measured by the first")
	}
	if s.tooSlow(c, newWait(running, 0), 10*rateWindow) {
		t.Error("a request that runs is too slow")
	}
}

func ramp(n int, step int64) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i+1) * step
	}
	return all
}

func flat(n int, value int64) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = value
	}
	return all
}

// onlyConn is the one connection there is.
func onlyConn(t *testing.T, s *Server) *conn {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) != 1 {
		t.Fatalf("there are %d connections", len(s.conns))
	}
	for c := range s.conns {
		return c
	}
	return nil
}
