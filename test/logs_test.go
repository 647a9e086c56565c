package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// jsonLog starts a server that logs JSON, and requests.
func jsonLog(t *testing.T, flags ...string) *testkit.Server {
	t.Helper()
	return testkit.Start(t, "logged", append([]string{"--log-format", "json", "-v"}, flags...)...)
}

// logLine waits for the line of JSON that has all of these fields, and returns it.
func logLine(t *testing.T, s *testkit.Server, want map[string]any) (found map[string]any) {
	t.Helper()
	testkit.WaitFor(t, fmt.Sprintf("a line has %v", want), func() bool {
		for _, line := range jsonLines(t, s.Out.String()+s.Err.String()) {
			if has(line, want) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

func has(line, want map[string]any) bool {
	for key, value := range want {
		if line[key] != value {
			return false
		}
	}
	return true
}

// jsonLines reads whole lines of JSON.
func jsonLines(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Errorf("no JSON: %q: %v", line, err)
		}
		lines = append(lines, object)
	}
	return lines
}

func TestTheWholeLogCanBeJSON(t *testing.T) {
	t.Parallel()
	s := jsonLog(t, "-w", "2")
	s.Get("/raise", "X-Request-Id: abc-1")
	s.Get("/die")
	s.Get("/big?kb=1", "Referer: http://example.com/", "User-Agent: Test/1", fmt.Sprintf("X-Request-Start: t=%d.5", time.Now().Unix()-2))
	s.Get("/hijack")
	c := s.Dial()
	c.Send("nonsense\r\n\r\n")
	c.Rest()

	front := float64(s.PID)
	logLine(t, s, map[string]any{"event": "listening", "level": "info", "pid": front, "url": s.URLs[0]})
	booted := logLine(t, s, map[string]any{"event": "worker_booted", "worker": 1.0, "generation": 0.0})
	if !strings.HasPrefix(booted["message"].(string), "Worker 1 (PID: ") || booted["worker_pid"].(float64) < 2 {
		t.Errorf("have %v", booted)
	}
	raised := logLine(t, s, map[string]any{"event": "exception", "level": "error", "error": "RuntimeError", "path": "/raise", "request_id": "abc-1"})
	if raised["message"] != `RuntimeError: "oh" (GET /raise)` || !strings.Contains(raised["details"].(string), "logged.ru:") {
		t.Errorf("have %v", raised)
	}
	died := logLine(t, s, map[string]any{"event": "worker_died", "level": "error"})
	if !strings.Contains(died["message"].(string), "GET /die") {
		t.Errorf("have %v", died)
	}
	asked := logLine(t, s, map[string]any{
		"event": "request", "target": "/big?kb=1", "status": 200.0, "bytes": 1024.0, "method": "GET", "version": "HTTP/1.1", "remote": "127.0.0.1",
		"referer": "http://example.com/", "user_agent": "Test/1",
	})
	if proxy, _ := asked["proxy_ms"].(float64); proxy < 500 || proxy > 1000*testkit.Patience.Seconds() {
		t.Errorf("the proxy had it for %v ms", asked["proxy_ms"])
	}
	if _, err := time.Parse(time.RFC3339Nano, asked["time"].(string)); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"duration_ms", "queue_ms", "worker", "worker_pid"} {
		if _, ok := asked[key].(float64); !ok {
			t.Errorf("%s is %v", key, asked[key])
		}
	}
	logLine(t, s, map[string]any{"event": "request", "target": "/hijack", "hijacked": true})
	logLine(t, s, map[string]any{"event": "request", "status": 400.0, "method": "-"})
	s.Stop()
	logLine(t, s, map[string]any{"event": "stopped", "level": "info"})
	jsonLines(t, s.Out.String())
	jsonLines(t, s.Err.String())
}

func TestTheLogSaysHowLongARequestWaitedForAThread(t *testing.T) {
	t.Parallel()
	s := jsonLog(t, "-t", "1")
	running, open := gated(t, s, "GET")
	waiting, left := s.Dial(), s.Dial()
	waiting.Send(testkit.Request("GET", "/id?waits", ""))
	left.Send(testkit.Request("GET", "/id?leaves", ""))
	time.Sleep(50 * time.Millisecond) // at least so long they wait
	left.Close()
	logLine(t, s, map[string]any{"target": "/id?leaves", "status": 499.0, "aborted": true})
	open()
	running.Response("GET")
	waiting.Response("GET")
	for _, path := range []string{"/id?waits", "/id?leaves"} {
		line := logLine(t, s, map[string]any{"target": path})
		if waited := line["queue_ms"].(float64); waited < 1 || line["duration_ms"].(float64) < waited {
			t.Errorf("have %v", line)
		}
	}
	if line := logLine(t, s, map[string]any{"target": "/id?leaves"}); line["worker"] != nil {
		t.Errorf("no worker had it, and yet: %v", line)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestTheLogSaysWhoLeftInTheMiddle(t *testing.T) {
	t.Parallel()
	s := jsonLog(t)
	c := s.Dial()
	c.Send(testkit.Request("GET", "/stream", ""))
	c.Head()
	c.Reset()
	logLine(t, s, map[string]any{"target": "/stream", "status": 200.0, "aborted": true})
}

var uuid = regexp.MustCompile(`\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)

func TestEveryRequestCanHaveAnID(t *testing.T) {
	t.Parallel()
	s := jsonLog(t, "--request-id")
	for headers, kept := range map[string]string{
		"X-Request-Id: abc.DEF_9-":                    "abc.DEF_9-",
		"Accept: */*":                                 "",
		"X-Request-Id: two words":                     "",
		"X-Request-Id: " + strings.Repeat("x", 129):   "",
		"X-Request-Id: one\r\nX-Request-Id: two":      "",
		"X-Request-Id: good\r\nX_Request_Id: smuggle": "good",
		"X_Request_Id: smuggle":                       "",
	} {
		r := s.Get("/id", headers)
		seen, answered := strings.Trim(r.Body, `"`), r.Header.Get("X-Request-Id")
		if seen != answered || kept != "" && seen != kept || kept == "" && !uuid.MatchString(seen) {
			t.Errorf("%s: the app sees %s, the client gets %s", headers, seen, answered)
		}
		logLine(t, s, map[string]any{"event": "request", "request_id": seen})
	}
	if r := s.Get("/own-id"); len(r.Header.Values("X-Request-Id")) != 1 || r.Header.Get("X-Request-Id") != "from-the-app" {
		t.Errorf("have %v", r.Header)
	}
}

func TestWithoutTheSettingIDsAreTheAppsAffair(t *testing.T) {
	t.Parallel()
	s := jsonLog(t)
	if r := s.Get("/id", "X-Request-Id: two words"); r.Body != `"two words"` || r.Header.Get("X-Request-Id") != "" {
		t.Errorf("have %+v", r)
	}
	if r := s.Get("/id"); r.Body != "nil" {
		t.Errorf("have %+v", r)
	}
	s.Get("/own-id")
	logLine(t, s, map[string]any{"target": "/own-id", "request_id": "from-the-app"})
	s.Get("/id?mine", "X-Request-Id: mine")
	logLine(t, s, map[string]any{"target": "/id?mine", "request_id": "mine"})
}

func TestAHangupReopensLogsOfJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, errs := filepath.Join(dir, "out"), filepath.Join(dir, "err")
	url := "unix://" + testkit.ShortDir(t) + "/s"
	s := testkit.Command{App: "logged", Flags: []string{"-b", url, "-v", "--log-format", "json", "--redirect-stdout", out, "--redirect-stderr", errs}}.Launch(t)
	read := func(path string) string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
	testkit.WaitFor(t, "it listens", func() bool { return strings.Contains(read(out), "Use Ctrl-C") })
	ask := func(path string) {
		c := testkit.DialURL(t, url)
		c.Send(testkit.Request("GET", path, "", "Connection: close"))
		c.Response("GET")
	}
	ask("/raise?1")
	testkit.WaitFor(t, "both are written", func() bool {
		return strings.Contains(read(out), "raise?1") && strings.Contains(read(errs), "exception")
	})
	for _, path := range []string{out, errs} {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
	s.Signal(syscall.SIGHUP)
	testkit.WaitFor(t, "there are new files", func() bool { return exists(out) && exists(errs) })
	testkit.WaitFor(t, "they are written", func() bool {
		ask("/raise?2")
		return strings.Contains(read(out), "raise?2") && strings.Contains(read(errs), "exception")
	})
	s.Stop()
	for _, path := range []string{out, out + ".1", errs, errs + ".1"} {
		if len(jsonLines(t, read(path))) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
}

func TestAFullDiskStopsNoRequest(t *testing.T) {
	t.Parallel()
	url := "unix://" + testkit.ShortDir(t) + "/s"
	s := testkit.Command{App: "logged", Flags: []string{"-b", url, "-v", "--redirect-stdout", "/dev/full"}}.Launch(t)
	s.AwaitLog("cannot write the log: no space left on device")
	var c *testkit.Client
	testkit.WaitFor(t, "it serves", func() bool {
		status := 0
		if exists(strings.TrimPrefix(url, "unix://")) {
			c = testkit.DialURL(t, url)
			c.Send(testkit.Request("GET", "/", ""))
			status = c.Response("GET").Status
		}
		return status == 200
	})
	for range 200 {
		c.Send(testkit.Request("GET", "/raise", ""))
		if r := c.Response("GET"); r.Status != 500 {
			t.Fatalf("got %+v", r)
		}
	}
	s.Stop()
	if n := strings.Count(s.Err.String(), "cannot write the log"); n != 1 {
		t.Errorf("it was said %d times:\n%s", n, s.Err)
	}
}

// A reader that hangs is worse than one that is gone: writes to it wait for ever.
func TestALogReaderThatHangsStopsNoRequest(t *testing.T) {
	t.Parallel()
	path := testkit.ShortDir(t) + "/s"
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command(testkit.Binary(t), "-v", "-w", "1", "--queue-limit", "0", "-t", "1", "-b", "unix://"+path, testkit.App(t, "logged"))
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	testkit.WaitFor(t, "it listens", func() bool { return exists(path) })
	c := testkit.DialURL(t, "unix://"+path)
	long := strings.Repeat("x", 10<<10)
	for range 50 { // half a megabyte of lines, and nobody reads a byte
		c.Send(testkit.Request("GET", "/?"+long, ""))
		if r := c.Response("GET"); r.Status != 200 {
			t.Fatalf("got %+v", r)
		}
	}
	cmd.Process.Signal(syscall.SIGTTIN) // makes for events
	c.Send(testkit.Request("GET", "/", ""))
	if r := c.Response("GET"); r.Status != 200 {
		t.Fatalf("got %+v", r)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(testkit.Patience):
		t.Error("it does not end")
	}
}

// Puma's log_formatter and custom_logger work on the front's lines, in a worker or in the mold.
func TestLinesGoThroughTheAppsOwnLogger(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config string
		flags  []string
	}{
		"a worker":               {"log_formatter { |line| \"<#{$0[/mold/] || 'worker'}> #{line}\" }", nil},
		"a mold":                 {"log_formatter { |line| \"<mold> #{line}\" }\nbefore_fork { }", []string{"-w", "2"}},
		"a preloaded":            {"log_formatter { |line| \"<mold> #{line}\" }\npreload_app!", []string{"-w", "2"}},
		"a formatter that fails": {"log_formatter { |line| raise 'no' }", []string{"-w", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := filepath.Join(t.TempDir(), "puma.rb")
			write(t, config, tt.config)
			s := testkit.Start(t, "logged", append([]string{"-v", "-C", config}, tt.flags...)...)
			for i := range 20 {
				s.Get(fmt.Sprintf("/id?%d", i))
			}
			s.Stop()
			prefix := map[string]string{"a worker": "<worker> ", "a mold": "<mold> ", "a preloaded": "<mold> ", "a formatter that fails": ""}[name]
			for i := range 20 {
				line := regexp.MustCompile(fmt.Sprintf(`(?m)^%s127\.0\.0\.1 - - .*GET /id\?%d HTTP`, prefix, i))
				if n := len(line.FindAllString(s.Out.String(), -1)); n != 1 {
					t.Errorf("request %d is in the log %d times:\n%s", i, n, s.Out)
				}
			}
			if !strings.Contains(s.Out.String(), prefix+"Use Ctrl-C to stop\n") || !strings.Contains(s.Out.String(), prefix+"- Gracefully stopping") {
				t.Errorf("the log is\n%s", s.Out)
			}
		})
	}
}

func TestACustomLoggerGetsTheLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, out := filepath.Join(dir, "puma.rb"), filepath.Join(dir, "out")
	write(t, config, fmt.Sprintf("logger = Object.new\ndef logger.write(line) = File.open(%q, 'a') { |f| f.write(\"#{line};\\n\") }\ncustom_logger logger\n", out))
	url := "unix://" + testkit.ShortDir(t) + "/s"
	s := testkit.Command{App: "logged", Flags: []string{"-b", url, "-v", "-C", config}}.Launch(t)
	testkit.WaitFor(t, "it listens", func() bool { text, _ := os.ReadFile(out); return strings.Contains(string(text), "Use Ctrl-C") })
	c := testkit.DialURL(t, url)
	c.Send(testkit.Request("GET", "/id", ""))
	c.Response("GET")
	c.Close()
	s.Stop()
	text, _ := os.ReadFile(out)
	if !regexp.MustCompile(`(?m)^\* Listening on .*;\n(.*\n)*127\.0\.0\.1 - - .*GET /id HTTP.*;$`).Match(text) {
		t.Errorf("the logger got %q, standard output %q", text, s.Out)
	}
	if s.Logged("GET /id") {
		t.Errorf("standard output has it, too: %s", s.Out)
	}
}
