package test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// chaosTime is how long a test makes trouble.
const chaosTime = 4 * time.Second

// dialPolitely connects, and gives no test failure when the server is at its end.
func dialPolitely(t *testing.T, addr string) *testkit.Client {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil
	}
	return testkit.NewClient(t, conn)
}

func TestNoResponseReachesTheWrongClientWhileWorkersDie(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "-w", "3", "-t", "3")
	deadline := time.Now().Add(chaosTime)
	var clients sync.WaitGroup
	var served, failed atomic.Int64
	for i := range 12 {
		clients.Go(func() {
			c := s.Dial()
			for j := 0; time.Now().Before(deadline); j++ {
				body := strings.Repeat(fmt.Sprintf("%d-%d ", i, j), 1+(i*j)%20_000)
				method := []string{"POST", "GET"}[j%2]
				c.Send(testkit.Request(method, "/body", body))
				r, err := c.TryResponse(method)
				switch {
				case err != nil:
					c = s.Dial() // cut in mid-response
				case r.Status == 200 && r.Body == body:
					served.Add(1)
				case r.Status == 502 || r.Status == 503:
					failed.Add(1)
				default:
					t.Errorf("%s of %.20q… got a %d with %.60q…", method, body, r.Status, r.Body)
					return
				}
			}
		})
	}
	kills := 0
	for time.Now().Before(deadline) {
		workers := s.Workers()
		if len(workers) == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		w := workers[rand.IntN(len(workers))]
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[kills%2]
		if err := syscall.Kill(w.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
		kills++
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	}
	clients.Wait()
	if served.Load() == 0 {
		t.Errorf("%d requests were served, %d failed, %d signals were sent", served.Load(), failed.Load(), kills)
	}
	testkit.WaitFor(t, "it serves again", func() bool { return s.Do("POST", "/body", "after").Body == "after" })
}

// mischief is what a client may do, one line each. All of it is to be survived.
var mischief = []func(c *testkit.Client){
	func(c *testkit.Client) { ask(c, "GET", "/slow/fast", "") },
	func(c *testkit.Client) { ask(c, "GET", "/slow/sleep?s=0.02", "") },
	func(c *testkit.Client) { ask(c, "POST", "/echo/body", "a body") },
	func(c *testkit.Client) { ask(c, "POST", "/echo/digest", strings.Repeat("x", 200_000)) },
	func(c *testkit.Client) { ask(c, "GET", "/bodies/each", "") },
	func(c *testkit.Client) { ask(c, "GET", "/bodies/generate?kb=700", "") },
	func(c *testkit.Client) { ask(c, "GET", "/bodies/file", "") },
	func(c *testkit.Client) { ask(c, "GET", "/errors/raise", "") },
	func(c *testkit.Client) { ask(c, "GET", "/errors/raise-late", "") },
	func(c *testkit.Client) { ask(c, "GET", "/errors/kill-thread", "") },
	func(c *testkit.Client) { ask(c, "GET", "/errors/exit", "") },
	func(c *testkit.Client) { ask(c, "GET", "/hooks/hooks", "") },
	func(c *testkit.Client) { ask(c, "GET", "/hints/twice", "") },
	func(c *testkit.Client) { ask(c, "GET", "/rack3/call-slowly", "") },
	func(c *testkit.Client) { ask(c, "GET", "/slow/block", "") },
	func(c *testkit.Client) {
		io.WriteString(c.Conn, testkit.Request("GET", "/slow/block-later", ""))
		c.Reset()
	},
	func(c *testkit.Client) {
		io.WriteString(c.Conn, testkit.Request("GET", "/slow/sleep?s=0.1", ""))
		c.Reset()
	},
	func(c *testkit.Client) {
		io.WriteString(c.Conn, testkit.Request("GET", "/bodies/generate?mb=50", ""))
		c.Reset()
	},
	func(c *testkit.Client) {
		io.WriteString(c.Conn, testkit.Request("GET", "/bodies/string?mb=5", ""))
		c.Close()
	},
	func(c *testkit.Client) {
		io.WriteString(c.Conn, testkit.Request("GET", "/hijack/full", "")+"hello\nbye\n")
		c.Rest()
	},
	func(c *testkit.Client) {
		io.WriteString(c.Conn, testkit.Request("GET", "/hijack/partial-here", ""))
		c.Reset()
	},
	func(c *testkit.Client) {
		io.WriteString(c.Conn, strings.Repeat(testkit.Request("GET", "/slow/fast", ""), 50))
		c.Close()
	},
	func(c *testkit.Client) {
		io.WriteString(c.Conn, "POST /echo/body HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nx")
		c.Reset()
	},
	func(c *testkit.Client) { io.WriteString(c.Conn, "\x16\x03\x01"); c.TryResponse("GET") },
	func(c *testkit.Client) { io.WriteString(c.Conn, "GET /slow/fast HTTP/1.0\r\n\r\nmore"); c.Rest() },
}

// ask makes a request whose response may be anything.
func ask(c *testkit.Client, method, path, body string) {
	io.WriteString(c.Conn, testkit.Request(method, path, body)) //nolint:errcheck // it may be cut off at any moment
	for {
		if r, err := c.TryResponse(method); err != nil || r.Status != 103 {
			return
		}
	}
}

// misbehave runs so many clients until the deadline.
func misbehave(t *testing.T, s *testkit.Server, clients int, deadline time.Time) *sync.WaitGroup {
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for time.Now().Before(deadline) {
				if c := dialPolitely(t, s.Addr()); c != nil {
					mischief[rand.IntN(len(mischief))](c)
					c.Close()
				}
			}
		})
	}
	return &running
}

func TestAServerSurvivesAllMischiefAtOnce(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "all", "-w", "2", "-t", "4", "--early-hints", "--request-timeout", "1", "--queue-timeout", "2",
		"--write-timeout", "1", "--header-timeout", "1", "--shutdown-timeout", "3", "--queue-limit", "50")
	before := len(testkit.Descriptors(t, s.PID))
	misbehave(t, s, 24, time.Now().Add(chaosTime)).Wait()
	testkit.WaitFor(t, "it serves as before", func() bool { return s.Get("/slow/fast").Status == 200 })
	testkit.WaitFor(t, fmt.Sprintf("it has its %d descriptors again", before), func() bool {
		return len(testkit.Descriptors(t, s.PID)) <= before
	})
}

func TestAShutdownInTheMiddleOfMischiefIsClean(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := testkit.Start(t, "all", "-w", "2", "-t", "3", "--request-timeout", "1", "--shutdown-timeout", "2")
		running := misbehave(t, s, 16, time.Now().Add(chaosTime))
		time.Sleep(chaosTime / 4)
		took(t, "the end", func() {
			s.Signal(sig.(syscall.Signal))
			s.Exit()
		})
		running.Wait()
	}
}
