package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serval/internal/process"
	"serval/internal/sequence"
	"serval/internal/testkit"
)

// TestMain is the supervisor that tests kill when SUPERVISE names its directory.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SUPERVISE"); dir != "" {
		s := &Supervisor{Records: dir}
		if err := s.Open(); err != nil {
			panic(err)
		}
		server, err := Claim(dir)
		if err != nil {
			panic(err)
		}
		server.Serve(s)
		return
	}
	os.Exit(m.Run())
}

// history is what happened.
type history struct {
	mu     sync.Mutex
	events []Event
}

func (h *history) add(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// states are the states of a process, one after the other.
func (h *history) states(name string) (states []State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Name == name {
			states = append(states, e.State)
		}
	}
	return slices.Compact(states)
}

func (h *history) said(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.events, func(e Event) bool { return strings.Contains(e.Text, text) })
}

// open makes a supervisor that the test's end shuts down.
func open(t *testing.T, records string) (*Supervisor, *history) {
	t.Helper()
	h := &history{}
	s := &Supervisor{Records: records, Watch: h.add}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		s.Shutdown(ctx)
	})
	return s, h
}

// sh is a process of a shell.
func sh(t *testing.T, name, script string) Spec {
	t.Helper()
	return Spec{
		Name: name, Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}, Directory: t.TempDir(),
		Log: filepath.Join(t.TempDir(), name+".log"), Ready: Ready{Settle: 50 * time.Millisecond}, Stop: sequence.MustParse("term, 10, kill"),
	}
}

const forever = "exec sleep 1000"

func statusOf(t *testing.T, s *Supervisor, name string) Status {
	t.Helper()
	for _, status := range s.Status() {
		if status.Name == name {
			return status
		}
	}
	t.Fatalf("there is no process %s", name)
	return Status{}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func alive(pid int) bool {
	_, err := process.Find(pid)
	return err == nil
}

func TestAProcessGoesThroughItsStates(t *testing.T) {
	s, h := open(t, "")
	spec := sh(t, "web", "echo begun; "+forever)
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	first := statusOf(t, s, "web")
	if first.State != Running || !alive(first.PID) || text(t, spec.Log) != "begun\n" {
		t.Fatalf("%+v, %q", first, text(t, spec.Log))
	}
	if err := s.Start(t.Context(), []Spec{spec}); err != nil || statusOf(t, s, "web").PID != first.PID {
		t.Errorf("what runs is started: %v, %+v", err, statusOf(t, s, "web"))
	}
	if err := s.Restart(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	second := statusOf(t, s, "web")
	if second.PID == first.PID || alive(first.PID) || second.Restarts != 0 {
		t.Errorf("%+v after %+v", second, first)
	}
	if err := s.Stop(t.Context(), []string{"web"}); err != nil {
		t.Fatal(err)
	}
	if now := statusOf(t, s, "web"); now.State != Stopped || now.PID != 0 || alive(second.PID) {
		t.Errorf("%+v", now)
	}
	want := []State{Starting, Running, Stopping, Starting, Running, Stopping, Stopped}
	if got := h.states("web"); !slices.Equal(got, want) {
		t.Errorf("its states were %v", got)
	}
}

func TestADeathIsNoticedAndTheProcessStartedAgain(t *testing.T) {
	s, h := open(t, "")
	if err := s.Start(t.Context(), []Spec{sh(t, "web", forever)}); err != nil {
		t.Fatal(err)
	}
	first := statusOf(t, s, "web").PID
	syscall.Kill(first, syscall.SIGKILL)
	testkit.WaitFor(t, "another process runs", func() bool {
		now := statusOf(t, s, "web")
		return now.State == Running && now.PID != first && now.Restarts == 1
	})
	if !h.said("was killed by SIGKILL; it is started again in ") {
		t.Errorf("%+v", h.events)
	}
}

func TestAProcessThatEndsAtOnceIsNoSuccess(t *testing.T) {
	s, _ := open(t, "")
	err := s.Start(t.Context(), []Spec{sh(t, "web", "exit 7")})
	if err == nil || !strings.Contains(err.Error(), "web exited with status 7") {
		t.Errorf("%v", err)
	}
	spec := sh(t, "worker", "")
	spec.Argv = []string{"no-such-program"}
	if err := s.Start(t.Context(), []Spec{spec}); err == nil || !strings.Contains(err.Error(), "worker: there is no program no-such-program in PATH") {
		t.Errorf("%v", err)
	}
}

func TestAFlappingProcessIsLeftAloneForAWhile(t *testing.T) {
	s, h := open(t, "")
	spec := sh(t, "web", "exit 1")
	spec.Flapping = Flapping{Times: 2, Within: time.Minute, RetryIn: 200 * time.Millisecond}
	s.Start(t.Context(), []Spec{spec}) //nolint:errcheck // it does not come up
	testkit.WaitFor(t, "it is left alone, and tried again", func() bool {
		states := h.states("web")
		i := slices.Index(states, Failed)
		return i > 0 && slices.Contains(states[i:], Starting)
	})
	if !h.said("it has ended 2 times within 1m0s and is left alone for 200ms") {
		t.Errorf("%+v", h.events)
	}
}

func TestTheStopSequenceIsCarriedOut(t *testing.T) {
	s, _ := open(t, "")
	spec := sh(t, "web", `trap 'echo quit' QUIT; trap 'echo term; exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
	spec.Stop = sequence.MustParse("quit, 1, term, 20, kill")
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "it is ready", func() bool { return text(t, spec.Log) != "" })
	if err := s.Stop(t.Context(), []string{"web"}); err != nil || text(t, spec.Log) != "ready\nquit\nterm\n" {
		t.Errorf("%v, %q", err, text(t, spec.Log))
	}
}

func TestWhatAProcessLeavesBehindIsEnded(t *testing.T) {
	s, _ := open(t, "")
	spec := sh(t, "web", `(trap '' TERM; echo $$; exec sleep 1000) & sleep 1000 & echo $!; wait`)
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	main := statusOf(t, s, "web").PID
	testkit.WaitFor(t, "it has two children", func() bool { return len(groupOf(t, main)) == 3 })
	left := groupOf(t, main)
	spec.Flapping = Flapping{Times: 1}
	syscall.Kill(main, syscall.SIGKILL)
	testkit.WaitFor(t, "they are gone", func() bool { return !slices.ContainsFunc(left, alive) })
}

func groupOf(t *testing.T, group int) (pids []int) {
	t.Helper()
	table, err := process.All()
	if err != nil {
		t.Fatal(err)
	}
	for pid, row := range table {
		if row.Group == group {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestDependenciesAreStartedBeforeAndStoppedAfter(t *testing.T) {
	s, h := open(t, "")
	web, db := sh(t, "web", forever), sh(t, "db.1", forever)
	web.DependsOn = []string{"db"}
	if err := s.Start(t.Context(), []Spec{web, db}); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context(), []string{"db.1", "web"}); err != nil {
		t.Fatal(err)
	}
	at := func(name string, state State) int {
		return slices.IndexFunc(h.events, func(e Event) bool { return e.Name == name && e.State == state })
	}
	if at("db.1", Running) > at("web", Starting) || at("web", Stopped) > at("db.1", Stopping) {
		t.Errorf("%+v", h.events)
	}
}

func TestAProcessIsReadyWhenSomebodyListens(t *testing.T) {
	s, h := open(t, "")
	socket := filepath.Join(testkit.ShortDir(t), "sock")
	spec := sh(t, "web", fmt.Sprintf(`exec ruby -rsocket -e 'sleep 0.5; s = UNIXServer.new("%s"); loop { s.accept.close }'`, socket))
	spec.Ready = Ready{Network: "unix", Address: socket}
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket); err != nil || !h.said("ready") {
		t.Errorf("%v, %+v", err, h.events)
	}
	spec = sh(t, "deaf", forever)
	spec.Ready = Ready{Network: "unix", Address: socket + "2", Timeout: 100 * time.Millisecond}
	if err := s.Start(t.Context(), []Spec{spec}); err == nil || !strings.Contains(err.Error(), "deaf: nobody listens on "+socket+"2 after 100ms") {
		t.Errorf("%v", err)
	}
}

func TestAProcessThatReplacesItselfIsFollowed(t *testing.T) {
	s, h := open(t, "")
	pid := filepath.Join(t.TempDir(), "pid")
	spec := sh(t, "web", fmt.Sprintf(`echo $$ > %s; trap "sh -c 'echo \$\$ > %[1]s; exec sleep 1000' & sleep 0.3; exit" USR2; while :; do sleep 0.05; done`, pid))
	spec.PIDFile = pid
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	first := statusOf(t, s, "web").PID
	testkit.WaitFor(t, "it has its trap", func() bool { return text(t, pid) == strconv.Itoa(first)+"\n" })
	time.Sleep(50 * time.Millisecond) // between the pid file and the trap
	syscall.Kill(first, syscall.SIGUSR2)
	testkit.WaitFor(t, "the other one is followed", func() bool {
		now := statusOf(t, s, "web")
		return now.PID != first && now.State == Running && text(t, pid) == strconv.Itoa(now.PID)+"\n"
	})
	if slices.Contains(h.states("web"), Restarting) {
		t.Errorf("%+v", h.events)
	}
	second := statusOf(t, s, "web").PID
	if err := s.Stop(t.Context(), []string{"web"}); err != nil || alive(second) {
		t.Errorf("%v", err)
	}
}

// supervise starts a supervisor as a process of its own.
func supervise(t *testing.T, dir string) (*exec.Cmd, *Client) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SUPERVISE="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	client := NewClient(dir)
	testkit.WaitFor(t, "the supervisor answers", func() bool { _, err := client.Status(t.Context()); return err == nil })
	return cmd, client
}

func TestTheNextSupervisorTakesOverWhatAKilledOneHasLeft(t *testing.T) {
	dir := testkit.ShortDir(t)
	first, client := supervise(t, dir)
	web, worker, idle := sh(t, "web", "echo $$; while :; do echo line || exit; sleep 0.02; done"), sh(t, "worker.1", forever), sh(t, "idle", forever)
	gone := sh(t, "gone", forever)
	if err := client.Start(t.Context(), web, worker, idle, gone); err != nil {
		t.Fatal(err)
	}
	if err := client.Stop(t.Context(), "idle"); err != nil {
		t.Fatal(err)
	}
	before, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.Process.Kill()
	first.Wait()
	size := len(text(t, web.Log))
	testkit.WaitFor(t, "it goes on writing without a supervisor", func() bool { return len(text(t, web.Log)) > size })

	s, h := open(t, dir)
	if err := s.Begin([]Spec{web, worker, idle}); err != nil {
		t.Fatal(err)
	}
	for _, old := range before {
		switch old.Name {
		case "web", "worker.1":
			if now := statusOf(t, s, old.Name); now.PID != old.PID || now.State != Running || now.Since.Sub(old.Since).Abs() > 2*time.Second {
				t.Errorf("%+v after %+v", now, old)
			}
		case "idle":
			if now := statusOf(t, s, "idle"); now.State != Stopped {
				t.Errorf("what was stopped is %+v", now)
			}
		case "gone":
			testkit.WaitFor(t, "what nobody wants any more is stopped", func() bool { return !alive(old.PID) && len(s.Names()) == 3 })
		}
	}
	pid := statusOf(t, s, "worker.1").PID
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.WaitFor(t, "the death of what was taken over is noticed", func() bool {
		now := statusOf(t, s, "worker.1")
		return now.State == Running && now.PID != pid
	})
	if slices.Contains(h.states("web"), Starting) {
		t.Errorf("it was started again: %+v", h.events)
	}
	if err := s.Stop(t.Context(), []string{"web"}); err != nil || statusOf(t, s, "web").State != Stopped {
		t.Errorf("%v, %+v", err, statusOf(t, s, "web"))
	}
}

func TestAProcessWhoseSupervisorWasKilledBeforeItKnewTheNumberIsFound(t *testing.T) {
	dir := t.TempDir()
	spec := sh(t, "web", forever)
	if err := records(dir).write("web", record{Begun: true, Digest: spec.Digest()}); err != nil {
		t.Fatal(err)
	}
	early := exec.Command("sleep", "1000")
	early.Env = append(os.Environ(), records(dir).mark("web"))
	early.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := early.Start(); err != nil {
		t.Fatal(err)
	}
	go early.Wait()
	s, _ := open(t, dir)
	if err := s.Begin([]Spec{spec}); err != nil {
		t.Fatal(err)
	}
	if now := statusOf(t, s, "web"); now.State != Running || now.PID != early.Process.Pid {
		t.Errorf("%+v, and should have process id %d", now, early.Process.Pid)
	}
	if known := records(dir).read("web"); known.Begun || known.Process.PID != early.Process.Pid {
		t.Errorf("%+v", known)
	}
}

func TestAStrangerWithTheNumberIsNeverSignalled(t *testing.T) {
	dir := t.TempDir()
	stranger := exec.Command("sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	id, err := process.Find(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	id.Start -= 100
	for other, known := range map[string]record{
		"":        {Process: id, Group: id.PID},                                                              // the number was used again
		"earlier": {Process: process.ID{PID: id.PID, Start: id.Start + 100}, Group: id.PID, Boot: "earlier"}, // the machine was booted
	} {
		if err := records(dir).write("web", known); err != nil {
			t.Fatal(err)
		}
		if other != "" {
			path := records(dir).path("web")
			os.WriteFile(path, []byte(strings.Replace(text(t, path), boot(), other, 1)), 0o600)
		}
		s, _ := open(t, dir)
		spec := sh(t, "web", forever)
		if err := s.Begin([]Spec{spec}); err != nil {
			t.Fatal(err)
		}
		testkit.WaitFor(t, "a process of its own runs", func() bool {
			now := statusOf(t, s, "web")
			return now.State == Running && now.PID != id.PID
		})
		if err := s.Stop(t.Context(), []string{"web"}); err != nil {
			t.Fatal(err)
		}
		s.Leave()
	}
	if !alive(stranger.Process.Pid) {
		t.Error("the stranger was ended")
	}
}

func TestOnlyOneSupervisorRuns(t *testing.T) {
	dir := testkit.ShortDir(t)
	_, client := supervise(t, dir)
	if _, err := Claim(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("%v", err)
	}
	if info, err := os.Stat(Socket(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := client.Stop(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "there is no process nobody") {
		t.Errorf("%v", err)
	}
	if _, err := NewClient(t.TempDir()).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	spec := sh(t, "web", forever)
	spec.Ready = Ready{Network: "unix", Address: "/nobody/listens"}
	if err := client.Start(ctx, spec); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := client.Remove(t.Context(), "web"); err != nil {
		t.Error(err)
	}
}

func TestSpecsThatCannotRunAreRefused(t *testing.T) {
	s, _ := open(t, "")
	for want, change := range map[string]func(*Spec){
		"cannot be called \"../x\"":          func(s *Spec) { s.Name = "../x" },
		"cannot be called \".x\"":            func(s *Spec) { s.Name = ".x" },
		"web has no command":                 func(s *Spec) { s.Argv = nil },
		"no absolute path":                   func(s *Spec) { s.Log = "log" },
		`there is no check "luck"`:           func(s *Spec) { s.Checks = []Check{{Kind: "luck"}} },
		"100ms is the least":                 func(s *Spec) { s.Checks = []Check{{Kind: Memory, Every: 1}} },
		"to fail 3 times of 2":               func(s *Spec) { s.Checks = []Check{{Kind: CPU, Every: time.Second, Times: 3, Of: 2}} },
		"the memory check has no limit":      func(s *Spec) { s.Checks = []Check{{Kind: Memory, Every: time.Second, Times: 1}} },
		"there is no user \"nobody-at-all\"": func(s *Spec) { s.User = "nobody-at-all" },
	} {
		spec := sh(t, "web", forever)
		change(&spec)
		if err := s.Start(t.Context(), []Spec{spec}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestTwoHundredProcesses(t *testing.T) {
	s, h := open(t, t.TempDir())
	var specs []Spec
	for i := range 200 {
		specs = append(specs, sh(t, "worker."+strconv.Itoa(i), forever))
	}
	if err := s.Start(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	for _, status := range s.Status()[:20] {
		syscall.Kill(status.PID, syscall.SIGKILL)
	}
	testkit.WaitFor(t, "those that died run again", func() bool {
		again := 0
		for _, status := range s.Status() {
			if status.State != Running {
				return false
			}
			again += status.Restarts
		}
		return again == 20
	})
	if err := s.Stop(t.Context(), s.Names()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.PID != 0 && alive(e.PID) {
			t.Errorf("%s is left: %+v", e.Name, e)
		}
	}
}
