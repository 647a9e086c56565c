package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

func TestAFullHijackGivesTheAppTheSocket(t *testing.T) {
	t.Parallel()
	dir := testkit.ShortDir(t)
	s := testkit.Start(t, "hijack", "-t", "1", "-b", "tcp://127.0.0.1:0", "-b", "unix://"+dir+"/socket")
	for _, url := range s.URLs {
		for _, path := range []string{"/full", "/full-io", "/full-here"} {
			c := testkit.DialURL(t, url)
			c.Send(testkit.Request("GET", path, "") + "early\n")
			if head := c.Head(); head != "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n" {
				t.Errorf("%s: the head is not the app's own: %q", path, head)
			}
			if first, second := c.Line(), c.Line(); first != "ready" || second != "echo: early" {
				t.Errorf("%s: what was sent early became %q, %q", path, first, second)
			}
			for i := range 3 {
				c.Send(fmt.Sprintf("line %d\n", i))
				if line := c.Line(); line != fmt.Sprintf("echo: line %d", i) {
					t.Errorf("%s: got %q", path, line)
				}
			}
			c.Send("bye\n")
			c.End()
		}
	}
}

func TestAHijackAfterABodyKeepsWhatFollowsIt(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack")
	for _, size := range []int{5, 60_000, 300_000} {
		body := strings.Repeat("x", size)
		c := s.Dial()
		c.Send(testkit.Request("POST", "/full-after-body", body) + "behind\n")
		c.Head()
		if line := c.Line(); line != "body: "+body {
			t.Errorf("a body of %d bytes became %.100q", size, line)
		}
		if first, second := c.Line(), c.Line(); first != "ready" || second != "echo: behind" {
			t.Errorf("%d bytes: what followed became %q, %q", size, first, second)
		}
		c.CloseWrite()
		c.End()
	}
}

func TestAPartialHijackFollowsTheHead(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack", "-t", "1")
	for _, path := range []string{"/partial", "/partial-here"} {
		c := s.Dial()
		c.Send(testkit.Request("GET", path, "") + "early\n")
		head := c.Head()
		if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || !strings.Contains(head, "\r\nDate: ") || strings.Contains(head, "rack.") || strings.Contains(head, "Transfer-Encoding") {
			t.Errorf("%s: the head is %q", path, head)
		}
		if first, second := c.Line(), c.Line(); first != "ready" || second != "echo: early" {
			t.Errorf("%s: got %q, %q", path, first, second)
		}
		c.Send("bye\n")
		c.End()
	}
	c := s.Dial()
	c.Send(testkit.Request("GET", "/partial-length", ""))
	if r := c.Response("GET"); r.Body != "five\n" || r.Length != 5 {
		t.Errorf("got %+v", r)
	}
	c.End()
}

func TestAnUpgradeSwitchesProtocols(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/upgrade", "", "Connection: Upgrade", "Upgrade: echo"))
	if head := strings.ToLower(c.Head()); !strings.HasPrefix(head, "http/1.1 101 switching protocols\r\n") ||
		!strings.Contains(head, "\r\nconnection: upgrade\r\n") || !strings.Contains(head, "\r\nupgrade: echo\r\n") || strings.Contains(head, "length") {
		t.Errorf("the head is %q", head)
	}
	if line := c.Line(); line != "ready" {
		t.Errorf("got %q", line)
	}
	c.Send("hello\nbye\n")
	if line := c.Line(); line != "echo: hello" {
		t.Errorf("got %q", line)
	}
	c.End()
	if r := s.Get("/upgrade"); r.Status != 426 {
		t.Errorf("without Upgrade: got %+v", r)
	}
}

func TestHijackedConnectionsHoldNoThread(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack", "-t", "1")
	var open []*testkit.Client
	for i := range 50 {
		c := s.Dial()
		c.Send(testkit.Request("GET", []string{"/full", "/partial", "/full-io"}[i%3], ""))
		c.Head()
		c.Line()
		open = append(open, c)
	}
	if r := s.Get("/"); r.Body != "rack.hijack? is true\n" {
		t.Errorf("got %+v", r)
	}
	for i, c := range open {
		c.Send(fmt.Sprintf("%d\n", i))
		if line := c.Line(); line != fmt.Sprintf("echo: %d", i) {
			t.Errorf("connection %d got %q", i, line)
		}
	}
}

func TestAnErrorAfterAHijackIsTheAppsOwnAffair(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack", "-t", "1")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/full-then-raise", ""))
	c.Head()
	if line := c.Line(); line != "before the error" {
		t.Errorf("got %q", line)
	}
	c.End()
	s.AwaitLog("after a hijack")

	c = s.Dial()
	c.Send(testkit.Request("GET", "/partial-raise", ""))
	c.Head()
	c.End()
	s.AwaitLog("in a partial hijack")
	if r := s.Get("/"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestAHijackOfAClientThatIsGoneEndsByItself(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack", "-t", "1")
	for range 20 {
		c := s.Dial()
		c.Send(testkit.Request("GET", "/full-here", ""))
		c.Reset()
	}
	if r := s.Get("/"); r.Status != 200 { // the only thread is free again
		t.Errorf("got %+v", r)
	}
}

func TestABrokenHijackLeavesPipelinedRequestsToTheApp(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/", "") + testkit.Request("GET", "/full", "") + "GET / HTTP/1.1\nbye\n")
	if r := c.Response("GET"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
	c.Head()
	if first, second := c.Line(), c.Line(); first != "ready" || second != "echo: GET / HTTP/1.1" {
		t.Errorf("got %q, %q", first, second)
	}
	c.End()
}

// echoed is a connection of the app's own whose thread is in the background.
func echoed(t *testing.T, s *testkit.Server) *testkit.Client {
	t.Helper()
	c := s.Dial()
	c.Send(testkit.Request("GET", "/full", ""))
	c.Head()
	if line := c.Line(); line != "ready" {
		t.Fatalf("got %q", line)
	}
	return c
}

func TestAnOldWorkerEndsWithoutWaitingForHijackedConnections(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack", "-w", "1")
	c := echoed(t, s)
	took(t, "the restart", func() { restarted(t, s, syscall.SIGUSR1, "Finished phased restart", 1) })
	c.End()
}

func TestWithTimeForThemTheOldWorkerLivesOnUntilHijackedConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack", "-w", "1", "--hijack-timeout", "25")
	old := s.Worker().PID
	c := echoed(t, s)
	s.Signal(syscall.SIGUSR1)
	testkit.WaitFor(t, "another worker", func() bool { return s.Get("/").Status == 200 && len(s.Workers()) == 2 })
	c.Send("still there?\n")
	if line := c.Line(); line != "echo: still there?" {
		t.Errorf("got %q", line)
	}
	c.Send("bye\n")
	c.End()
	s.AwaitLog("Finished phased restart")
	if now := s.Worker().PID; now == old {
		t.Error("the old worker serves on")
	}
}

func TestTheTimeForHijackedConnectionsEnds(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hijack", "-w", "1", "--hijack-timeout", "0.3")
	c := echoed(t, s)
	restarted(t, s, syscall.SIGUSR1, "Finished phased restart", 1)
	c.End()
	if line := s.AwaitLog("retired:"); !strings.Contains(line, "it exited with status 0") {
		t.Errorf("it did not end by itself: %s", line)
	}
}
