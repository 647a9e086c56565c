package bluepill

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serval/internal/process"
	"serval/internal/sequence"
	"serval/internal/testkit"
)

// run is an application that is run, and a client for it.
type run struct {
	Client
	t    *testing.T
	app  Application
	quit func() // ends the daemon; the processes go on
}

// shell is a process that runs a script in the background.
func shell(name, script string) Process {
	return Process{
		Name: name, Start: []string{"sh", "-c", script}, Daemonize: true, OnStartTimeout: "start",
		StartGrace: 10 * time.Millisecond, StopGrace: 20 * time.Second, RestartGrace: 10 * time.Millisecond,
	}
}

// start runs an application until the test's end, which its processes do not survive.
func start(t *testing.T, processes ...Process) *run {
	t.Helper()
	base := testkit.ShortDir(t)
	for i := range processes {
		if processes[i].PIDFile == "" {
			processes[i].PIDFile = filepath.Join(base, "pids", "blog", processes[i].Group+processes[i].Name+".pid")
		}
	}
	r := &run{t: t, app: Application{Name: "blog", BaseDir: base, LogFile: filepath.Join(base, "blog.log"), Patience: 5 * time.Second, Processes: processes}}
	r.Client = Client{BaseDir: base, Timeout: testkit.Patience, Attempts: 1, Say: t.Logf}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- its log\n%s", r.log())
		}
	})
	t.Cleanup(r.end)
	r.load()
	return r
}

// load starts a daemon for the application.
func (r *run) load() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		Run(ctx, r.app, nil, func(err error) { ready <- err })
	}()
	r.quit = func() {
		cancel()
		<-over
	}
	if err := <-ready; err != nil {
		r.t.Fatal(err)
	}
}

// end ends the daemon and what it has left.
func (r *run) end() {
	r.quit()
	for _, p := range r.app.Processes {
		if id, err := p.find(process.ID{}); err == nil {
			syscall.Kill(-id.PID, syscall.SIGKILL)
			syscall.Kill(id.PID, syscall.SIGKILL)
		}
	}
}

func (r *run) log() string {
	text, _ := os.ReadFile(r.app.LogFile)
	return string(text)
}

func (r *run) ask(command, target string) string {
	r.t.Helper()
	lines, err := r.Ask("blog", command, target)
	if err != nil {
		r.t.Fatalf("%s %s: %v", command, target, err)
	}
	return strings.Join(lines, "\n")
}

// await waits until the status has a form, where N is a number, and returns the first such number.
func (r *run) await(status string) int {
	r.t.Helper()
	form := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(status), "N", "([0-9]+)") + "$")
	var found []string
	testkit.WaitFor(r.t, "the status is "+status, func() bool {
		found = form.FindStringSubmatch(r.ask("status", ""))
		return found != nil
	})
	if len(found) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(found[1])
	return pid
}

func (r *run) awaitLog(text string) {
	r.t.Helper()
	testkit.WaitFor(r.t, "the log says "+text, func() bool { return strings.Contains(r.log(), text) })
}

func TestAProcessIsStartedStoppedAndStartedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, shell("web", "sleep 600"))
	first := testkit.FindProcess(r.await("web(pid:N): up\n"))
	if got := r.ask("stop", "web"); got != ":web" {
		t.Errorf("stop says %q", got)
	}
	r.await("web(pid:): unmonitored\n")
	if first.Alive() {
		t.Error("it is still there")
	}
	if _, err := os.Stat(r.app.Processes[0].PIDFile); err == nil {
		t.Error("its pid file is still there")
	}
	r.ask("start", "")
	second := r.await("web(pid:N): up\n")
	if second == first.PID {
		t.Error("it has the same process id")
	}
	r.ask("start", "")
	r.awaitLog("Refusing to re-run start command on an already running process.")
	r.ask("restart", "")
	r.awaitLog("No restart_command specified. Must stop and start to restart")
	if third := r.await("web(pid:N): up\n"); third == second {
		t.Error("it has not restarted")
	}
}

func TestAProcessThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, shell("web", "sleep 600 & wait"))
	first := r.await("web(pid:N): up\n")
	var children []testkit.Process
	testkit.WaitFor(t, "it has a child", func() bool { children = testkit.Children(first); return len(children) == 1 })
	syscall.Kill(first, syscall.SIGKILL)
	r.awaitLog("Going from up => down")
	testkit.WaitFor(t, "what it has left behind is ended", func() bool { return !children[0].Alive() })
	if second := r.await("web(pid:N): up\n"); second == first {
		t.Error("it is the same")
	}
	history := r.ask("status", "web")
	if !regexp.MustCompile(`^web\(pid:\d+\): up\nevent history:`).MatchString(history) {
		t.Errorf("%q", history)
	}
}

func TestAnUnmonitoredProcessIsLeftAlone(t *testing.T) {
	t.Parallel()
	p := shell("web", "sleep 600")
	p.Unmonitored = true
	r := start(t, p, shell("worker", "exec sleep 600"))
	r.await("web(pid:): unmonitored\nworker(pid:N): up\n")
	r.ask("unmonitor", "worker")
	pid := r.await("web(pid:): unmonitored\nworker(pid:N): unmonitored\n")
	syscall.Kill(pid, syscall.SIGKILL)
	r.await("web(pid:): unmonitored\nworker(pid:): unmonitored\n")
	time.Sleep(3 * tick / 2) // it is not started at the next tick either
	r.await("web(pid:): unmonitored\nworker(pid:): unmonitored\n")
	if history := r.ask("status", "worker"); !strings.Contains(history, "unmonitor at ") || !strings.Contains(history, " - user initiated") {
		t.Errorf("%q", history)
	}
}

func TestTheNextDaemonAdoptsWhatTheLastOneLeft(t *testing.T) {
	t.Parallel()
	r := start(t, shell("web", "sleep 600"))
	first := r.await("web(pid:N): up\n")
	r.quit()
	if !testkit.FindProcess(first).Alive() {
		t.Fatal("it has gone with the daemon")
	}
	r.load()
	if second := r.await("web(pid:N): up\n"); second != first {
		t.Errorf("%d has become %d", first, second)
	}
	os.RemoveAll(filepath.Join(r.BaseDir, "journals")) // as when Bluepill itself has left it
	r.quit()
	r.load()
	if second := r.await("web(pid:N): up\n"); second != first {
		t.Errorf("%d has become %d", first, second)
	}
}

// stranger is a process that an application has nothing to do with.
func stranger(t *testing.T) testkit.Process {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return testkit.FindProcess(cmd.Process.Pid)
}

func TestAnOldPIDFileDoesNotMakeAStrangerOurs(t *testing.T) {
	t.Parallel()
	other := stranger(t)
	p := shell("web", "sleep 600")
	p.PIDFile = filepath.Join(t.TempDir(), "web.pid")
	write(t, p.PIDFile, strconv.Itoa(other.PID)+"\n")
	old := time.Now().Add(-time.Hour) // from before a boot
	if err := os.Chtimes(p.PIDFile, old, old); err != nil {
		t.Fatal(err)
	}
	r := start(t, p)
	if pid := r.await("web(pid:N): up\n"); pid == other.PID {
		t.Error("a stranger is taken for it")
	}
	r.awaitLog("which began after the file was written: it is left alone")
	r.ask("stop", "")
	r.await("web(pid:): unmonitored\n")
	if !other.Alive() {
		t.Error("the stranger was ended")
	}
}

func TestANumberThatIsUsedAgainIsSeenByTheJournal(t *testing.T) {
	t.Parallel()
	other := stranger(t)
	id, err := process.Find(other.PID)
	if err != nil {
		t.Fatal(err)
	}
	p := Process{PIDFile: filepath.Join(t.TempDir(), "web.pid")}
	write(t, p.PIDFile, strconv.Itoa(other.PID))
	if found, err := p.find(id); found != id || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	id.Start--
	if _, err := p.find(id); err == nil || !strings.Contains(err.Error(), "which is another one than it was") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "0", "1", "-5", "x", "99999999", strconv.Itoa(os.Getpid())} {
		write(t, p.PIDFile, text)
		if found, err := p.find(process.ID{}); err != errNone {
			t.Errorf("%q: %v, %v", text, found, err)
		}
	}
}

func TestACommandThatGoesIntoTheBackgroundByItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := shell("web", fmt.Sprintf("sleep 600 & echo $! >%s/web.pid", dir))
	p.Daemonize, p.PIDFile, p.StartGrace = false, dir+"/web.pid", 3*time.Second
	r := start(t, p)
	pid := r.await("web(pid:N): up\n")
	if text, _ := os.ReadFile(p.PIDFile); strings.TrimSpace(string(text)) != strconv.Itoa(pid) {
		t.Errorf("it is %d, and the file says %s", pid, text)
	}
	r.ask("stop", "")
	r.await("web(pid:): unmonitored\n")
	if testkit.FindProcess(pid).Alive() {
		t.Error("it is still there")
	}
}

func TestACommandThatStaysInTheForegroundIsTheProcessIfItsFileSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	named := shell("named", fmt.Sprintf("echo $$ >%s/named.pid; exec sleep 600", dir))
	named.Daemonize, named.PIDFile, named.StartGrace = false, dir+"/named.pid", time.Second
	nameless := shell("nameless", fmt.Sprintf("sleep 600 & echo $$ $! >>%s/started; wait", dir))
	nameless.Daemonize, nameless.StartGrace, nameless.OnStartTimeout = false, time.Second, "unmonitor"
	r := start(t, named, nameless)
	pid := r.await("named(pid:N): up\nnameless(pid:): unmonitored\n")
	if !testkit.FindProcess(pid).Alive() {
		t.Error("it is not there")
	}
	r.awaitLog("Did you forget to tell bluepill to daemonize this process?")
	text, _ := os.ReadFile(dir + "/started")
	for _, line := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(line)
		if testkit.FindProcess(pid).Alive() {
			t.Errorf("%d is left, and nobody looks after it", pid)
		}
	}
}

func TestAPIDCommandFindsTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := shell("web", fmt.Sprintf("sleep 600 & echo $! >%s/number", dir))
	p.Daemonize, p.StartGrace, p.PIDCommand, p.ForgetPID = false, 3*time.Second, fmt.Sprintf("cat %s/number | head -1", dir), true
	r := start(t, p)
	pid := r.await("web(pid:N): up\n")
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	r.ask("stop", "")
	r.await("web(pid:): unmonitored\n")
}

func TestStopSignalsAreSentInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := shell("web", fmt.Sprintf(`for s in QUIT TERM; do trap "echo $s >>%s/got" $s; done; sleep 700 & echo $! >%[1]s/child; while :; do sleep 0.1; done`, dir))
	p.StopSignals = sequence.MustParse("quit, 1, term, 1, kill")
	r := start(t, p)
	r.await("web(pid:N): up\n")
	began := time.Now()
	r.ask("stop", "")
	if time.Since(began) > time.Second {
		t.Error("the command waits for the end of the sequence")
	}
	r.await("web(pid:N): unmonitored\n")
	r.await("web(pid:): unmonitored\n")
	if got, _ := os.ReadFile(dir + "/got"); string(got) != "QUIT\nTERM\n" {
		t.Errorf("it got %q", got)
	}
	if text, _ := os.ReadFile(dir + "/child"); true {
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		testkit.WaitFor(t, "what it has left behind is gone", func() bool { return !testkit.FindProcess(pid).Alive() })
	}
}

func TestARestartCommandGetsTheProcessID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := shell("web", fmt.Sprintf(`trap "echo restarted >>%s/got" USR2; while :; do sleep 0.05; done`, dir))
	p.Restart = []string{"kill", "-USR2", "{{PID}}"}
	p.Stop = []string{"sh", "-c", "kill -KILL {{PID}}"}
	r := start(t, p)
	first := r.await("web(pid:N): up\n")
	if got := r.ask("restart", "web"); got != ":web" {
		t.Errorf("%q", got)
	}
	testkit.WaitFor(t, "it is told", func() bool { got, _ := os.ReadFile(dir + "/got"); return string(got) == "restarted\n" })
	if second := r.await("web(pid:N): up\n"); second != first {
		t.Error("it is another process")
	}
	r.ask("stop", "")
	r.await("web(pid:): unmonitored\n")
	r.awaitLog(fmt.Sprintf("Executing stop command: sh -c 'kill -KILL %d'", first))
}

func TestAProcessThatFlapsIsLeftAlone(t *testing.T) {
	t.Parallel()
	p := shell("web", "exit 1")
	p.Flapping = &Flapping{Times: 2, Within: time.Minute}
	again := shell("worker", "exit 1")
	again.Flapping = &Flapping{Times: 2, Within: time.Minute, RetryIn: 100 * time.Millisecond}
	r := start(t, p, again)
	r.awaitLog("[blog:web] Flapping detected: retrying in 0 seconds")
	r.awaitLog("[blog:worker] Flapping detected: retrying in 0.1 seconds")
	testkit.WaitFor(t, "it is left alone", func() bool { return strings.Contains(r.ask("status", "web"), "unmonitor at ") })
	testkit.WaitFor(t, "the other is tried again", func() bool { return strings.Contains(r.ask("status", "worker"), "start at ") })
}

func TestChecksRestartWhatIsNotWell(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Swap(false) {
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, "fine")
	}))
	t.Cleanup(server.Close)
	p := shell("web", "sleep 600")
	p.Checks = []Check{{Kind: "http", Every: tick, Failures: 1, Of: 2, Fires: []string{"restart"}, URL: server.URL, Lowest: 200, Highest: 299, Pattern: "^fine$", Open: time.Second, Read: time.Second}}
	r := start(t, p)
	first := r.await("web(pid:N): up\n")
	r.awaitLog("http: [200 OK]")
	ill.Store(true)
	r.awaitLog("http dispatched: restart")
	testkit.WaitFor(t, "it has restarted", func() bool { return !testkit.FindProcess(first).Alive() })
	r.await("web(pid:N): up\n")
	if history := r.ask("status", "web"); !strings.Contains(history, "restart at ") || !strings.Contains(history, "500 Internal Server Error*") {
		t.Errorf("%q", history)
	}
}

func TestWhatChecksMeasure(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	id, err := process.Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	table := func() process.Table { all, _ := process.All(); return all }
	testkit.WaitFor(t, "it has used some time", func() bool { return cpu(table(), id, false) > 5 })
	for _, c := range []struct {
		Check
		well bool
	}{
		{Check{Kind: "cpu_usage", Below: 1}, false},
		{Check{Kind: "cpu_usage", Below: 1000, Children: true}, true},
		{Check{Kind: "mem_usage", Below: 1000}, false},
		{Check{Kind: "mem_usage", Below: 1 << 30}, true},
		{Check{Kind: "running_time", Below: 3600}, true},
		{Check{Kind: "running_time", Below: 0}, false},
		{Check{Kind: "file_time", File: file, Below: 3600}, true},
		{Check{Kind: "file_time", File: file, Below: 0}, false},
		{Check{Kind: "file_time", File: file + ".none", Below: 3600}, false},
		{Check{Kind: "http", URL: "http://127.0.0.1:1/", Open: time.Second, Read: time.Second}, false},
		{Check{Kind: "zombie_process"}, true},
		{Check{Kind: "always_true"}, true},
	} {
		if r := c.measure(t.Context(), id, table); r.well != c.well {
			t.Errorf("%+v: %+v", c.Check, r)
		}
	}
	w := &watch{Check: Check{Kind: "x", Failures: 2, Of: 3}}
	var fired []bool
	for _, well := range []bool{false, true, true, false, true, false} {
		fired = append(fired, w.add(result{"1", well}))
	}
	if want := []bool{false, false, false, false, false, true}; !slices.Equal(fired, want) || w.String() != "x: [1*, 1, 1*]" {
		t.Errorf("%v, %s", fired, w)
	}
}

func TestChildrenAreListedAndWatched(t *testing.T) {
	t.Parallel()
	p := shell("web", "sleep 611 & sleep 711 & wait; sleep 612")
	p.Children = &Children{Stop: []string{"kill", "-TERM", "{{PID}}"}, StopGrace: time.Second}
	r := start(t, p)
	r.await("web(pid:N): up\n  <child(pid:N)>: up\n  <child(pid:N)>: up\n")
	r.ask("stop", "")
	r.await("web(pid:): unmonitored\n")

	p.Children.Checks = []Check{{Kind: "running_time", Every: tick, Failures: 1, Of: 1, Fires: []string{"stop"}, Below: 0}}
	r = start(t, p)
	r.awaitLog("Executing stop command of child ")
	r.await("web(pid:N): up\n  <child(pid:N)>: up\n") // the last sleep, which the next tick ends
}

func TestTargets(t *testing.T) {
	t.Parallel()
	a, b, c := shell("web", "sleep 600"), shell("one", "sleep 600"), shell("two", "sleep 600")
	b.Group, c.Group = "workers", "workers"
	for i := range []int{0, 1, 2} {
		[]*Process{&a, &b, &c}[i].Unmonitored = true
	}
	r := start(t, a, b, c)
	for target, want := range map[string]string{
		"":            "web(pid:): unmonitored\n\nworkers:\n  one(pid:): unmonitored\n  two(pid:): unmonitored\n",
		"workers":     "workers:\n  one(pid:): unmonitored\n  two(pid:): unmonitored\n",
		"web":         "web(pid:): unmonitored\nevent history:\n\n",
		":web":        "web(pid:): unmonitored\nevent history:\n",
		"two":         "\ntwo(pid:): unmonitored\nevent history:\n",
		"workers:two": "two(pid:): unmonitored\nevent history:\n",
		"workers:web": "",
		"nobody":      "\n",
		"nobody:web":  "",
	} {
		if got := r.ask("status", target); got != want {
			t.Errorf("status of %q is %q", target, got)
		}
	}
	for target, want := range map[string]string{"": ":web\nworkers:one\nworkers:two", "workers": "workers:one\nworkers:two", "two": "workers:two", "workers:two": "workers:two", "nobody": ""} {
		if got := r.ask("unmonitor", target); got != want {
			t.Errorf("unmonitor %q has an effect on %q", target, got)
		}
	}
	for _, line := range []string{"a:b:c", "dance"} {
		if _, err := r.Ask("blog", "status", line); line != "dance" && err == nil {
			t.Errorf("%q is understood", line)
		}
	}
	if _, err := r.Ask("blog", "dance", ""); err == nil || err.Error() != `there is no command "dance"` {
		t.Errorf("%v", err)
	}
}

func TestProcessesThatWantItAreRestartedOneByOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var processes []Process
	for _, name := range []string{"a", "b"} {
		p := shell(name, "sleep 600")
		p.Restart = []string{"sh", "-c", fmt.Sprintf("echo %s begins >>%s/log; sleep 0.3; echo %[1]s ends >>%[2]s/log", name, dir)}
		p.RestartGrace, p.OneByOne = 10*time.Second, []string{"restart"}
		processes = append(processes, p)
	}
	r := start(t, processes...)
	r.await("a(pid:N): up\nb(pid:N): up\n")
	r.ask("restart", "")
	testkit.WaitFor(t, "both have restarted", func() bool { text, _ := os.ReadFile(dir + "/log"); return strings.Count(string(text), "\n") == 4 })
	if text, _ := os.ReadFile(dir + "/log"); string(text) != "a begins\na ends\nb begins\nb ends\n" {
		t.Errorf("%s", text)
	}
}

func TestAProcessIsSomebodyElse(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "start processes of others")
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	p := shell("web", "id -un; id -gn; echo $HOME $A; pwd; echo $PWD; sleep 600")
	p.User, p.Stdout, p.Stderr, p.Environment, p.Directory = "nobody", dir+"/out", dir+"/out", []string{"A=b"}, "/var/tmp"
	p.PIDFile = dir + "/web.pid"
	r := start(t, p)
	os.Chmod(r.BaseDir, 0o755)
	r.await("web(pid:N): up\n")
	var text []byte
	testkit.WaitFor(t, "it has written all", func() bool { text, _ = os.ReadFile(dir + "/out"); return strings.Count(string(text), "\n") == 5 })
	if string(text) != "nobody\nnogroup\n/nonexistent b\n/var/tmp\n/var/tmp\n" {
		t.Errorf("%s", text)
	}
	for _, path := range []string{dir + "/out", dir + "/web.pid"} {
		if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid == 0 {
			t.Errorf("%s is root's, %v", path, err)
		}
	}
	secret := shell("thief", "sleep 600")
	secret.User, secret.Stdout = "nobody", filepath.Join(r.BaseDir, "journals", "out")
	r2 := start(t, secret)
	r2.awaitLog("permission denied")
}

func TestOnlyOneDaemonRunsAnApplication(t *testing.T) {
	t.Parallel()
	r := start(t, shell("web", "sleep 600"))
	var failed error
	Run(t.Context(), r.app, nil, func(err error) { failed = err })
	if failed != ErrRunning {
		t.Errorf("%v", failed)
	}
	if got := r.Running(); !slices.Equal(got, []string{"blog"}) {
		t.Errorf("%q run", got)
	}
	if id, err := r.Daemon("blog"); err != nil || id.PID != os.Getpid() {
		t.Errorf("%v, %v", id, err)
	}
	if _, err := r.Ask("shop", "status", ""); err != ErrRefused {
		t.Errorf("%v", err)
	}
}
