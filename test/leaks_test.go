package test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// noLeak does something often and checks that front and worker have no more descriptors than before.
func noLeak(t *testing.T, s *testkit.Server, do func()) {
	t.Helper()
	counted := map[string]int{"front": s.PID, "worker": s.Worker().PID}
	do() // what is opened once may stay open
	before := map[string][]string{}
	for name, pid := range counted {
		testkit.WaitFor(t, "the "+name+" is at rest", func() bool {
			now := testkit.Descriptors(t, pid)
			same := len(now) == len(before[name])
			before[name] = now
			return same
		})
	}
	do()
	for name, pid := range counted {
		var now []string
		testkit.WaitFor(t, fmt.Sprintf("the %s closes what it opened: %d descriptors before", name, len(before[name])), func() bool {
			now = testkit.Descriptors(t, pid)
			if len(now) <= len(before[name]) {
				return true
			}
			slices.Sort(now)
			return false
		})
	}
}

// each runs do for so many clients, a few at a time.
func each(t *testing.T, s *testkit.Server, clients int, do func(c *testkit.Client)) {
	t.Helper()
	turns := make(chan struct{}, clients)
	for range clients {
		turns <- struct{}{}
	}
	close(turns)
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for range turns {
				c := s.Dial()
				do(c)
				c.Close()
			}
		})
	}
	running.Wait()
}

func TestConnectionsLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for name, do := range map[string]func(c *testkit.Client){
		"requests": func(c *testkit.Client) {
			for range 3 {
				c.Send(testkit.Request("GET", "/one", ""))
				c.TryResponse("GET")
			}
		},
		"nothing sent":            func(*testkit.Client) {},
		"resets":                  (*testkit.Client).Reset,
		"half a head":             func(c *testkit.Client) { c.Send("GET / HT") },
		"half a body":             func(c *testkit.Client) { c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx") },
		"nonsense":                func(c *testkit.Client) { c.Send("\x00\x01\x02\r\n\r\n"); c.TryResponse("GET") },
		"responses nobody reads":  func(c *testkit.Client) { c.Send(testkit.Request("GET", "/string?mb=1", "")) },
		"files":                   func(c *testkit.Client) { c.Send(testkit.Request("GET", "/file", "")); c.TryResponse("GET") },
		"files nobody reads":      func(c *testkit.Client) { c.Send(testkit.Request("GET", "/file", "")); c.Reset() },
		"streams":                 func(c *testkit.Client) { c.Send(testkit.Request("GET", "/generate?kb=600", "")); c.TryResponse("GET") },
		"streams that are left":   func(c *testkit.Client) { c.Send(testkit.Request("GET", "/generate?mb=4", "")); c.Head(); c.Reset() },
		"closes by the server":    func(c *testkit.Client) { c.Send("GET /one HTTP/1.0\r\n\r\n"); c.TryResponse("GET") },
		"pipelines that are left": func(c *testkit.Client) { c.Send(strings.Repeat(testkit.Request("GET", "/each", ""), 20)); c.Reset() },
		"crossed closes": func(c *testkit.Client) { // more bytes arrive while the server closes
			c.Send(testkit.Request("GET", "/one", "", "Connection: close"))
			fmt.Fprint(c.Conn, "more")
			c.TryResponse("GET")
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t, s, func() { each(t, s, 300, do) })
		})
	}
	if r := s.Get("/one"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestUploadsLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	body := strings.Repeat("x", 200_000) // a file
	for name, do := range map[string]func(c *testkit.Client){
		"read":   func(c *testkit.Client) { c.Send(testkit.Request("POST", "/digest", body)); c.TryResponse("POST") },
		"unread": func(c *testkit.Client) { c.Send(testkit.Request("POST", "/unread", body)); c.TryResponse("POST") },
		"left":   func(c *testkit.Client) { c.Send(testkit.Request("POST", "/digest", body)); c.Reset() },
		"broken off": func(c *testkit.Client) {
			c.Send("POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + body)
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t, s, func() { each(t, s, 200, do) })
		})
	}
}

func TestHijacksLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack")
	for _, path := range []string{"/full", "/partial", "/full-here", "/full-then-raise", "/partial-raise", "/partial-length"} {
		t.Run(path, func(t *testing.T) {
			noLeak(t, s, func() {
				each(t, s, 100, func(c *testkit.Client) {
					c.Send(testkit.Request("GET", path, "") + "bye\n")
					c.Rest()
				})
				each(t, s, 100, func(c *testkit.Client) {
					c.Send(testkit.Request("GET", path, ""))
					c.Reset()
				})
			})
		})
	}
}

func TestAClientThatDoesNotCloseIsLetGo(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	before := len(testkit.Descriptors(t, s.PID))
	for _, raw := range []string{
		testkit.Request("GET", "/connection-close", ""),
		testkit.Request("GET", "/one", "", "Connection: close"),
		"GET /each HTTP/1.0\r\n\r\n",
		"nonsense\r\n\r\n",
	} {
		c := s.Dial()
		c.Send(raw)
		c.Rest() // to the end; but the client's side stays open
	}
	testkit.WaitFor(t, "the front has let go of them", func() bool { return len(testkit.Descriptors(t, s.PID)) <= before })
}

func TestReplacedWorkersLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow")
	replace := func() {
		old := s.Worker()
		kill(t, old, syscall.SIGTERM)
		s.AwaitLog(fmt.Sprintf("(PID: %d) retired", old.PID))
	}
	replace()
	before := len(testkit.Descriptors(t, s.PID))
	for range 5 {
		replace()
	}
	testkit.WaitFor(t, "the front has as many descriptors as before", func() bool { return len(testkit.Descriptors(t, s.PID)) <= before })
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	t.Parallel()
	// A SIGABRT makes Go say what every goroutine is doing.
	goroutines := func(use func(s *testkit.Server)) map[string]int {
		s := testkit.Start(t, "bodies", "--keepalive-timeout", "1", "--header-timeout", "1", "--write-timeout", "1")
		before := len(sockets(t, s.PID)) // listeners, and two to the worker
		use(s)
		testkit.WaitFor(t, "no connection is left", func() bool { return len(sockets(t, s.PID)) <= before })
		s.Signal(syscall.SIGABRT)
		s.Exit()
		count := map[string]int{}
		for _, trace := range strings.Split(s.Err.String(), "\n\n") {
			if _, made, ok := strings.Cut(trace, "created by serval/"); ok {
				name, _, _ := strings.Cut(made, " in goroutine")
				count[name]++
			}
		}
		return count
	}
	fresh := goroutines(func(*testkit.Server) {})
	used := goroutines(func(s *testkit.Server) {
		each(t, s, 200, func(c *testkit.Client) { c.Send(testkit.Request("GET", "/generate?mb=1", "")); c.Head(); c.Reset() })
		each(t, s, 200, func(c *testkit.Client) { c.Send(testkit.Request("GET", "/one", "")); c.Response("GET") })
		for range 20 {
			s.Dial().Send(testkit.Request("GET", "/string?mb=1", ""))
		}
		s.Get("/one")
		for range 20 {
			s.Dial().Send("GET / HT")
		}
	})
	if len(fresh) == 0 {
		t.Fatal("the goroutines of a fresh server were not found")
	}
	for name, n := range used {
		if n > fresh[name] {
			t.Errorf("%d goroutines made by %s are left, a fresh server has %d", n, name, fresh[name])
		}
	}
}
