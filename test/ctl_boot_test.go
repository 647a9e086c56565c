package test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// booting starts a server whose app waits for the file "go", and returns once it can be talked to.
func booting(t *testing.T, rackup string) (s *testkit.Server, dir string) {
	t.Helper()
	dir = testkit.ShortDir(t)
	write(t, filepath.Join(dir, "config.ru"), `
File.write("loading", "")
sleep 0.02 until File.exist?("go")
`+rackup)
	s = testkit.Command{Dir: dir, Flags: []string{"-w", "2", "--pidfile", filepath.Join(dir, "pid")}}.Launch(t)
	testkit.WaitFor(t, "the app is being loaded", func() bool { _, err := os.Stat(filepath.Join(dir, "loading")); return err == nil })
	return s, dir
}

func TestCtlWaitsForAServerThatBoots(t *testing.T) {
	t.Parallel()
	s, dir := booting(t, `run ->(env) { [200, {}, ["hello"]] }`)
	pidfile := filepath.Join(dir, "pid")
	out, errs, status := call(t, testkit.Binary(t), "ctl", "-P", pidfile, "status")
	if status != 0 || !strings.Contains(out, fmt.Sprintf("PID %d", s.PID)) || !strings.Contains(out, ", booting\n") {
		t.Errorf("status: %d\n%s%s", status, out, errs)
	}
	ctl := asked(t, "-P", pidfile, "phased-restart")
	write(t, filepath.Join(dir, "go"), "")
	if rest := ctl.finish(); ctl.ProcessState.ExitCode() != 0 || !strings.Contains(rest, "success in") {
		t.Errorf("ctl: %s: %s", ctl.ProcessState, rest)
	}
	if !s.Logged("Finished phased restart") {
		t.Error("there was no restart")
	}
}

// waiting is a call of ctl that the server has taken on, and puts off until it has booted.
type waiting struct {
	*exec.Cmd
	out *bufio.Reader
}

// asked returns when the server has heard.
func asked(t *testing.T, args ...string) *waiting {
	t.Helper()
	w := &waiting{Cmd: exec.Command(testkit.Binary(t), append([]string{"ctl"}, args...)...)}
	out, err := w.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Stderr = w.Stdout
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Process.Kill() }) //nolint:errcheck // it has ended, most likely
	w.out = bufio.NewReader(out)
	if line, err := w.out.ReadString('\n'); line != "The server is booting\n" {
		t.Fatalf("ctl says %q, %v", line, err)
	}
	return w
}

// finish returns the rest of what it says.
func (w *waiting) finish() string {
	rest, _ := io.ReadAll(w.out) //nolint:errcheck // what was read is looked at
	w.Wait()                     //nolint:errcheck // so is the status
	return string(rest)
}

func TestCtlSaysThatAServerDidNotBoot(t *testing.T) {
	t.Parallel()
	s, dir := booting(t, `raise "a broken release"`)
	ctl := asked(t, "-p", fmt.Sprint(s.PID), "restart")
	write(t, filepath.Join(dir, "go"), "")
	if rest := ctl.finish(); ctl.ProcessState.ExitCode() != 1 || !strings.Contains(rest, "serval ctl: the app did not boot:\nRuntimeError: a broken release") {
		t.Errorf("ctl: %s: %s", ctl.ProcessState, rest)
	}
	s.Exit()
	if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
		t.Error("the pidfile is left behind")
	}
}

func TestCtlStopsAServerThatBoots(t *testing.T) {
	t.Parallel()
	s, dir := booting(t, `run ->(env) { [200, {}, ["hello"]] }`)
	took(t, "the stop", func() {
		if out, errs, status := call(t, testkit.Binary(t), "ctl", "-P", filepath.Join(dir, "pid"), "stop"); status != 0 {
			t.Errorf("stop: %d\n%s%s", status, out, errs)
		}
	})
	s.Exit()
}

// Configuration files are evaluated before anything else, which takes a while; no signal may reach the process then.
func TestCtlWaitsForAServerThatReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	dir := testkit.ShortDir(t)
	write(t, filepath.Join(dir, "config.ru"), `run ->(env) { [200, {}, ["hello"]] }`)
	write(t, filepath.Join(dir, "puma.rb"), `File.write("loading", ""); sleep 0.7`)
	s := testkit.Command{Dir: dir, Flags: []string{"-C", "puma.rb"}}.Launch(t)
	testkit.WaitFor(t, "the configuration is being read", func() bool { _, err := os.Stat(filepath.Join(dir, "loading")); return err == nil })
	if out, errs, status := call(t, testkit.Binary(t), "ctl", "-p", fmt.Sprint(s.PID), "restart"); status != 0 || !strings.Contains(out, "success in") {
		t.Errorf("restart: %d\n%s%s", status, out, errs)
	}
}

func TestCtlLeavesOtherProgramsAlone(t *testing.T) {
	t.Parallel()
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait()         //nolint:errcheck // killed
	defer sleep.Process.Kill() //nolint:errcheck // it lives
	pid := fmt.Sprint(sleep.Process.Pid)
	for _, command := range []string{"restart", "phased-restart", "stop", "halt", "info", "status"} {
		_, errs, status := call(t, testkit.Binary(t), "ctl", "-p", pid, command)
		if want := "serval ctl: PID " + pid + " is sleep, neither serval nor puma: nothing was sent to it\n"; status != 1 || errs != want {
			t.Errorf("%s: %d %s", command, status, errs)
		}
	}
	if err := sleep.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

func TestInfoShowsWhatAllThreadsAreDoing(t *testing.T) {
	t.Parallel()
	s := startControlled(t, "-w", "2", "--preload")
	answer := make(chan string)
	go func() { answer <- string(s.Get("/?3").Body) }()
	testkit.WaitFor(t, "the request runs", func() bool {
		out, _, _ := call(t, testkit.Binary(t), "ctl", "-P", s.pidfile, "status")
		return strings.Contains(out, "1/2")
	})
	out, errs, status := call(t, testkit.Binary(t), "ctl", "-P", s.pidfile, "info")
	if status != 0 {
		t.Errorf("%d %s%s", status, out, errs)
	}
	for _, what := range []string{"Threads of mold", "Threads of worker 0", "Threads of worker 1", "serval thread 0, GET /, running for"} {
		s.AwaitLog(what)
	}
	s.Signal(syscall.SIGPWR)
	testkit.WaitFor(t, "the signal has them shown, too", func() bool { return strings.Count(s.Out.String(), "Threads of worker 1") == 2 })
	if body := <-answer; body != "one" {
		t.Errorf("the request got %q", body)
	}
	worker := s.Workers()[0].PID
	if err := syscall.Kill(worker, syscall.SIGPWR); err != nil {
		t.Fatal(err)
	}
	s.AwaitLog(fmt.Sprintf("what the threads of PID %d are doing", worker))
}
