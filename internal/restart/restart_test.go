package restart

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/process"
	"serval/internal/testkit"
)

// app waits as the file "boot" says, and is broken when there is a file of that name.
const app = `sleep File.read("boot").to_f if File.exist?("boot")
raise "a typo" if File.exist?("broken")
run ->(env) { [200, {}, ["fine"]] }
`

// server is a web server that was started by a test, in a directory of its own.
type server struct {
	Web
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}

	mu   sync.Mutex
	said []string
}

// start starts a server with an app. $DIR in its words is its directory.
func start(t *testing.T, kind string, signal syscall.Signal, files map[string]string, words ...string) *server {
	t.Helper()
	t.Parallel()
	program := testkit.Need(t, words[0])
	dir, err := os.MkdirTemp("", "web") // sockets take short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, dir: dir, exited: make(chan struct{})}
	s.write("config.ru", app)
	for name, text := range files {
		s.write(name, text)
	}
	for i, word := range words {
		words[i] = strings.ReplaceAll(word, "$DIR", dir)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(program, words[1:]...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.exited
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("--- its log\n%s---", text)
		}
	})
	s.Service = installation.Service{
		Process: plan.Process{Web: true, Name: "web", Server: kind, RestartSignal: plan.Signal(signal)}, Socket: dir + "/sock", PIDFile: dir + "/pid",
	}
	s.Main = s.main
	s.Say = func(text string) { s.mu.Lock(); s.said = append(s.said, text); s.mu.Unlock() }
	return s
}

func (s *server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// main is the main process as a service manager that reads the pid file sees it.
func (s *server) main(context.Context) (int, error) {
	select {
	case <-s.exited:
	default:
		return s.cmd.Process.Pid, nil
	}
	if pid := readPID(s.Service.PIDFile); pid != 0 {
		if id, err := process.Find(pid); err == nil {
			return id.PID, nil
		}
	}
	return 0, nil
}

// workers are the workers that serve.
func (s *server) workers() (pids []int) {
	main, _ := s.main(context.Background())
	kind := kinds[s.Service.Process.Server]
	for _, id := range kind.workersOf(main) {
		if kind.serves(id.PID) {
			pids = append(pids, id.PID)
		}
	}
	slices.Sort(pids)
	return pids
}

func (s *server) serving() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := s.Serving(ctx); err != nil {
		s.t.Fatalf("it does not come up: %v", err)
	}
}

func (s *server) restart() error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	return s.Signal(ctx)
}

var (
	pumaWords    = []string{"puma", "-q", "-w", "2", "-b", "unix://$DIR/sock", "--pidfile", "$DIR/pid"}
	unicornFiles = map[string]string{"unicorn.rb": "worker_processes 2\nlisten File.expand_path(\"sock\")\npid File.expand_path(\"pid\")\n"}
)

// replaced restarts a server whose app takes a while to boot, and wants all workers to be new and to serve then.
func replaced(t *testing.T, s *server) {
	t.Helper()
	s.serving()
	before := s.workers()
	s.write("boot", "0.7")
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	after := s.workers()
	if len(before) != 2 || len(after) != 2 || slices.ContainsFunc(after, func(pid int) bool { return slices.Contains(before, pid) }) {
		t.Errorf("the workers were %v and are %v", before, after)
	}
	if !slices.Contains(s.said, "2 of 2 workers serve") {
		t.Errorf("it says %q", s.said)
	}
}

func TestPumasPhasedRestartIsOverWhenAllWorkersAreNew(t *testing.T) {
	replaced(t, start(t, "Puma", syscall.SIGUSR1, nil, slices.Clone(pumaWords)...))
}

func TestPumasHotRestartIsOverWhenItServesAgain(t *testing.T) {
	replaced(t, start(t, "Puma", syscall.SIGUSR2, nil, slices.Clone(pumaWords)...))
}

func TestPumasPreloadedWorkersAreReplacedByAHotRestart(t *testing.T) {
	replaced(t, start(t, "Puma", syscall.SIGUSR1, nil, append(slices.Clone(pumaWords), "--preload")...))
}

func TestUnicornsWorkersAreReplaced(t *testing.T) {
	s := start(t, "Unicorn", syscall.SIGUSR2, unicornFiles, "unicorn", "-c", "unicorn.rb")
	old := s.cmd.Process.Pid
	replaced(t, s)
	if main, _ := s.main(t.Context()); main == old || main == 0 {
		t.Errorf("the main process was %d and is %d", old, main)
	}
	if main, _ := s.main(t.Context()); main != 0 {
		syscall.Kill(main, syscall.SIGKILL) // it has another parent now
	}
}

func TestUnicornIsLeftAloneWhenItsPidFileNamesNobody(t *testing.T) {
	s := start(t, "Unicorn", syscall.SIGUSR2, unicornFiles, "unicorn", "-c", "unicorn.rb")
	s.serving()
	s.write("pid", "1\n")
	before := s.workers()
	if err := s.restart(); err == nil || !strings.Contains(err.Error(), "does not name its process") {
		t.Errorf("the error is %v", err)
	}
	if after := s.workers(); len(before) != 2 || !slices.Equal(before, after) {
		t.Errorf("the workers were %v and are %v", before, after)
	}
}

func TestUnicornsWorkersAreReplacedByHUP(t *testing.T) {
	replaced(t, start(t, "Unicorn", syscall.SIGHUP, unicornFiles, "unicorn", "-c", "unicorn.rb"))
}

func TestWorkersThatDoNotLoadTheAppEndARestart(t *testing.T) {
	s := start(t, "Puma", syscall.SIGUSR1, nil, slices.Clone(pumaWords)...)
	s.serving()
	before := s.workers()
	s.write("broken", "")
	if err := s.restart(); !errors.Is(err, errWorkersEnd) {
		t.Errorf("the error is %v", err)
	}
	if after := s.workers(); len(after) != 1 || !slices.Contains(before, after[0]) {
		t.Errorf("the workers were %v and are %v", before, after)
	}
}

func TestAMainProcessThatEndsIsTheEndOfARestart(t *testing.T) {
	s := start(t, "Puma", syscall.SIGUSR2, nil, "puma", "-q", "-b", "unix://$DIR/sock")
	s.serving()
	s.write("broken", "")
	if err := s.restart(); !errors.Is(err, ErrEnded) {
		t.Errorf("the error is %v", err)
	}
	if err := s.restart(); err == nil || !strings.Contains(err.Error(), "start it") {
		t.Errorf("without a process, the error is %v", err)
	}
}

func TestASignalThatNothingComesOfIsAnError(t *testing.T) {
	s := start(t, "webrick", syscall.SIGWINCH, nil, "puma", "-q", "-b", "unix://$DIR/sock")
	s.serving()
	if err := s.restart(); err == nil || !strings.Contains(err.Error(), "nothing is to be seen of a restart after winch") {
		t.Errorf("the error is %v", err)
	}
}

func TestSomeServersTakeAHardRestart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		process plan.Process
		hard    bool
	}{
		{plan.Process{Server: "Thin", RestartSignal: plan.Signal(syscall.SIGHUP)}, true},
		{plan.Process{Server: "Puma"}, true},
		{plan.Process{Server: "Unicorn", RestartSignal: plan.Signal(syscall.SIGUSR2)}, true},
		{plan.Process{Server: "Unicorn", RestartSignal: plan.Signal(syscall.SIGUSR2), PIDFile: "/tmp/pid"}, false},
		{plan.Process{Server: "Puma", RestartSignal: plan.Signal(syscall.SIGUSR1)}, false},
	} {
		if why := Hard(c.process); (why != "") != c.hard {
			t.Errorf("%+v: %q", c.process, why)
		}
	}
}
