package test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"serval/internal/testkit"
)

func TestOneConnectionTooManyGets503(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello", "--max-connections", "3")
	var open []*testkit.Client
	for range 3 {
		c := s.Dial()
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
		open = append(open, c)
	}
	refusedWith(t, s.Dial(), 503)
	s.AwaitLog("(--max-connections)")
	open[0].Send(testkit.Request("GET", "/", ""))
	if r := open[0].Response("GET"); r.Status != 200 {
		t.Errorf("an old connection got %+v", r)
	}
	open[1].Close()
	testkit.WaitFor(t, "there is room again", func() bool {
		c := s.Dial()
		defer c.Close()
		c.Send(testkit.Request("GET", "/", ""))
		r, err := c.TryResponse("GET")
		return err == nil && r.Status == 200
	})
}

func TestAConnectionCarriesOnlySoManyRequests(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello", "--max-keepalive", "3")
	c := s.Dial()
	for i := range 3 {
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Status != 200 || r.Close != (i == 2) {
			t.Errorf("response %d is %+v", i, r)
		}
	}
	c.End()
}

func TestThousandsOfConnectionsAreServed(t *testing.T) {
	s := testkit.Start(t, "hello", "-w", "2", "--queue-limit", "10000")
	const connections = 5000
	clients := make([]*testkit.Client, connections)
	before := testkit.PeakMemory(t, s.PID)
	for i := range clients {
		clients[i] = s.Dial()
	}
	for range 3 {
		for _, c := range clients {
			c.Send(testkit.Request("GET", "/", ""))
		}
		for i, c := range clients {
			if r, err := c.TryResponse("GET"); err != nil || r.Body != "Hello, world!\n" || r.Close {
				t.Fatalf("connection %d got %+v, %v", i, r, err)
			}
		}
	}
	most := int64(100 << 20)
	if testkit.Race {
		most *= 5
	}
	if grown := testkit.PeakMemory(t, s.PID) - before; grown > most {
		t.Errorf("%d connections cost the front %d MB", connections, grown>>20)
	}
	if open := len(testkit.Descriptors(t, s.PID)); open < connections {
		t.Errorf("the front has only %d descriptors", open)
	}
}

func TestRunningOutOfDescriptorsIsOnlyForAWhile(t *testing.T) {
	t.Parallel()
	s := testkit.Command{
		App: "hello", Program: []string{"sh", "-c", `ulimit -n 60 && exec "$0" "$@"`, testkit.Binary(t)},
	}.Start(t)
	var open []*testkit.Client
	for range 100 {
		open = append(open, s.Dial()) // the kernel takes them, whether the front does or not
	}
	s.AwaitLog("cannot accept a connection on 127.0.0.1:")
	for _, c := range open {
		c.Close()
	}
	took(t, "recovering", func() {
		if r := s.Get("/"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
	})
	if lines := strings.Count(s.Err.String(), "cannot accept"); lines > 40 {
		t.Errorf("it complained %d times", lines)
	}
}

func TestManyClientsAtOnceGetTheirOwnResponses(t *testing.T) {
	s := testkit.Start(t, "echo", "-w", "2", "-t", "5")
	var clients sync.WaitGroup
	for i := range 64 {
		clients.Go(func() {
			c := s.Dial()
			for j := range 50 {
				body := strings.Repeat(string(rune('a'+(i+j)%26)), 1+(i*997+j*7919)%5000)
				if j%10 == 9 {
					body = strings.Repeat(body, 50) // some are files
				}
				c.Send(testkit.Request("POST", "/body", body))
				if r, err := c.TryResponse("POST"); err != nil || r.Body != body {
					t.Errorf("client %d, request %d: %d bytes came back as %.200v, %v", i, j, len(body), r, err)
					return
				}
			}
		})
	}
	clients.Wait()
}

func TestAFloodOfRefusedConnectionsDisturbsNobody(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello", "--max-connections", "10")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/", ""))
	c.Response("GET")
	for range 9 {
		s.Dial().Send("GET") // who is silent is accepted late
	}
	deadline := time.Now().Add(2 * time.Second)
	refused := 0
	for time.Now().Before(deadline) {
		flood := s.Dial()
		flood.Send("GET")
		if r, err := flood.TryResponse("GET"); err == nil && r.Status == 503 {
			refused++
		}
		flood.Close()
	}
	c.Send(testkit.Request("GET", "/", ""))
	if r := c.Response("GET"); r.Status != 200 || refused < 10 {
		t.Errorf("after %d refusals: got %+v", refused, r)
	}
	if lines := strings.Count(s.Out.String(), "refused a connection"); lines > 10 {
		t.Errorf("the log has %d lines about it", lines)
	}
}
