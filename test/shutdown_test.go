package test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

func TestATermLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sig   syscall.Signal
		check func(syscall.WaitStatus) bool
	}{
		{syscall.SIGTERM, func(w syscall.WaitStatus) bool { return w.Signaled() && w.Signal() == syscall.SIGTERM }},
		{syscall.SIGINT, func(w syscall.WaitStatus) bool { return w.Exited() && w.ExitStatus() == 0 }},
	} {
		t.Run(tt.sig.String(), func(t *testing.T) {
			s := testkit.Start(t, "slow", "-w", "2", "-t", "1")
			first, openFirst := gated(t, s, "GET")
			second, openSecond := gated(t, s, "POST")
			gate := t.TempDir() + "/gate"
			third := queued(t, s, "GET", "/gate?file="+gate)
			s.Signal(tt.sig)
			s.AwaitLog("Gracefully stopping")
			openFirst()
			openSecond()
			write(t, gate, "")
			for _, c := range []*testkit.Client{first, second, third} {
				if r := c.Response("GET"); r.Body != "open\n" || !r.Close {
					t.Errorf("a request under way got %+v", r)
				}
				c.End()
			}
			if status := s.Exit(); !tt.check(status) {
				t.Errorf("it ended with %v", status)
			}
			s.AwaitLog("Goodbye!")
		})
	}
}

func TestASignalToAllProcessesLetsRequestsFinishToo(t *testing.T) {
	t.Parallel()
	// systemd sends TERM to every process of a unit, a terminal INT to every process of a job.
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := testkit.Start(t, "slow", "-w", "2")
		c, open := gated(t, s, "POST")
		workers := s.Workers()
		s.Signal(sig)
		for _, w := range workers {
			kill(t, w, sig)
		}
		s.AwaitLog("Gracefully stopping")
		open()
		if r := c.Response("POST"); r.Body != "open\n" {
			t.Errorf("%s: a request under way got %+v", sig, r)
		}
		s.Exit()
		if booted := strings.Count(s.Out.String(), " booted in "); booted != 2 {
			t.Errorf("%s: workers were booted at the end: %d in all", sig, booted)
		}
	}
}

func TestNewConnectionsAreRefusedWhileRequestsFinish(t *testing.T) {
	t.Parallel()
	dir := testkit.ShortDir(t)
	s := testkit.Start(t, "slow", "-b", "tcp://127.0.0.1:0", "-b", "unix://"+dir+"/socket")
	idle, fresh := s.Dial(), s.Dial()
	idle.Send(testkit.Request("GET", "/fast", ""))
	idle.Response("GET")
	c, open := gated(t, s, "GET")
	s.Signal(syscall.SIGTERM)
	idle.End() // at once, not when the last request is done
	fresh.End()
	testkit.WaitFor(t, "connections are refused", func() bool {
		tcp, err := net.Dial("tcp", s.Addr())
		if err == nil {
			tcp.Close()
			return false
		}
		unix, err := net.Dial("unix", dir+"/socket")
		if err == nil {
			unix.Close()
		}
		return err != nil
	})
	if s.Logged("Goodbye!") {
		t.Error("that was only at the end")
	}
	open()
	if r := c.Response("GET"); r.Body != "open\n" {
		t.Errorf("the request under way got %+v", r)
	}
	s.Exit()
}

func TestClientsInTheKernelsQueueAreServed(t *testing.T) {
	t.Parallel()
	dir := testkit.ShortDir(t)
	s := testkit.Start(t, "slow", "-b", "tcp://127.0.0.1:0", "-b", "unix://"+dir+"/socket")
	testkit.FindProcess(s.PID).Freeze(t) // while it stands still, only the kernel answers
	var clients []*testkit.Client
	for i := range 200 {
		c := testkit.DialURL(t, s.URLs[i%2])
		c.Send(testkit.Request("GET", "/fast", ""))
		clients = append(clients, c)
	}
	s.Signal(syscall.SIGTERM)
	s.Signal(syscall.SIGCONT)
	for i, c := range clients {
		if r, err := c.TryResponse("GET"); err != nil || r.Status != 200 {
			t.Fatalf("client %d of %d, connected before the signal, got %+v, %v", i, len(clients), r, err)
		}
	}
	s.Exit()
}

func TestABodyUnderWayGoesOnToItsEnd(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	down := s.Dial()
	down.Send(testkit.Request("GET", "/delayed?n=5&s=0.3", ""))
	if head := down.Head(); !strings.Contains(head, "chunked") {
		t.Errorf("got %q", head)
	}
	slow := s.Dial()
	slow.Send(testkit.Request("GET", "/generate?mb=5&length=1", ""))
	slow.Head()
	s.Signal(syscall.SIGTERM)
	rest, err := down.Rest()
	if err != nil || !strings.HasSuffix(rest, "part 4\n\r\n0\r\n\r\n") {
		t.Errorf("the body broke off: %q, %v", rest, err)
	}
	if rest, err := slow.Rest(); err != nil || len(rest) != 5<<20 {
		t.Errorf("a slow reader got %d bytes, %v", len(rest), err)
	}
	s.Exit()
}

func TestAnUploadUnderWayIsServed(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	c := s.Dial()
	c.Send("POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	c.Head()
	c.Send("01234")
	s.Signal(syscall.SIGTERM)
	s.AwaitLog("Gracefully stopping")
	c.Send("56789")
	if r := c.Response("POST"); r.Body != "0123456789" || !r.Close {
		t.Errorf("got %+v", r)
	}
	s.Exit()
}

func TestHalfARequestHeadDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello")
	c := s.Dial()
	c.Send("GET / HTTP/1.1\r\nHo")
	s.Get("/") // it is accepted by now
	took(t, "stopping", s.Stop)
}

func TestASecondSignalEndsThePatience(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := testkit.Start(t, "slow")
		c := held(t, s, "GET", "/block")
		s.Signal(sig)
		s.AwaitLog("Gracefully stopping")
		took(t, "the end", func() {
			s.Signal(sig)
			if rest, err := c.Rest(); strings.Contains(rest, " 200 ") || err != nil {
				t.Errorf("the request got %q, %v", rest, err)
			}
			s.Exit()
		})
	}
}

func TestRequestsThatDoNotFinishAreCutAndNamed(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "--shutdown-timeout", "1")
	held(t, s, "GET", "/block")
	took(t, "the end", s.Stop)
	if line := s.AwaitLog("killing worker 0"); !strings.Contains(line, "/block") && !strings.Contains(line, "holding 1 request") {
		t.Errorf("the log does not say what held it up: %s", line)
	}
}

func TestATermDuringTheBootIsObeyed(t *testing.T) {
	t.Parallel()
	s := testkit.Command{App: "boot_slow", Flags: []string{"-w", "2"}, Env: []string{"BOOT_SLEEP=1000"}}.Launch(t)
	s.AwaitLog("Threads: 5 each")
	testkit.WaitFor(t, "workers are booting", func() bool { return len(s.Workers()) == 2 })
	took(t, "the end", s.Stop)
}

func TestAHangupReopensTheLogs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, old := filepath.Join(dir, "out.log"), filepath.Join(dir, "old.log")
	s := testkit.Command{App: "hello", Flags: []string{"-v", "--redirect-stdout", out, "--redirect-stderr", filepath.Join(dir, "err.log")}}.Launch(t)
	read := func(path string) string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
	testkit.WaitFor(t, "it listens", func() bool { return strings.Contains(read(out), "Use Ctrl-C") })
	_, url, _ := strings.Cut(read(out), "Listening on ")
	url, _, _ = strings.Cut(url, "\n")
	get := func(path string) {
		c := testkit.DialURL(t, url)
		c.Send(testkit.Request("GET", path, "", "Connection: close"))
		c.Response("GET")
	}
	get("/before")
	testkit.WaitFor(t, "the request is logged", func() bool { return strings.Contains(read(out), "/before") })
	if err := os.Rename(out, old); err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGHUP)
	testkit.WaitFor(t, "there is a new log", func() bool { _, err := os.Stat(out); return err == nil })
	get("/after")
	testkit.WaitFor(t, "the next request is logged there", func() bool { return strings.Contains(read(out), "/after") })
	if strings.Contains(read(old), "/after") || strings.Contains(read(out), "/before") {
		t.Error("the logs are mixed up")
	}
	s.Stop()
}

func TestAHangupReopensTheWorkersLogsToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := filepath.Join(dir, "config.ru")
	if err := os.WriteFile(app, []byte(`run ->(env) { puts "out #{env["PATH_INFO"]}"; warn "err #{env["PATH_INFO"]}"; [200, {}, ["x"]] }`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs := filepath.Join(dir, "out.log"), filepath.Join(dir, "err.log")
	s := testkit.Command{App: app, Flags: []string{"-w", "2", "--redirect-stdout", out, "--redirect-stderr", errs}}.Launch(t)
	read := func(path string) string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
	testkit.WaitFor(t, "it listens", func() bool { return strings.Contains(read(out), "Use Ctrl-C") })
	_, url, _ := strings.Cut(read(out), "Listening on ")
	url, _, _ = strings.Cut(url, "\n")
	for _, path := range []string{out, errs} {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
	s.Signal(syscall.SIGHUP)
	for _, log := range []struct{ path, word string }{{out, "out /"}, {errs, "err /"}} {
		testkit.WaitFor(t, "what the app writes is in the new log", func() bool {
			c := testkit.DialURL(t, url)
			c.Send(testkit.Request("GET", "/", "", "Connection: close"))
			c.Response("GET")
			return strings.Contains(read(log.path), log.word)
		})
	}
	s.Stop()
}

func TestAHangupWithoutLogFilesStopsNothing(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello")
	s.Signal(syscall.SIGHUP)
	time.Sleep(50 * time.Millisecond) // there is nothing to wait for: nothing may happen
	if r := s.Get("/"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}
