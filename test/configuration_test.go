package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// configured starts a server in a directory of its own that has a config/puma.rb.
func configured(t *testing.T, text string, flags ...string) (s *testkit.Server, path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "config", "puma.rb")
	writeBelow(t, path, text)
	return testkit.Command{Dir: dir, OwnBinds: true, Flags: flags}.Start(t), path
}

// writeBelow writes a file whose directory need not be there.
func writeBelow(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path, text)
}

// inFile is a configuration that needs no rackup file: its app answers with what it is told.
const inFile = `
bind "tcp://127.0.0.1:0"
app { |env| [200, {}, [env.values_at("REMOTE_ADDR", "rack.url_scheme", "HTTP_X_A", "serval.none").join(" ")]] }
`

func TestAConfigurationFileIsAllThatAServerNeeds(t *testing.T) {
	t.Parallel()
	s, _ := configured(t, inFile+`
workers 2
raise_exception_on_sigterm false
set_remote_address header: "X-Real-IP"
rack_url_scheme "https"
supported_http_methods %w[GET]
allow_underscore_headers false
queue_requests false
http_content_length_limit 3
`)
	for header, want := range map[string]string{
		"X-Real-IP: 192.0.2.9, 10.0.0.1": "192.0.2.9 https  ", "X-Other: 1": "127.0.0.1 https  ", "X_A: 1": "127.0.0.1 https  ",
		"X-A: 1": "127.0.0.1 https 1 ", "X-Real-IP:": "127.0.0.1 https  ",
	} {
		if r := s.Get("/", header); r.Body != want {
			t.Errorf("with %s: have %q, want %q", header, r.Body, want)
		}
	}
	if r := s.Do("DELETE", "/", ""); r.Status != 501 {
		t.Errorf("another method gets %d", r.Status)
	}
	if have := len(s.Workers()); have != 2 {
		t.Errorf("there are %d workers", have)
	}
	s.AwaitLog("config/puma.rb:11: queue_requests has no effect: ")
	s.Signal(syscall.SIGTERM)
	if status := s.Exit(); !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("it ended with %v", status)
	}
}

func TestEachRequestRunsInAFiberOfItsOwnIfAsked(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{"": "2", "fiber_per_request": "1", "clean_thread_locals": "1"} {
		s, _ := configured(t, `
bind "tcp://127.0.0.1:0"
threads 1
app { |_| [200, {}, [(Thread.current[:count] = Thread.current[:count].to_i + 1).to_s]] }
`+setting)
		s.Get("/")
		if have := s.Get("/").Body; have != want {
			t.Errorf("%q: the second request says %s", setting, have)
		}
	}
}

func TestAHotRestartReadsTheConfigurationAgainAndABrokenOneChangesNothing(t *testing.T) {
	t.Parallel()
	s, path := configured(t, inFile+"rack_url_scheme 'http'\n")
	if have := s.Get("/").Body; have != "127.0.0.1 http  " {
		t.Fatalf("have %q", have)
	}
	write(t, path, inFile+"rack_url_schme 'https'\n")
	s.Signal(syscall.SIGUSR2)
	s.AwaitLog("config/puma.rb:4: there is no setting called rack_url_schme: did you mean rack_url_scheme?")
	if have := s.Get("/").Body; have != "127.0.0.1 http  " {
		t.Errorf("after a broken one: have %q", have)
	}
	write(t, path, inFile+"rack_url_scheme 'https'\n")
	s.Signal(syscall.SIGUSR2)
	testkit.WaitFor(t, "the new scheme counts", func() bool { return s.Get("/").Body == "127.0.0.1 https  " })
}

func TestAMistakeInTheConfigurationIsOneSentenceAndStatus1(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"threads 5, 1\n":                 "serval: config/puma.rb:1: threads 5, 1: the smaller number comes first\n",
		"\nbind 'ssl://a:1?reuse=x'":     "serval: config/puma.rb:2: cannot listen on ssl://a:1?reuse=x: reuse must be dflt, or a size and a timeout in seconds, as 20480,600, not \"x\"\n",
		"tag 'x'\nraise 'not like this'": "serval: config/puma.rb:2: RuntimeError: not like this\n",
		"require 'no/such/library'\n":    "serval: config/puma.rb:1: LoadError: cannot load such file -- no/such/library\n",
	} {
		dir := t.TempDir()
		writeBelow(t, filepath.Join(dir, "config", "puma.rb"), text)
		write(t, filepath.Join(dir, "config.ru"), "run ->(_) { [200, {}, []] }\n")
		cmd := exec.Command(testkit.Binary(t))
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 1 || string(out) != want {
			t.Errorf("%q: have %d, %q", text, cmd.ProcessState.ExitCode(), out)
		}
	}
}

func TestTheReportOnTheConfigurationFitsATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeBelow(t, filepath.Join(dir, "config", "puma.rb"), "prune_bundler\nwait_for_less_busy_worker 0.1\nbefore_worker_shutdown { }\nactivate_control_app 'auto', auth_token: 'secret'\n")
	cmd := exec.Command(testkit.Binary(t), "config")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if len(line) > 81 && !strings.Contains(line, dir) {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
	for _, want := range []string{
		"  before_worker_shutdown    worker               config/puma.rb:3\n", "  control-token             hidden               config/puma.rb:4\n",
		"  config/puma.rb:1: prune_bundler has no effect: not needed: a phased restart\n", "  queue-limit               1024                 default\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestPumaStatsAnswersInBlocksOfTheMasterWhereTheAppHasPuma(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "puma")
	dir := t.TempDir()
	path := filepath.Join(dir, "stats")
	writeBelow(t, filepath.Join(dir, "config", "puma.rb"), inFile+`
require "puma"
workers 1
after_booted { Thread.new { File.write("`+path+`", Puma.stats_hash[:booted_workers].to_s) } }
`)
	testkit.Command{Dir: dir, OwnBinds: true}.Start(t)
	testkit.WaitFor(t, "the stats are there", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && string(text) == "1"
	})
}
