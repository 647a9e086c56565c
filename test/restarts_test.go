package test

import (
	"fmt"
	"math/rand/v2"
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

// restartKinds are the ways to ask for new code, and what the log says when it serves.
var restartKinds = []struct {
	name     string
	signal   syscall.Signal
	finished string
}{
	{"phased", syscall.SIGUSR1, "Finished phased restart"},
	{"hot", syscall.SIGUSR2, "Finished hot restart"},
}

// way is a kind of restart, with the app loaded by each worker or by a mold.
type way struct {
	name     string // as the log calls it
	signal   syscall.Signal
	finished string
	flags    []string
}

func ways(t *testing.T, test func(t *testing.T, kind way)) {
	for _, kind := range restartKinds {
		for _, flags := range [][]string{nil, {"--preload"}} {
			t.Run(kind.name+strings.Join(flags, ""), func(t *testing.T) { test(t, way{kind.name, kind.signal, kind.finished, flags}) })
		}
	}
}

// start serves a deployment in this way.
func (w way) start(d *deployment, flags ...string) *testkit.Server {
	d.t.Helper()
	return d.start(append(flags, w.flags...)...)
}

// restarted sends a signal and waits until the log says for the nth time that it was carried out.
func restarted(t *testing.T, s *testkit.Server, sig syscall.Signal, finished string, nth int) {
	t.Helper()
	failures := strings.Count(s.Err.String(), "restart failed")
	s.Signal(sig)
	testkit.WaitFor(t, fmt.Sprintf("the log says %q for the %d. time", finished, nth), func() bool {
		if strings.Count(s.Err.String(), "restart failed") > failures {
			t.Fatal("the restart failed")
		}
		return strings.Count(s.Out.String(), finished) >= nth
	})
}

// serves checks that all that is answered from now on is of this version.
func serves(t *testing.T, s *testkit.Server, version string) {
	t.Helper()
	for range 8 {
		if r := s.Get("/"); r.Status != 200 || r.Body != version {
			t.Fatalf("got %d %q, want %q", r.Status, r.Body, version)
		}
	}
}

func TestRestartsLoseNoRequestAndKeepConnectionsOpen(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "2", "-t", "3")
		idle := s.Dial()
		idle.Send(testkit.Request("GET", "/", ""))
		idle.Response("GET")
		clients := startTraffic(s, 40)
		clients.flows(t)
		for i := range 3 {
			before := s.Workers()
			d.release("")
			restarted(t, s, kind.signal, kind.finished, i+1)
			serves(t, s, d.version())
			for _, w := range before {
				testkit.WaitFor(t, "the old workers are gone", func() bool { return !w.Alive() })
			}
			clients.flows(t)
		}
		clients.stop(t)
		idle.Send(testkit.Request("POST", "/", "still here"))
		if r := idle.Response("POST"); r.Body != d.version()+" got 10 bytes" {
			t.Errorf("a connection that was idle over three restarts got %+v", r)
		}
	})
}

func TestABrokenReleaseLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "2", "-t", "2")
		before := s.Workers()
		clients := startTraffic(s, 20)
		d.release("raise 'the database has no such table'\n")
		s.Signal(kind.signal)
		s.AwaitLog("the " + kind.name + " restart failed, phase 0 goes on serving")
		s.AwaitLog("RuntimeError: the database has no such table")
		s.AwaitLog("releases/2/config.ru:1")
		serves(t, s, "version 1")
		if after := s.Workers(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the workers were %v and are %v", before, after)
		}

		// A worker that dies now is replaced by one of the release that serves, wherever the link points.
		kill(t, before[0], syscall.SIGKILL)
		testkit.WaitFor(t, "there is another worker", func() bool {
			workers := s.Workers()
			return len(workers) == 2 && workers[0].PID != before[0].PID && strings.Count(s.Out.String(), " booted in ") >= 3
		})
		serves(t, s, "version 1")

		d.release("")
		restarted(t, s, kind.signal, kind.finished, 1)
		serves(t, s, "version 3")
		for i, l := range clients {
			// What was inside the killed worker cannot all be repeated: a POST is not.
			if r := l.Stop(); r.Failed > 3 || i%2 == 0 && r.Failed > 0 {
				t.Errorf("client %d: %s", i, r)
			}
		}
	})
}

func TestAReleaseThatFailsInItsSecondWorkerIsTakenBack(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2", "-t", "2")
	clients := startTraffic(s, 20)
	d.release("path = '" + d.dir + "/first'; File.exist?(path) ? raise('only one may boot') : File.write(path, '')\n")
	s.Signal(syscall.SIGUSR1)
	s.AwaitLog("RuntimeError: only one may boot")
	testkit.WaitFor(t, "both workers are of the old release", func() bool {
		for range 8 {
			if s.Get("/").Body != "version 1" {
				return false
			}
		}
		return true
	})
	clients.stop(t)
}

func TestANewGemfileIsServed(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "bundle")
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		bundle := func(version string) {
			gem := filepath.Join(d.path(d.n), "probe")
			if err := os.MkdirAll(filepath.Join(gem, "lib"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(gem, "lib/probe.rb"), "PROBE = '"+version+"'\n")
			write(t, filepath.Join(gem, "probe.gemspec"), "Gem::Specification.new { |s| s.name = 'probe'; s.version = '"+version+
				"'; s.summary = 'x'; s.author = 'x'; s.files = ['lib/probe.rb'] }\n")
			write(t, filepath.Join(d.path(d.n), "Gemfile"), "source Gem.sources.to_a.first\ngem 'rack'\ngem 'probe', path: 'probe'\n")
			lock(t, d.path(d.n))
		}
		extra := "require 'probe'\nENV['PROBE'] = PROBE + ' ' + Gem.loaded_specs['probe'].version.to_s\n"
		d.release(extra)
		bundle("1.0")
		s := kind.start(d, "-w", "2")
		if r := s.Get("/env?name=PROBE"); r.Body != "1.0 1.0" {
			t.Fatalf("got %+v", r)
		}
		clients := startTraffic(s, 20)
		d.release(extra)
		bundle("2.0")
		restarted(t, s, kind.signal, kind.finished, 1)
		for range 8 {
			if r := s.Get("/env?name=PROBE"); r.Body != "2.0 2.0" {
				t.Fatalf("got %+v", r)
			}
		}
		clients.stop(t)
	})
}

func TestDeletedReleasesAreNotMissed(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2")
	for i := range 3 {
		old := d.n
		d.release("")
		restarted(t, s, syscall.SIGUSR1, "Finished phased restart", i+1)
		if err := os.RemoveAll(d.path(old)); err != nil {
			t.Fatal(err)
		}
	}
	if r := s.Get("/lazy"); r.Body != "lazy 4" {
		t.Errorf("what is loaded late got %+v", r)
	}

	// A release that is deleted under its workers goes on serving, and its successor is there.
	old := d.n
	d.release("")
	if err := os.RemoveAll(d.path(old)); err != nil {
		t.Fatal(err)
	}
	serves(t, s, "version 4")
	w := s.Workers()[0]
	kill(t, w, syscall.SIGKILL)
	testkit.WaitFor(t, "a worker of the newer release is there", func() bool { return s.Get("/").Body == "version 5" })
	restarted(t, s, syscall.SIGUSR2, "Finished hot restart", 1)
	serves(t, s, "version 5")
}

func TestALongRequestIsServedToItsEndByItsOldWorker(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "1", "-t", "2")
		old := s.Worker()
		gate := filepath.Join(t.TempDir(), "gate")
		c := held(t, s, "POST", "/gate?file="+gate)
		d.release("")
		s.Signal(kind.signal)
		testkit.WaitFor(t, "the new release serves", func() bool { return s.Get("/").Body == "version 2" })
		if !old.Alive() {
			t.Error("the old worker is gone before its request")
		}
		write(t, gate, "")
		if r := c.Response("POST"); r.Body != "1 open" {
			t.Errorf("got %+v", r)
		}
		testkit.WaitFor(t, "the old worker is gone", func() bool { return !old.Alive() })
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Body != "version 2" {
			t.Errorf("on the same connection: %+v", r)
		}
	})
}

func TestAStuckWorkerDoesNotHoldARestartUpForEver(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "1", "-t", "2", "--shutdown-timeout", "1")
		old := s.Worker()
		c := held(t, s, "POST", "/sleep?s=1000")
		d.release("")
		restarted(t, s, kind.signal, kind.finished, 1)
		serves(t, s, "version 2")
		if r := c.Response("POST"); r.Status != 502 {
			t.Errorf("got %+v", r)
		}
		s.AwaitLog("it did not finish within 1s (--shutdown-timeout)")
		testkit.WaitFor(t, "the stuck worker is gone", func() bool { return !old.Alive() })
	})
}

func TestRequestsThatWaitForAThreadAreServedByTheNewRelease(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "1", "-t", "1", "--queue-limit", "5")
		gate := filepath.Join(t.TempDir(), "gate")
		running := held(t, s, "POST", "/gate?file="+gate)
		var waiting []*testkit.Client
		for range 5 {
			waiting = append(waiting, queued(t, s, "POST", "/"))
		}
		if r := s.Get("/"); r.Status != 503 {
			t.Errorf("the queue is not full: %+v", r)
		}
		d.release("")
		s.Signal(kind.signal)
		for _, c := range waiting {
			if r := c.Response("POST"); r.Body != "version 2" {
				t.Errorf("a queued request got %+v", r)
			}
		}
		write(t, gate, "")
		if r := running.Response("POST"); r.Body != "1 open" {
			t.Errorf("the one that filled the only thread got %+v", r)
		}
		s.AwaitLog(kind.finished)
	})
}

func TestRestartsTakeTurns(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2")
	clients := startTraffic(s, 20)
	d.release("sleep 0.5\n")
	s.Signal(syscall.SIGUSR1)
	s.AwaitLog("Starting phased restart, phase: 1")
	d.release("")
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog("Finished phased restart")
	s.AwaitLog("Finished hot restart")
	serves(t, s, "version 3")
	clients.stop(t)
	if workers := s.Workers(); len(workers) != 2 {
		testkit.WaitFor(t, "there are two workers", func() bool { return len(s.Workers()) == 2 })
	}
}

func TestAWorkerThatDiesDuringARestartCostsTheRestartNothing(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "2", "-t", "2")
		old := s.Workers()
		d.release("sleep 1\n")
		s.Signal(kind.signal)
		s.AwaitLog("Starting " + kind.name + " restart")
		kill(t, old[1], syscall.SIGKILL)
		s.AwaitLog(kind.finished)
		serves(t, s, "version 2")
		testkit.WaitFor(t, "there are two workers", func() bool { return len(s.Workers()) == 2 })
	})
}

func TestANewProcessThatDiesWhileItBootsFailsTheRestart(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "1", "-t", "2")
		old := slices.Concat(s.Workers(), s.Molds())
		fresh := func() []testkit.Process {
			now := slices.Concat(s.Workers(), s.Molds())
			return slices.DeleteFunc(now, func(p testkit.Process) bool { return slices.Contains(old, p) })
		}
		d.release("sleep\n")
		s.Signal(kind.signal)
		testkit.WaitFor(t, "a new process boots", func() bool { return len(fresh()) == 1 })
		kill(t, fresh()[0], syscall.SIGKILL)
		s.AwaitLog("was killed by SIGKILL before it was ready")
		serves(t, s, "version 1")
		if now := slices.Concat(s.Workers(), s.Molds()); fmt.Sprint(now) != fmt.Sprint(old) {
			t.Errorf("there were %v and are %v", old, now)
		}
	})
}

func TestATermDuringARestartStopsTheServer(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "2")
		d.release("sleep\n")
		s.Signal(kind.signal)
		testkit.WaitFor(t, "a new process boots", func() bool { return len(s.Workers()) > 2 || len(s.Molds()) > 1 })
		took(t, "the end", s.Stop)
	})
}

func TestTTINAndTTOUChangeTheNumberOfWorkers(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "1", "-t", "2")
	clients := startTraffic(s, 20)
	number := func(want int) {
		t.Helper()
		testkit.WaitFor(t, fmt.Sprintf("there are %d workers", want), func() bool { return len(s.Workers()) == want })
	}
	s.Signal(syscall.SIGTTIN)
	s.AwaitLog("Workers: 2")
	s.Signal(syscall.SIGTTIN)
	s.AwaitLog("Workers: 3")
	number(3)

	// A phased restart keeps what TTIN made of it; a hot one goes by the configuration again.
	d.release("")
	restarted(t, s, syscall.SIGUSR1, "Finished phased restart", 1)
	number(3)
	restarted(t, s, syscall.SIGUSR2, "Finished hot restart", 1)
	number(1)

	s.Signal(syscall.SIGTTOU)
	s.AwaitLog("there is one worker only, and one has to stay")
	number(1)
	serves(t, s, "version 2")
	clients.stop(t)
}

func TestHUPStopsNothing(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2")
	before := s.Workers()
	clients := startTraffic(s, 20)
	for range 5 {
		s.Signal(syscall.SIGHUP)
		clients.flows(t)
	}
	clients.stop(t)
	if after := s.Workers(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the workers were %v and are %v", before, after)
	}
}

func TestQUITStopsAtOnce(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2")
	c := held(t, s, "GET", "/sleep?s=1000")
	took(t, "the end", func() {
		s.Signal(syscall.SIGQUIT)
		if status := s.Exit(); status.ExitStatus() != 0 {
			t.Errorf("it ended with %v", status)
		}
	})
	if r, err := c.TryResponse("GET"); err == nil && r.Status == 200 {
		t.Errorf("the request got %+v", r)
	}
}

func TestAWorkerThatIsKilledFailsOnlyWhatCannotBeRepeated(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2", "-t", "2")
	clients := startTraffic(s, 40)
	for i := range 5 {
		clients.flows(t)
		kill(t, s.Workers()[0], syscall.SIGKILL)
		testkit.WaitFor(t, "it is replaced", func() bool { return strings.Count(s.Out.String(), " booted in ") == 3+i })
	}
	for i, l := range clients {
		r := l.Stop()
		if post := i%2 == 1; r.Failed > 0 && !post || r.Failed > 5*2 || r.Kinds["status 502"] != r.Failed {
			t.Errorf("client %d: %s", i, r)
		}
	}
}

func TestSignalsForTheFrontMeanNothingToWorkersAndMolds(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2", "-t", "2", "--preload")
	before := slices.Concat(s.Workers(), s.Molds())
	clients := startTraffic(s, 20)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGURG, syscall.SIGTTIN, syscall.SIGTTOU} {
		for _, p := range before {
			kill(t, p, sig)
		}
		clients.flows(t)
		if after := slices.Concat(s.Workers(), s.Molds()); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatalf("after %s there are %v, not %v", sig, after, before)
		}
	}
	clients.stop(t)
	restarted(t, s, syscall.SIGUSR1, "Finished phased restart", 1) // the mold is alive, too
}

func TestPidAndListeningSocketStayTheSame(t *testing.T) {
	t.Parallel()
	dir := testkit.ShortDir(t)
	d := deployed(t)
	s := d.start("-w", "1", "-b", "tcp://127.0.0.1:0", "-b", "unix://"+dir+"/socket", "--pidfile", dir+"/pid")
	socket, err := os.Stat(dir + "/socket")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range restartKinds {
		restarted(t, s, kind.signal, kind.finished, 1)
	}
	after, err := os.Stat(dir + "/socket")
	if err != nil || !os.SameFile(socket, after) {
		t.Errorf("the socket is another one: %v", err)
	}
	if text, err := os.ReadFile(dir + "/pid"); err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(s.PID) {
		t.Errorf("the pidfile says %q, %v", text, err)
	}
	c := testkit.DialURL(t, s.URLs[1])
	c.Send(testkit.Request("GET", "/", ""))
	if r := c.Response("GET"); r.Body != "version 1" {
		t.Errorf("got %+v", r)
	}
}

func TestAnAppOfALongBootLeavesNoGap(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		s := kind.start(d, "-w", "1", "-t", "2")
		clients := startTraffic(s, 25)
		d.release("sleep 2\n")
		restarted(t, s, kind.signal, kind.finished, 1)
		serves(t, s, "version 2")
		for _, l := range clients {
			r := l.Stop()
			// Without a ready worker for the two seconds of the boot, some request would have waited that long.
			if r.Failed > 0 || r.Max > time.Second*3/2 {
				t.Errorf("%s", r)
			}
		}
	})
}

func TestAChangedEnvironmentFileIsReadByEveryRestart(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, kind way) {
		d := deployed(t)
		file := filepath.Join(d.dir, "env")
		write(t, file, "FLAVOUR='mint # not a comment'\nGONE=soon\n")
		s := kind.start(d, "-w", "2", "--env-file", file)
		if r := s.Get("/env?name=FLAVOUR"); r.Body != "mint # not a comment" {
			t.Fatalf("got %+v", r)
		}
		clients := startTraffic(s, 20)
		write(t, file, "FLAVOUR=lime\n")
		if r := s.Get("/env?name=FLAVOUR"); r.Body != "mint # not a comment" {
			t.Errorf("before the restart: %+v", r)
		}
		restarted(t, s, kind.signal, kind.finished, 1)
		for range 8 {
			if r := s.Get("/env?name=FLAVOUR"); r.Body != "lime" {
				t.Fatalf("got %+v", r)
			}
		}
		if r := s.Get("/env?name=GONE"); r.Body != "unset" {
			t.Errorf("what left the file is still there: %+v", r)
		}
		clients.stop(t)

		// A file that is not there any more is a failed restart, not an app without its settings.
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		s.Signal(kind.signal)
		s.AwaitLog("restart failed")
		if r := s.Get("/env?name=FLAVOUR"); r.Body != "lime" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestAHotRestartReadsTheConfigurationAgain(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	file := filepath.Join(d.dir, "puma.rb")
	write(t, file, "workers 1\nthreads 2, 2\n")
	s := d.start("-C", file)
	clients := startTraffic(s, 20)
	write(t, file, "workers 3\nthreads 2, 2\npreload_app!\n")
	restarted(t, s, syscall.SIGUSR1, "Finished phased restart", 1)
	if workers, molds := s.Workers(), s.Molds(); len(workers) != 1 || len(molds) != 0 {
		t.Errorf("a phased restart keeps the configuration, but there are workers %v and molds %v", workers, molds)
	}
	restarted(t, s, syscall.SIGUSR2, "Finished hot restart", 1)
	testkit.WaitFor(t, "there are three workers and a mold", func() bool { return len(s.Workers()) == 3 && len(s.Molds()) == 1 })

	write(t, file, "workers 2\nno_such_setting 1\n")
	s.Signal(syscall.SIGUSR2)
	line := s.AwaitLog("the hot restart failed")
	if !s.Logged("no_such_setting") || !s.Logged("puma.rb") {
		t.Errorf("the mistake is not named: %s", line)
	}
	write(t, file, "workers 1\nthreads 2, 2\npreload_app! false\n")
	restarted(t, s, syscall.SIGUSR2, "Finished hot restart", 2)
	testkit.WaitFor(t, "there is one worker and no mold", func() bool { return len(s.Workers()) == 1 && len(s.Molds()) == 0 })
	serves(t, s, "version 1")
	clients.stop(t)
}

func TestAReforkMakesAMoldOfAWarmWorker(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2", "-t", "2", "--preload")
	clients := startTraffic(s, 30)
	for i := range 3 {
		workers, molds := s.Workers(), s.Molds()
		restarted(t, s, syscall.SIGURG, "Finished refork", i+1)
		for _, p := range slices.Concat(workers, molds) {
			testkit.WaitFor(t, "the old processes are gone", func() bool { return !p.Alive() })
		}
		if len(s.Molds()) != 1 || len(s.Workers()) != 2 {
			t.Errorf("there are molds %v and workers %v", s.Molds(), s.Workers())
		}
		clients.flows(t)
	}
	serves(t, s, "version 1")
	d.release("") // a refork takes no new code, a restart after it does
	restarted(t, s, syscall.SIGURG, "Finished refork", 4)
	serves(t, s, "version 1")
	restarted(t, s, syscall.SIGUSR1, "Finished phased restart", 1)
	serves(t, s, "version 2")
	clients.stop(t)
}

func TestAReforkWithoutAMoldIsRefused(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "1")
	s.Signal(syscall.SIGURG)
	s.AwaitLog("workers are forked from one another only with preload_app! or fork_worker")
	serves(t, s, "version 1")
}

func TestAMoldThatIsKilledIsReplacedWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "2", "-t", "2", "--preload")
	clients := startTraffic(s, 20)
	kill(t, s.Molds()[0], syscall.SIGKILL)
	worker := s.Workers()[0]
	kill(t, worker, syscall.SIGTERM) // it asks to be replaced, which needs a mold
	testkit.WaitFor(t, "there is another worker and another mold", func() bool {
		return !worker.Alive() && len(s.Workers()) == 2 && len(s.Molds()) == 1
	})
	for i, kind := range restartKinds {
		d.release("")
		kill(t, s.Molds()[0], syscall.SIGKILL)
		restarted(t, s, kind.signal, kind.finished, 1)
		serves(t, s, fmt.Sprintf("version %d", i+2))
	}
	clients.stop(t)
}

func TestATakenOverConnectionLivesAsLongAsTheRequestThatTookIt(t *testing.T) {
	t.Parallel()
	for _, kind := range restartKinds {
		t.Run(kind.name, func(t *testing.T) {
			s := testkit.Start(t, "hijack", "-w", "1", "-t", "2")
			ready := func(path string) *testkit.Client {
				c := s.Dial()
				c.Send(testkit.Request("GET", path, ""))
				c.Head()
				if line := c.Line(); line != "ready" {
					t.Fatalf("got %q", line)
				}
				return c
			}
			held, left := ready("/full-here"), ready("/full")
			s.Signal(kind.signal)
			testkit.WaitFor(t, "the new worker is there", func() bool { return strings.Count(s.Out.String(), " booted in ") == 2 })
			for range 3 {
				held.Send("still here\n")
				if line := held.Line(); line != "echo: still here" {
					t.Errorf("got %q", line)
				}
			}
			held.Send("bye\n")
			held.End()
			// Its request is over, so nothing holds the old worker: a client of WebSockets connects again, to the new one.
			left.End()
			s.AwaitLog(kind.finished)
			ready("/full").Close()
		})
	}
}

func TestAStormOfSignalsLosesNoRequest(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"-w", "2"}, {"-w", "2", "--preload"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			d := deployed(t)
			s := d.start(append(flags, "-t", "2")...)
			clients := startTraffic(s, 30)
			signals := []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGURG, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGHUP}
			for deadline := time.Now().Add(chaosTime); time.Now().Before(deadline); {
				if rand.IntN(3) == 0 {
					d.release("")
				}
				s.Signal(signals[rand.IntN(len(signals))])
				if workers := s.Workers(); rand.IntN(3) == 0 && len(workers) > 0 {
					syscall.Kill(workers[rand.IntN(len(workers))].PID, syscall.SIGTERM) //nolint:errcheck // gone is as good
				}
				time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			}
			d.release("")
			s.Signal(syscall.SIGUSR2)
			testkit.WaitFor(t, "the last release serves alone", func() bool {
				for range 8 {
					if s.Get("/").Body != d.version() {
						return false
					}
				}
				return len(s.Workers()) == 2
			})
			clients.flows(t)
			clients.stop(t)
		})
	}
}

func TestWorkersThatServedAreReplacedAtOnceHoweverOftenTheyAreKilled(t *testing.T) {
	t.Parallel()
	d := deployed(t)
	s := d.start("-w", "1")
	began := time.Now()
	for i := range 10 {
		if r := s.Get("/"); r.Status != 200 {
			t.Fatalf("got %+v", r)
		}
		kill(t, s.Worker(), syscall.SIGKILL)
		testkit.WaitFor(t, "it is replaced", func() bool { return strings.Count(s.Out.String(), " booted in ") == i+2 })
	}
	// With the pauses of an app that does not boot, the tenth alone would take 30 s.
	if took := time.Since(began); took > testkit.Patience/2 {
		t.Errorf("ten workers were replaced in %s", took)
	}
}
