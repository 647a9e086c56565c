package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// preloaded is a server whose workers are forked from a mold. Its app says who loaded it, who answers, and what its process
// and those it was forked from have answered before.
func preloaded(t *testing.T, config string) *testkit.Server {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "puma.rb"), "workers 2\nthreads 1, 1\npreload_app!\n"+config)
	write(t, filepath.Join(dir, "config.ru"), `
LOADED_BY = Process.pid
SEEN = []
run ->(env) { SEEN << env["PATH_INFO"]; [200, {"content-type" => "text/plain"}, ["#{LOADED_BY} #{Process.pid} #{SEEN.first}"]] }
`)
	return testkit.Command{Dir: dir, Flags: []string{"-C", filepath.Join(dir, "puma.rb")}}.Start(t)
}

// said is what the app says: who loaded it, who answers, and the first path it was asked for.
func said(t *testing.T, s *testkit.Server, path string) (mold, worker int, first string) {
	t.Helper()
	body := s.Get(path).Body
	if _, err := fmt.Sscan(body, &mold, &worker, &first); err != nil {
		t.Fatalf("the app says %q: %v", body, err)
	}
	return mold, worker, first
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestWorkersSurviveTheirMold(t *testing.T) {
	t.Parallel()
	s := preloaded(t, "")
	mold, worker, _ := said(t, s, "/")
	if mold == worker || mold == s.PID {
		t.Fatalf("the app was loaded by %d, worker is %d, front %d", mold, worker, s.PID)
	}
	syscall.Kill(mold, syscall.SIGKILL)
	s.AwaitLog("the mold (PID " + strconv.Itoa(mold) + ") was killed by SIGKILL")
	if again, _, _ := said(t, s, "/"); again != mold {
		t.Errorf("the app was loaded by %d and not by %d", again, mold)
	}
	syscall.Kill(worker, syscall.SIGKILL)
	testkit.WaitFor(t, "a worker comes from a new mold", func() bool {
		other, _, _ := said(t, s, "/")
		return other != mold
	})
}

// Nobody would ever end them.
func TestTheEndOfTheFrontEndsMoldAndWorkers(t *testing.T) {
	t.Parallel()
	s := preloaded(t, "")
	mold, worker, _ := said(t, s, "/")
	s.Signal(syscall.SIGKILL)
	s.Exit()
	testkit.WaitFor(t, "mold and worker are gone", func() bool { return !alive(mold) && !alive(worker) })
}

func TestAReforkMakesWarmWorkers(t *testing.T) {
	t.Parallel()
	s := preloaded(t, "fork_worker 0\nbefore_refork { warn 'before the refork' }\nafter_refork { warn 'after the refork' }\n")
	for range 4 {
		said(t, s, "/warm")
	}
	mold, before, _ := said(t, s, "/warm")
	s.Signal(syscall.SIGURG)
	s.AwaitLog("Finished refork")
	for range 4 {
		by, now, first := said(t, s, "/cold")
		if by != mold || now == before || first != "/warm" {
			t.Errorf("after the refork, worker %d of the app loaded by %d has seen %s first; before, worker %d and %d", now, by, first, before, mold)
		}
	}
	log := s.Err.String()
	if b, a := strings.Index(log, "before the refork"), strings.Index(log, "after the refork"); b < 0 || a < b {
		t.Errorf("the hooks are not in the log, or not in order: %s", log)
	}
}

// A plugin runs in the mold, or in the only worker, and what it asks of the launcher is done by the front.
func TestPluginsStopTheServerThroughTheLauncher(t *testing.T) {
	t.Parallel()
	for mode, config := range map[string]string{"single": "workers 0\n", "cluster": "workers 2\n"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "lib/puma/plugin"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "lib/puma/plugin/ender.rb"), `
require "puma/plugin"
Puma::Plugin.create do
  def start(launcher)
    in_background do
      sleep 0.01 until File.exist?("end")
      launcher.stop
    end
  end
end
`)
			write(t, filepath.Join(dir, "puma.rb"), config+"plugin :ender\nafter_stopped { warn 'stopped' }\n")
			write(t, filepath.Join(dir, "config.ru"), `run ->(env) { File.write("end", ""); [200, {}, ["bye"]] }`)
			s := testkit.Command{Dir: dir, Flags: []string{"-I", filepath.Join(dir, "lib"), "-C", filepath.Join(dir, "puma.rb")}}.Start(t)
			if got := s.Get("/").Body; got != "bye" {
				t.Errorf("it says %q", got)
			}
			if status := s.Exit(); status.ExitStatus() != 0 {
				t.Errorf("it ended with %v", status)
			}
			if !s.Logged("stopped") {
				t.Error("after_stopped did not run")
			}
		})
	}
}
