package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

const appOnPuma = `
require "puma"
run ->(env) { [200, {}, [env["PATH_INFO"] == "/stats" ? Puma.stats : Puma.cli_config.options[:preload_app].inspect]] }
`

// An app that has gem puma asks it about the server that it runs in.
func TestPumaStatsAnswersInAWorker(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "puma")
	for name, c := range map[string]struct {
		flags      []string
		size, want string
	}{
		"single":  {nil, `"max_threads":2`, "false"},
		"cluster": {[]string{"-w", "2"}, `"workers":2`, "false"},
		"preload": {[]string{"-w", "2", "--preload"}, `"workers":2`, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "config.ru"), appOnPuma)
			s := testkit.Command{Dir: dir, Flags: append([]string{"-t", "2"}, c.flags...)}.Start(t)
			if got := s.Get("/stats").Body; !json.Valid([]byte(got)) || !strings.Contains(got, c.size) || !strings.Contains(got, `"versions"`) {
				t.Errorf("it says %s", got)
			}
			if got := s.Get("/").Body; got != c.want {
				t.Errorf("preload_app is %q", got)
			}
		})
	}
}

func TestTheLastStatusOfAWorkerHasItsNumbers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "puma.rb"), `
workers 1
threads 3, 3
after_worker_shutdown { |handle| File.write("status.part", handle.last_status.map { |k, v| "#{k}=>#{v}" }.join(" ")); File.rename("status.part", "status") }
`)
	write(t, filepath.Join(dir, "config.ru"), `run ->(env) { [200, {}, ["hello"]] }`)
	s := testkit.Command{Dir: dir, Flags: []string{"-C", "puma.rb"}}.Start(t)
	for range 5 {
		s.Get("/")
	}
	s.Signal(syscall.SIGUSR1)
	var text []byte
	for deadline := time.Now().Add(testkit.Patience); text == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the block does not run")
		}
		text, _ = os.ReadFile(filepath.Join(dir, "status"))
	}
	have := string(text)
	for _, want := range []string{"requests_count=>5", "max_threads=>3", "running=>3", "busy_threads=>0"} {
		if !strings.Contains(have, want) {
			t.Errorf("%s is not in %s", want, have)
		}
	}
}

func TestTheEndOfAWorkerThatOutlivesARestartIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "puma.rb"), `
workers 1
threads 1, 1
after_worker_shutdown { |handle| File.write("ended", "#{handle.pid}\n", mode: "a") }
`)
	s := testkit.Command{App: "slow", Dir: dir, Flags: []string{"-C", "puma.rb"}}.Start(t)
	pid := s.Get("/pid").Body
	c, open := gated(t, s, "GET")
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog("Finished hot restart")
	open()
	if r := c.Response("GET"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
	testkit.WaitFor(t, "the block runs for the old worker", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "ended"))
		return strings.TrimSpace(string(text)) == strings.TrimSpace(pid)
	})
}
