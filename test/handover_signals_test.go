package test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// deputyOf is the process id of the deputy that a server has named in its log.
func deputyOf(t *testing.T, s *testkit.Server) int {
	t.Helper()
	line := s.AwaitLog("it gets the connections")
	_, rest, _ := strings.Cut(line, "Deputy (PID: ")
	number, _, _ := strings.Cut(rest, ")")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("no deputy is named in %q", line)
	}
	return pid
}

// While the main process changes its program it is the deputy that writes the log, and a rotation is for it.
func TestALogRotationDuringAHandoverReachesWhoeverServes(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	d.release("sleep 2\n")
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(dir, name)) //nolint:errcheck // it may not be there yet
		return string(text)
	}
	s := testkit.Command{Program: []string{p.path}, Flags: []string{"--dir", d.current(), "-w", "1", "-t", "3", "-v", "-b", "unix://" + testkit.ShortDir(t) + "/socket",
		"--redirect-stdout", log}}.Launch(t)
	testkit.WaitFor(t, "it serves", func() bool { return strings.Contains(read("log"), "Use Ctrl-C to stop") })
	for line := range strings.Lines(read("log")) {
		if _, url, ok := strings.Cut(strings.TrimSpace(line), "Listening on "); ok {
			s.URLs = append(s.URLs, url)
		}
	}
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	testkit.WaitFor(t, "the main process boots", func() bool { return strings.Count(read("log"), "Serval version: "+newerVersion) == 2 })
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGHUP)
	testkit.WaitFor(t, "the deputy writes to the new file", func() bool {
		c := testkit.DialURL(t, s.URLs[0])
		c.Send(testkit.Request("GET", "/after", "", "Connection: close"))
		c.Response("GET")
		return strings.Contains(read("log"), "GET /after")
	})
	if strings.Contains(read("log"), handoverFinished) {
		t.Error("the handover was over before: this test has shown nothing")
	}
	testkit.WaitFor(t, "the main process writes to the new file", func() bool { return strings.Contains(read("log"), handoverFinished) })
}

// strike kills a process, and returns when it holds nothing any more.
func strike(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "it is dead", func() bool { return !testkit.FindProcess(pid).Alive() })
}

// Connections that had arrived at a deputy end with it; those that had not are served as before. Nobody else notices.
func TestADeputyThatIsKilledWhileConnectionsMoveTakesOnlyThoseAlong(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	d.release("sleep 1\n")
	s := p.start(d, "-w", "1", "-t", "3")
	var idle []*testkit.Client
	for range 200 {
		c := s.Dial()
		c.Send(testkit.Request("GET", "/", ""))
		c.Response("GET")
		idle = append(idle, c)
	}
	busy := s.Dial()
	entered := filepath.Join(t.TempDir(), "entered")
	busy.Send(testkit.Request("GET", "/sleep?s=6", "", "X-Entered: "+entered)) // it cannot leave before its response is written
	testkit.WaitFor(t, "the request runs", func() bool { _, err := os.Stat(entered); return err == nil })
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	strike(t, deputyOf(t, s))
	if r := busy.Response("GET"); !strings.HasPrefix(r.Body, "2 slept") {
		t.Errorf("the request that stayed got %+v", r)
	}
	s.AwaitLog("ERROR: the hot restart failed, phase 0 goes on serving: the new program ended while it took over (signal: killed)")
	gone := 0
	for _, c := range idle {
		if _, err := io.WriteString(c.Conn, testkit.Request("GET", "/", "")); err != nil {
			gone++
		} else if r, err := c.TryResponse("GET"); err != nil {
			gone++
		} else if r.Status != 200 {
			t.Errorf("a connection that stayed got %+v", r)
		}
	}
	t.Logf("%d of %d idle connections had moved", gone, len(idle))
	if r := s.Get("/"); r.Status != 200 {
		t.Errorf("a new connection got %+v", r)
	}
	s.Signal(syscall.SIGUSR2) // and the next restart works
	s.AwaitLog(handoverFinished)
	aloneAgain(t, s, 1)
}

// New clients wait in the kernel's queue until the main process is up.
func TestADeputyThatIsKilledWhileTheMainProcessBootsRefusesNobody(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	d.release("sleep 1\n")
	s := p.start(d, "-w", "1", "-t", "3")
	idle := s.Dial()
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	deputy := deputyOf(t, s)
	testkit.WaitFor(t, "the main process boots", func() bool { return strings.Count(s.Out.String(), "Serval version: "+newerVersion) == 2 })
	strike(t, deputy)
	idle.End()
	if r := s.Get("/"); r.Status != 200 {
		t.Errorf("a new connection got %+v", r)
	}
	s.AwaitLog(handoverFinished)
	aloneAgain(t, s, 1)
}

// Molds serve nobody, so their deaths are nobody's loss.
func TestMoldsThatAreKilledWhileConnectionsMoveCostNoRequest(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	s := p.start(d, "-w", "2", "-t", "3", "--preload")
	all := startTraffic(s, 20)
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	killed := 0
	for _, child := range slices.Concat(testkit.Children(deputyOf(t, s)), testkit.Children(s.PID)) {
		title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child.PID)) //nolint:errcheck // it may have ended by itself
		if strings.HasPrefix(string(title), "serval: mold") {
			killed++
			syscall.Kill(child.PID, syscall.SIGKILL) //nolint:errcheck // as above
		}
	}
	if killed == 0 {
		t.Error("there is no mold")
	}
	s.AwaitLog(handoverFinished)
	all.flows(t)
	all.stop(t)
}

func TestAHookThatHangsHoldsUpTheEndForAWhileOnly(t *testing.T) {
	t.Parallel()
	for name, workers := range map[string]string{"single": "0", "cluster": "1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "config.ru"), `run ->(env) { [200, {}, ["hello"]] }`)
			write(t, filepath.Join(dir, "puma.rb"), fmt.Sprintf("workers %s\nafter_stopped { sleep }\n", workers))
			s := testkit.Command{Dir: dir, Flags: []string{"-C", "puma.rb"}}.Start(t)
			began := time.Now()
			s.Signal(syscall.SIGTERM)
			s.AwaitLog("the after_stopped hooks are given up: they have run for 10s")
			s.Exit()
			if took := time.Since(began); took < 9*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// Even one that dies when the main process is about to become what it ran.
func TestADeputyThatIsKilledJustBeforeTheExecLeavesAServer(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	write(t, filepath.Join(d.dir, "puma.rb"), "workers 1\nthreads 3, 3\nbefore_worker_shutdown { sleep 1 }\n")
	s := p.start(d, "-C", filepath.Join(d.dir, "puma.rb"))
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	strike(t, deputyOf(t, s)) // the old workers take their time
	s.AwaitLog(handoverFinished)
	if r := s.Get("/"); r.Status != 200 {
		t.Errorf("a new connection got %+v", r)
	}
	aloneAgain(t, s, 1)
}
