package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/process"
	"serval/internal/testkit"
)

// supervised is an app that is installed for the supervisor.
type supervised struct {
	t      *testing.T
	dir    string
	socket string
	env    []string
}

func newSupervised(t *testing.T) *supervised {
	t.Helper()
	top := testkit.ShortDir(t)
	a := &supervised{t: t, dir: filepath.Join(top, "blog"), socket: filepath.Join(top, "web.sock")}
	a.env = append(os.Environ(), "SERVAL_STATE_DIR="+filepath.Join(top, "state"))
	files := map[string]string{
		"config.ru": servedApp, "looper.rb": looper, "release": "one", ".cloud66/manifest.yml": servedManifest,
		"Procfile": "custom_web: " + testkit.Binary(t) + " -w 2 -b unix://" + a.socket + "\nworker: ruby looper.rb worker\nother: ruby looper.rb other\n",
		"env":      "GREETING=hello\nPATH=" + os.Getenv("PATH") + "\n",
	}
	for name, text := range files {
		a.write(name, text)
	}
	a.does("install", "--backend", "supervisor", "--env-file", "env")
	return a
}

func (a *supervised) write(name, text string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

func (a *supervised) command(args ...string) *exec.Cmd {
	cmd := exec.Command(testkit.Binary(a.t), args...)
	cmd.Dir, cmd.Env = a.dir, a.env
	return cmd
}

// does runs serval, which is to succeed.
func (a *supervised) does(args ...string) string {
	a.t.Helper()
	out, err := a.command(args...).CombinedOutput()
	if err != nil {
		a.t.Fatalf("serval %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// fails runs serval, which is to fail.
func (a *supervised) fails(args ...string) string {
	a.t.Helper()
	out, err := a.command(args...).CombinedOutput()
	if err == nil {
		a.t.Fatalf("serval %s does not fail\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

// supervise starts the supervisor.
func (a *supervised) supervise(args ...string) *exec.Cmd {
	a.t.Helper()
	cmd := a.command(append([]string{"supervise"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	testkit.WaitFor(a.t, "everything runs", func() bool { return a.states()["web"].State == "running" && a.allRun() })
	return cmd
}

type superviseState struct {
	Service  string
	State    string
	PID      int
	Restarts int
	Why      string
	Changed  []string `json:"changed_env"`
}

func (a *supervised) states() map[string]superviseState {
	a.t.Helper()
	out, _ := a.command("status", "--json").Output() // its status is 3 when something does not run
	var report struct{ Services []superviseState }
	if err := json.Unmarshal(out, &report); err != nil {
		a.t.Fatalf("%v: %s", err, out)
	}
	states := map[string]superviseState{}
	for _, s := range report.Services {
		states[s.Service] = s
	}
	return states
}

func (a *supervised) allRun() bool {
	for _, s := range a.states() {
		if s.State != "running" || s.Why != "" {
			return false
		}
	}
	return true
}

// get is what the app answers.
func (a *supervised) get() string {
	a.t.Helper()
	out, err := exec.Command("curl", "--silent", "--show-error", "--max-time", "20", "--unix-socket", a.socket, "http://localhost/").CombinedOutput()
	if err != nil {
		a.t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// stillThere reports whether a process is there; one that nobody has waited for is not.
func stillThere(pid int) bool {
	_, err := process.Find(pid)
	return err == nil
}

func TestTheWalkWithTheSupervisor(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "curl")
	a := newSupervised(t)
	if out := a.fails("start"); !strings.Contains(out, "the supervisor does not run: start it by serval supervise") {
		t.Error(out)
	}
	supervisor := a.supervise("--log", filepath.Join(a.dir, "events"))
	if got := a.get(); got != "one hello" {
		t.Errorf("the app answers %q", got)
	}
	if out := a.fails("supervise"); !strings.Contains(out, "a supervisor runs already") {
		t.Error(out)
	}

	before := a.states()
	a.write("release", "two")
	a.write("env", "GREETING=bye\nPATH="+os.Getenv("PATH")+"\n")
	if out := a.does("restart"); !strings.Contains(out, "restarted in") || !strings.Contains(out, "new workers serve") || !strings.Contains(out, "GREETING has changed") {
		t.Error(out)
	}
	if got := a.get(); got != "two hello" {
		t.Errorf("after the restart the app answers %q", got)
	}
	after := a.states()
	if after["web"].PID != before["web"].PID || after["worker.1"].PID == before["worker.1"].PID || strings.Join(after["web"].Changed, " ") != "GREETING" {
		t.Errorf("%+v\n%+v", before, after)
	}
	a.does("restart", "web", "--hard")
	if got := a.get(); got != "two bye" {
		t.Errorf("after the hard restart the app answers %q", got)
	}
	a.does("reload", "web")

	a.write("release", "broken")
	if out := a.fails("restart", "worker.2"); !strings.Contains(out, "worker.2: it exited with status 1") || !strings.Contains(out, "this worker is broken") {
		t.Error(out)
	}
	a.write("release", "three")
	testkit.WaitFor(t, "it is tried again", a.allRun)

	a.does("scale", "worker=3")
	a.does("scale", "worker=1")
	a.does("stop", "other")
	if now := a.states(); len(now) != 3 || now["worker.1"].State != "running" || now["other.1"].State != "stopped" {
		t.Errorf("%+v", now)
	}
	if out := a.does("logs", "worker"); !strings.Contains(out, "worker.1 | worker begins, bye\n") {
		t.Error(out)
	}

	// The supervisor is killed. What it ran runs on, and the next one takes that over.
	before = a.states()
	supervisor.Process.Kill()
	supervisor.Wait()
	if now := a.states(); now["web"].PID != before["web"].PID || !strings.Contains(now["web"].Why, "the supervisor does not run") {
		t.Errorf("without a supervisor: %+v", now)
	}
	if a.get() != "two bye" {
		t.Error("the app does not serve without a supervisor")
	}
	next := a.command("supervise")
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { next.Process.Kill(); next.Wait() })
	testkit.WaitFor(t, "the next supervisor answers", func() bool { return a.states()["web"].Why == "" })
	after = a.states()
	for _, name := range []string{"web", "worker.1", "other.1"} {
		if after[name].PID != before[name].PID || after[name].State != before[name].State {
			t.Errorf("%+v after %+v", after[name], before[name])
		}
	}

	if out := a.does("uninstall"); !strings.Contains(out, "The supervisor has stopped all processes") {
		t.Error(out)
	}
	if err := next.Wait(); err != nil {
		t.Error(err)
	}
	if stillThere(after["web"].PID) || stillThere(after["worker.1"].PID) {
		t.Error("something is left")
	}
}

func TestTheSupervisorHeedsItsSignals(t *testing.T) {
	t.Parallel()
	a := newSupervised(t)
	events := filepath.Join(a.dir, "events")
	supervisor := a.supervise("--log", events)
	before := a.states()

	if err := os.Rename(events, events+".1"); err != nil {
		t.Fatal(err)
	}
	a.write("Procfile", "custom_web: "+testkit.Binary(t)+" -w 2 -b unix://"+a.socket+"\nworker: ruby looper.rb worker\nfresh: ruby looper.rb fresh\n")
	a.does("install", "--backend", "supervisor")
	supervisor.Process.Signal(syscall.SIGHUP)
	testkit.WaitFor(t, "what is new runs, and is in a new log", func() bool {
		text, _ := os.ReadFile(events)
		return a.states()["fresh.1"].State == "running" && strings.Contains(string(text), "fresh.1 is ready")
	})
	testkit.WaitFor(t, "what is gone has ended", func() bool { return !stillThere(before["other.1"].PID) })
	if now := a.states(); now["web"].PID != before["web"].PID {
		t.Errorf("%+v", now)
	}

	supervisor.Process.Signal(syscall.SIGQUIT)
	if err := supervisor.Wait(); err != nil {
		t.Error(err)
	}
	if !stillThere(before["web"].PID) {
		t.Error("QUIT has ended the processes")
	}
	supervisor = a.supervise()
	if now := a.states(); now["web"].PID != before["web"].PID {
		t.Errorf("%+v", now)
	}
	began := time.Now()
	supervisor.Process.Signal(syscall.SIGTERM)
	if err := supervisor.Wait(); err != nil {
		t.Error(err)
	}
	if stillThere(before["web"].PID) {
		t.Errorf("TERM leaves the web server, after %s", time.Since(began))
	}
}

// Processes write their logs as the user they run as.
func TestTheLogDirectoryBelongsToTheAppsUser(t *testing.T) {
	testkit.NeedRoot(t, "give a directory away")
	a := newSupervised(t)
	logs := filepath.Join(a.dir, "log")
	for user, want := range map[string]uint32{"nobody": 65534, "root": 0} {
		if err := os.RemoveAll(logs); err != nil {
			t.Fatal(err)
		}
		a.does("install", "--user", user)
		info, err := os.Stat(logs)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != want {
			t.Errorf("run as %s, the log directory belongs to %d", user, owner)
		}
	}
}
