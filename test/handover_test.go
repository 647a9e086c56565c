package test

import (
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

	"serval/internal/load"
	"serval/internal/testkit"
)

// program is a serval on disk that can be replaced by another version.
type program struct {
	t    testing.TB
	path string
}

// installed is a program with the version that everybody else tests.
func installed(t testing.TB) *program {
	t.Helper()
	p := &program{t, filepath.Join(t.TempDir(), "serval")}
	p.install(testkit.Binary(t))
	return p
}

// install puts another file in place of the program, in one step as packagers do.
func (p *program) install(path string) {
	p.t.Helper()
	next := p.path + ".new"
	// By another process: a file that this one had open for writing could be inherited by what is started beside, and not be
	// run meanwhile.
	if out, err := exec.Command("sh", "-c", `cp "$1" "$2" && chmod +x "$2"`, "sh", path, next).CombinedOutput(); err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Rename(next, p.path); err != nil {
		p.t.Fatal(err)
	}
}

// newerVersion is the version of the newer program.
const newerVersion = "99.0.0"

var newer struct {
	once sync.Once
	path string
	err  error
}

// newerProgram is a serval of another version.
func newerProgram(t testing.TB) string {
	t.Helper()
	newer.once.Do(func() {
		newer.path = filepath.Join(filepath.Dir(testkit.Binary(t)), "serval-newer")
		args := []string{"build", "-buildvcs=false", "-ldflags", "-X serval/internal/cli.Version=" + newerVersion, "-o", newer.path}
		cgo := "CGO_ENABLED=0"
		if testkit.Race {
			args, cgo = append(args, "-race"), "CGO_ENABLED=1"
		}
		build := exec.Command("go", append(args, "serval/cmd/serval")...)
		build.Env = append(os.Environ(), cgo)
		if out, err := build.CombinedOutput(); err != nil {
			newer.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if newer.err != nil {
		t.Fatal(newer.err)
	}
	return newer.path
}

// start serves a deployment with the program.
func (p *program) start(d *deployment, flags ...string) *testkit.Server {
	p.t.Helper()
	return testkit.Command{Program: []string{p.path}, Flags: append([]string{"--dir", d.current()}, flags...)}.Start(p.t)
}

const handoverFinished = "Finished hot restart"

// aloneAgain waits until the server is one front with so many workers.
func aloneAgain(t *testing.T, s *testkit.Server, workers int) {
	t.Helper()
	testkit.WaitFor(t, "the deputy is gone", func() bool {
		all := testkit.Descendants(s.PID)
		all = slices.DeleteFunc(all, func(p testkit.Process) bool { return !p.Alive() })
		return len(all) == workers
	})
}

// listeningInodes are the sockets on which a process listens for clients: ports, and the one with this path. The control
// socket is another matter.
func listeningInodes(t *testing.T, pid int, path string) string {
	t.Helper()
	var listening []string
	tcp, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	for _, socket := range testkit.Descriptors(t, pid) {
		inode, ok := strings.CutPrefix(strings.TrimSuffix(socket, "]"), "socket:[")
		for line := range strings.Lines(string(tcp) + string(unix)) {
			fields := strings.Fields(line)
			isTCP := len(fields) > 9 && fields[3] == "0A" && fields[9] == inode
			isUnix := len(fields) > 7 && fields[3] == "00010000" && fields[6] == inode && fields[7] == path
			if ok && (isTCP || isUnix) {
				listening = append(listening, inode)
			}
		}
	}
	slices.Sort(listening)
	return strings.Join(listening, " ")
}

// slowThings is an app with a large response, before that of whatTheReleaseSays.
const slowThings = `
use(Class.new do
  def initialize(app) = @app = app
  def call(env) = env["PATH_INFO"] == "/large" ? [200, { "content-length" => "8000000" }, ["x" * 8_000_000]] : @app.call(env)
end)
`

func TestANewProgramTakesOverAndNobodyNotices(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	d.release(slowThings)
	p := installed(t)
	sock := filepath.Join(testkit.ShortDir(t), "s")
	pidfile := filepath.Join(t.TempDir(), "pid")
	s := p.start(d, "-w", "2", "-t", "4", "-b", "tcp://127.0.0.1:0", "-b", "unix://"+sock, "--pidfile", pidfile)
	inodes := listeningInodes(t, s.PID, sock)
	if len(strings.Fields(inodes)) != 2 {
		t.Fatalf("it listens on the sockets %q", inodes)
	}

	idle, fresh := s.Dial(), testkit.DialURL(t, "unix://"+sock)
	idle.Send(testkit.Request("GET", "/", ""))
	idle.Response("GET")
	all := startTraffic(s, 30)
	all.flows(t)
	for round := 1; round <= 2; round++ {
		gate := filepath.Join(t.TempDir(), "gate")
		entered := filepath.Join(t.TempDir(), "entered")
		slow := s.Dial()
		slow.Send(testkit.Request("GET", "/gate?file="+gate, "", "X-Entered: "+entered) + testkit.Request("GET", "/", ""))
		testkit.WaitFor(t, "the slow request runs", func() bool { _, err := os.Stat(entered); return err == nil })
		upload := s.Dial()
		upload.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
		reader := s.Dial()
		reader.Send(testkit.Request("GET", "/large", ""))
		half := s.Dial()
		half.Send("GET / HTTP/1.1\r\nHo")
		time.Sleep(50 * time.Millisecond) // so that most of these have been read

		if round == 1 {
			p.install(newerProgram(t))
		} else {
			p.install(testkit.Binary(t))
		}
		s.Signal(syscall.SIGUSR2)
		testkit.WaitFor(t, "the deputy serves", func() bool {
			return strings.Count(s.Out.String(), "it gets the connections") == round
		})
		half.Send("st: a\r\n\r\n")
		if r := half.Response("GET"); r.Body != d.version() {
			t.Errorf("round %d: a head in two halves got %+v", round, r)
		}
		upload.Send("5\r\nlater\r\n0\r\n\r\n")
		if r := upload.Response("POST"); r.Body != d.version()+" got 10 bytes" {
			t.Errorf("round %d: the upload got %+v", round, r)
		}
		write(t, gate, "")
		if r := slow.Response("GET"); r.Body != "2 open" {
			t.Errorf("round %d: the slow request got %+v", round, r)
		}
		if r := slow.Response("GET"); r.Body != d.version() {
			t.Errorf("round %d: the request behind the slow one got %+v", round, r)
		}
		if r := reader.Response("GET"); len(r.Body) != 8_000_000 {
			t.Errorf("round %d: the slow reader got %d bytes", round, len(r.Body))
		}
		testkit.WaitFor(t, "the restart is finished", func() bool {
			return strings.Count(s.Out.String(), handoverFinished) == round
		})
		for _, c := range []*testkit.Client{slow, upload, reader, half} {
			c.Send(testkit.Request("GET", "/", ""))
			if r := c.Response("GET"); r.Body != d.version() {
				t.Errorf("round %d: a connection that had been busy got %+v", round, r)
			}
			c.Close()
		}
		aloneAgain(t, s, 2)
		if now := listeningInodes(t, s.PID, sock); now != inodes {
			t.Errorf("round %d: it listened on the sockets %s and listens on %s", round, inodes, now)
		}
		if text, err := os.ReadFile(pidfile); strings.TrimSpace(string(text)) != strconv.Itoa(s.PID) {
			t.Errorf("round %d: the pidfile says %q, %v", round, text, err)
		}
		all.flows(t)
	}
	all.stop(t)
	s.AwaitLog("Serval version: " + newerVersion)
	for _, c := range []*testkit.Client{idle, fresh} {
		c.Send(testkit.Request("POST", "/", "still here"))
		if r := c.Response("POST"); r.Body != d.version()+" got 10 bytes" {
			t.Errorf("a connection that was idle over all that got %+v", r)
		}
	}
}

func TestANewProgramThatDoesNotComeUpChangesNothing(t *testing.T) {
	t.Parallel()
	script := func(text string) func(*testing.T, *program, *deployment) {
		return func(t *testing.T, p *program, _ *deployment) {
			path := filepath.Join(t.TempDir(), "script")
			write(t, path, "#!/bin/sh\n"+text+"\n")
			p.install(path)
		}
	}
	for name, change := range map[string]struct {
		install func(*testing.T, *program, *deployment)
		says    string
	}{
		"no program": {func(t *testing.T, p *program, _ *deployment) {
			path := filepath.Join(t.TempDir(), "text")
			write(t, path, "this is no program")
			p.install(path)
		}, "cannot be run: exec format error"},
		"ends at once":                      {script("exit 3"), "ended before it was ready (exit status 3)"},
		"an older serval, without handover": {script("echo 'serval: the port is taken' >&2; exec 3>&-; sleep 2; exit 1"), "closed its socket before it was ready"},
		"another app": {func(t *testing.T, p *program, d *deployment) {
			p.install(newerProgram(t))
			d.release("raise 'the database has no such table'\n")
		}, "RuntimeError: the database has no such table"},
		"another configuration": {func(t *testing.T, p *program, d *deployment) {
			p.install(newerProgram(t))
			if err := os.Remove(filepath.Join(d.path(1), "config.ru")); err != nil {
				t.Fatal(err)
			}
		}, "config.ru"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, p := deployed(t), installed(t)
			s := p.start(d, "-w", "1", "-t", "3")
			idle := s.Dial()
			all := startTraffic(s, 10)
			all.flows(t)
			worker := s.Worker()
			change.install(t, p, d)
			s.Signal(syscall.SIGUSR2)
			s.AwaitLog("the hot restart failed, phase 0 goes on serving")
			s.AwaitLog(change.says)
			aloneAgain(t, s, 1)
			if now := s.Worker(); now != worker {
				t.Errorf("the worker was %v and is %v", worker, now)
			}
			all.flows(t)
			all.stop(t)
			idle.Send(testkit.Request("GET", "/", ""))
			if r := idle.Response("GET"); r.Body != "version 1" {
				t.Errorf("an idle connection got %+v", r)
			}
			// The next attempt works.
			d.release("")
			p.install(newerProgram(t))
			s.Signal(syscall.SIGUSR2)
			s.AwaitLog(handoverFinished)
			serves(t, s, d.version())
			aloneAgain(t, s, 1)
		})
	}
}

// Whoever deletes the program does not want another one.
func TestWithoutAProgramOnDiskAHotRestartReplacesTheWorkers(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	s := p.start(d, "-w", "1", "-t", "2")
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	d.release("")
	restarted(t, s, syscall.SIGUSR2, handoverFinished, 1)
	serves(t, s, d.version())
	if s.Logged("it gets the connections") {
		t.Error("a program that is not there took over")
	}
}

func TestAProgramThatIsInstalledAgainIsNoOther(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	s := p.start(d, "-w", "1", "-t", "2")
	p.install(testkit.Binary(t))
	restarted(t, s, syscall.SIGUSR2, handoverFinished, 1)
	if s.Logged("it gets the connections") {
		t.Error("the same program took over")
	}
}

// The app boots for a while each time, so the TERM finds every stage.
func TestATermDuringAHandoverStopsEverything(t *testing.T) {
	t.Parallel()
	says := func(text string, times int) func(*testkit.Server) bool {
		return func(s *testkit.Server) bool { return strings.Count(s.Out.String(), text) == times }
	}
	for name, stage := range map[string]func(*testkit.Server) bool{
		"while the deputy boots":       says("Serval version: "+newerVersion, 1),
		"when the deputy serves":       says("it gets the connections", 1),
		"while the main process boots": says("Serval version: "+newerVersion, 2),
		"when the main process serves": says("Use Ctrl-C to stop", 3),
		"when all is over":             says(handoverFinished, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, p := deployed(t), installed(t)
			d.release("sleep 1\n")
			s := p.start(d, "-w", "1", "-t", "3")
			idle, busy := s.Dial(), s.Dial()
			entered := filepath.Join(t.TempDir(), "entered")
			busy.Send(testkit.Request("GET", "/sleep?s=2", "", "X-Entered: "+entered))
			testkit.WaitFor(t, "the request runs", func() bool { _, err := os.Stat(entered); return err == nil })
			p.install(newerProgram(t))
			s.Signal(syscall.SIGUSR2)
			testkit.WaitFor(t, "the TERM is due "+name, func() bool { return stage(s) })
			s.Stop()
			if r := busy.Response("GET"); !strings.HasPrefix(r.Body, "2 slept") {
				t.Errorf("the request that ran got %+v", r)
			}
			idle.End()
		})
	}
}

func TestTheDeputyServesOnWhileTheMainProcessDoesNotComeUp(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	count := filepath.Join(t.TempDir(), "count")
	// The third boot fails: first the old program's, then the deputy's, then that of the main process.
	d.release("File.write('" + count + "', '.', mode: 'a'); raise 'not now' if File.size('" + count + "') == 3\n")
	s := p.start(d, "-w", "1", "-t", "3")
	all := startTraffic(s, 10)
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog("the new program does not come up in the main process")
	all.flows(t)
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog(handoverFinished)
	all.flows(t)
	all.stop(t)
	aloneAgain(t, s, 1)
}

func TestADeputyThatDiesWhileItBootsChangesNothing(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	d.release("sleep 1\n")
	s := p.start(d, "-w", "1", "-t", "3")
	all := startTraffic(s, 10)
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog("Serval version: " + newerVersion)
	for _, child := range testkit.Children(s.PID) {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", child.PID)); err == nil && exe == p.path {
			syscall.Kill(child.PID, syscall.SIGKILL)
		}
	}
	s.AwaitLog("ended before it was ready (signal: killed)")
	all.flows(t)
	all.stop(t)
	aloneAgain(t, s, 1)
}

func TestBindsThatAreAddedAndRemovedWithANewProgram(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	dir := testkit.ShortDir(t)
	file := filepath.Join(dir, "puma.rb")
	write(t, file, "bind 'unix://"+dir+"/kept'\nbind 'unix://"+dir+"/gone'\nworkers 1\nthreads 2, 2\n")
	s := testkit.Command{Program: []string{p.path}, Flags: []string{"--dir", d.current(), "-C", file}, OwnBinds: true}.Start(t)
	write(t, file, "bind 'unix://"+dir+"/kept'\nbind 'unix://"+dir+"/added'\nworkers 1\nthreads 2, 2\n")
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog(handoverFinished)
	for _, name := range []string{"kept", "added"} {
		c := testkit.DialURL(t, "unix://"+dir+"/"+name)
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Status != 200 {
			t.Errorf("at %s came %+v", name, r)
		}
	}
	testkit.WaitFor(t, "the bind that is not wanted any more is gone", func() bool {
		_, err := os.Lstat(dir + "/gone")
		return os.IsNotExist(err)
	})
	s.Stop()
	for _, name := range []string{"kept", "added"} {
		if _, err := os.Lstat(dir + "/" + name); err == nil {
			t.Errorf("the socket %s was left behind", name)
		}
	}
}

func TestANewProgramOfAnAppWithALongBootLeavesNoGap(t *testing.T) {
	t.Parallel()
	d, p := deployed(t), installed(t)
	d.release("sleep 4\n")
	s := p.start(d, "-w", "1", "-t", "3")
	l := load.Start(load.Config{URL: s.URLs[0], Rate: 200, KeepAlive: true, Timeout: testkit.Patience})
	p.install(newerProgram(t))
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog(handoverFinished)
	r := l.Stop()
	t.Logf("during a handover to a front whose app boots for 4 s: %s", r)
	if r.Failed > 0 || r.Silence > time.Second {
		t.Errorf("%s", r)
	}
}
