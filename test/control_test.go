package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// controlled is a server with a control server, a state file and a pidfile, and an app that can be broken.
type controlled struct {
	*testkit.Server
	dir, state, pidfile string
}

func startControlled(t *testing.T, flags ...string) *controlled {
	t.Helper()
	c := &controlled{dir: testkit.ShortDir(t)}
	c.state, c.pidfile = filepath.Join(c.dir, "state"), filepath.Join(c.dir, "pid")
	c.release(t, `run ->(env) { sleep env["QUERY_STRING"].to_f; [200, {}, ["one"]] }`)
	flags = append([]string{"--dir", c.dir, "-t", "2", "-S", c.state, "--pidfile", c.pidfile}, flags...)
	c.Server = testkit.Command{Flags: flags, Dir: c.dir}.Start(t)
	return c
}

func (c *controlled) release(t *testing.T, rackup string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "config.ru"), []byte(rackup+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// call runs a program and returns what it wrote and its exit status.
func call(t *testing.T, program string, args ...string) (out, errs string, status int) {
	t.Helper()
	var o, e strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// named makes a link of a name to the binary.
func named(t *testing.T, name string) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(testkit.Binary(t), link); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestPumactlOperatesServal(t *testing.T) {
	testkit.Need(t, "pumactl")
	for name, program := range map[string]string{"Puma's own": "pumactl", "Serval under that name": named(t, "pumactl")} {
		t.Run(name, func(t *testing.T) {
			s := startControlled(t, "-w", "2", "--control-url", "auto")
			if info, err := os.Stat(s.state); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the state file: %v, %v", info, err)
			}
			ctl := func(want string, args ...string) string {
				t.Helper()
				out, errs, status := call(t, program, append([]string{"-F", "-"}, args...)...)
				if !strings.HasPrefix(out, want+"\n") || status != 0 {
					t.Errorf("%q: %d, %s%s", args, status, out, errs)
				}
				return strings.TrimPrefix(out, want+"\n")
			}
			ctl("Puma is started", "-S", s.state, "status")
			ctl("Puma is started", "-P", s.pidfile, "status")
			var stats struct {
				Workers int `json:"booted_workers"`
				Status  []struct {
					Last map[string]int `json:"last_status"`
				} `json:"worker_status"`
			}
			body := ctl("Command stats sent success", "-S", s.state, "stats")
			if err := json.Unmarshal([]byte(body), &stats); err != nil || stats.Workers != 2 || stats.Status[1].Last["max_threads"] != 2 {
				t.Errorf("stats: %s %v", body, err)
			}
			ctl("Command gc sent success", "-S", s.state, "gc")
			if body := ctl("Command gc-stats sent success", "-S", s.state, "gc-stats"); !strings.Contains(body, `"heap_live_slots"`) {
				t.Errorf("gc-stats: %s", body)
			}
			if body := ctl("Command thread-backtraces sent success", "-S", s.state, "thread-backtraces"); !strings.Contains(body, `"name":"Worker 0 `) {
				t.Errorf("thread-backtraces: %s", body)
			}
			ctl("Command phased-restart sent success", "-S", s.state, "phased-restart")
			s.AwaitLog("Finished phased restart")
			ctl("Command worker-count-up sent success", "-S", s.state, "worker-count-up")
			s.AwaitLog("- Workers: 3")
			ctl("Command restart sent success", "-P", s.pidfile, "restart")
			s.AwaitLog("Finished hot restart")
			for _, c := range []struct{ want, args string }{
				{"Invalid command: frobnicate", "frobnicate"},
				{"Unauthorized access to server (wrong auth token)", "-T wrong -C " + controlURL(t, s.state) + " stats"},
				{"State file not found: /none", "-S /none stats"},
				{"Neither pid nor control url available", "stop"},
				{`Command error: { "error": "refork not available" }`, "-S " + s.state + " refork"},
			} {
				out, _, status := call(t, program, append([]string{"-F", "-"}, strings.Fields(c.args)...)...)
				if strings.TrimSpace(out) != c.want || status != 1 {
					t.Errorf("%s: %d, %s", c.args, status, out)
				}
			}
			ctl("Command stop sent success", "-S", s.state, "stop")
			s.AwaitLog("Goodbye!")
			s.Exit()
			testkit.WaitFor(t, "the state file is gone", func() bool {
				_, err := os.Stat(s.state)
				return os.IsNotExist(err)
			})
		})
	}
}

func controlURL(t *testing.T, state string) string {
	t.Helper()
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if url, ok := strings.CutPrefix(line, "control_url: "); ok {
			return strings.TrimSpace(url)
		}
	}
	t.Fatalf("no control_url in %s", text)
	return ""
}

func TestCtlWaitsUntilARestartIsDoneAndFailsWithTheAppsError(t *testing.T) {
	s := startControlled(t, "-w", "2")
	ctl := func(args ...string) (string, string, int) {
		t.Helper()
		return call(t, testkit.Binary(t), append([]string{"ctl", "-P", s.pidfile}, args...)...)
	}
	for _, kind := range []string{"restart", "phased-restart"} {
		s.release(t, `run ->(_) { [200, {}, ["`+kind+`"]] }`)
		out, errs, status := ctl(kind)
		if status != 0 || !strings.Contains(out, ", 2 of 2\n") || !strings.Contains(out, "Command "+kind+" success in ") {
			t.Errorf("%s: %d\n%s%s", kind, status, out, errs)
		}
		if body := string(s.Get("/").Body); body != kind {
			t.Errorf("after the %s the app says %q", kind, body)
		}
		s.release(t, `raise "a broken release"`)
		out, errs, status = ctl(kind)
		if status != 1 || !strings.Contains(errs, "serval ctl: the app did not boot:\nRuntimeError: a broken release") || strings.Contains(out, "success") {
			t.Errorf("a broken %s: %d\n%s%s", kind, status, out, errs)
		}
		if body := string(s.Get("/").Body); body != kind {
			t.Errorf("after the broken %s the app says %q", kind, body)
		}
	}
	s.release(t, `run ->(_) { [200, {}, [""]] }`)
	if _, errs, status := ctl("refork"); status != 1 || !strings.Contains(errs, "only with preload_app! or fork_worker") {
		t.Errorf("refork: %d %s", status, errs)
	}
	if out, errs, status := ctl("worker-count-down"); status != 0 {
		t.Errorf("one fewer: %d %s%s", status, out, errs)
	}
	if _, errs, status := ctl("worker-count-down"); status != 1 || !strings.Contains(errs, "one has to stay") {
		t.Errorf("none: %d %s", status, errs)
	}
	out, _, status := ctl("status")
	if status != 0 || !strings.Contains(out, fmt.Sprintf("PID %d", s.PID)) || !strings.Contains(out, "serving") {
		t.Errorf("status: %d\n%s", status, out)
	}
	for line := range strings.Lines(out) {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if out, errs, status := ctl("stop"); status != 0 || syscall.Kill(s.PID, 0) == nil && !zombie(s.PID) {
		t.Errorf("stop: %d, and it lives\n%s%s", status, out, errs)
	}
	s.Exit()
	if _, errs, status := ctl("stop"); status != 1 || !strings.Contains(errs, "cannot read the pidfile") {
		t.Errorf("after the end: %d %s", status, errs)
	}
}

func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

func TestCtlHasItsTimeLimitAndItsQuietMode(t *testing.T) {
	s := startControlled(t)
	s.release(t, `sleep 3; run ->(_) { [200, {}, [""]] }`)
	began := time.Now()
	_, errs, status := call(t, testkit.Binary(t), "ctl", "-p", fmt.Sprint(s.PID), "--timeout", "0.3", "restart")
	if status != 1 || !strings.Contains(errs, "restart is not done after 300ms, and goes on (--timeout)") || time.Since(began) > 2500*time.Millisecond {
		t.Errorf("%d after %s: %s", status, time.Since(began), errs)
	}
	s.AwaitLog("Finished hot restart")
	s.release(t, `run ->(_) { [200, {}, [""]] }`)
	if out, errs, status := call(t, testkit.Binary(t), "ctl", "-p", fmt.Sprint(s.PID), "-Q", "restart"); out+errs != "" || status != 0 {
		t.Errorf("quiet: %d %s%s", status, out, errs)
	}
}

func TestMistakesAtCtlAreSentences(t *testing.T) {
	for args, want := range map[string]string{
		"":                               "2 a command is missing",
		"frobnicate":                     `2 "frobnicate" is no command: `,
		"restart stop":                   "2 one command at a time",
		"--frobnicate":                   "2 unknown flag --frobnicate",
		"-p x status":                    `2 --pid "x" is no process id`,
		"-p 0 status":                    `2 --pid "0" is no process id`,
		"--timeout soon stop":            `2 --timeout "soon" is not understood`,
		"--timeout -1 stop":              "2 --timeout -1s is below 0",
		"status":                         "1 no server is named",
		"-S /none status":                "1 State file not found: /none",
		"-P /none status":                "1 cannot read the pidfile /none: no such file or directory",
		"-C tcp://127.0.0.1:1 -T x stop": "1 nobody listens at tcp://127.0.0.1:1",
		"-C http://x -T x stop":          `1 the control URL "http://x" is not understood`,
		"-p 4194304 status":              "1 no process has the id 4194304",
		"-p 4194304 stats":               "1 stats needs a control server",
		"-p 4194304 stop":                "1 No pid '4194304' found",
	} {
		out, errs, status := call(t, testkit.Binary(t), append([]string{"ctl"}, strings.Fields(args)...)...)
		code, sentence, _ := strings.Cut(want, " ")
		if fmt.Sprint(status) != code || !strings.HasPrefix(errs, "serval ctl: "+sentence) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%q: %d %s%s", args, status, out, errs)
		}
	}
}

func TestUnderPumasNameServalIsPuma(t *testing.T) {
	puma := named(t, "puma")
	if out, _, status := call(t, puma, "-V"); status != 0 || !strings.HasPrefix(out, "puma version 8.") {
		t.Errorf("-V: %d %s", status, out)
	}
	if out, _, status := call(t, puma, "--help"); status != 0 || !strings.HasPrefix(out, "puma <options> <rackup file>\n") || !strings.Contains(out, "-C, --config") {
		t.Errorf("--help: %d %s", status, out)
	}
	s := testkit.Command{App: "hello", Program: []string{puma}}.Start(t)
	if !slices.ContainsFunc(s.URLs, func(url string) bool { return strings.HasPrefix(url, "http://") }) {
		t.Errorf("it listens on %q", s.URLs)
	}
}

func TestTouchingTmpRestartRestarts(t *testing.T) {
	s := startControlled(t, "--tmp-restart")
	if err := os.Mkdir(filepath.Join(s.dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "tmp", "restart.txt")
	testkit.WaitFor(t, "the file is made", func() bool { _, err := os.Stat(path); return err == nil })
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	s.AwaitLog("Finished hot restart")
}

func TestCtlIsOnlyForTheServersUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user")
	}
	s := startControlled(t)
	binary := filepath.Join(testkit.ShortDir(t), "serval")
	text, err := os.ReadFile(testkit.Binary(t))
	if err == nil {
		err = os.WriteFile(binary, text, 0o755)
	}
	if err == nil {
		err = os.Chmod(filepath.Dir(binary), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"status", "stop"} {
		cmd := exec.Command(binary, "ctl", "-p", fmt.Sprint(s.PID), command)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if want := fmt.Sprintf("serval ctl: PID %d belongs to another user: run this as that user or as root\n", s.PID); err == nil || string(out) != want {
			t.Errorf("%s: %v %s", command, err, out)
		}
	}
}

func TestCtlWaitsForAServerThatReplacesItself(t *testing.T) {
	dir := testkit.ShortDir(t)
	program := filepath.Join(dir, "serval")
	install := func(more string) {
		t.Helper()
		text, err := os.ReadFile(testkit.Binary(t))
		if err == nil {
			err = os.WriteFile(program+".new", append(text, more...), 0o755)
		}
		if err == nil {
			err = os.Rename(program+".new", program)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install("")
	state := filepath.Join(dir, "state")
	s := testkit.Command{App: "hello", Flags: []string{"-S", state, "--control-url", "unix://" + dir + "/c"}, Program: []string{program}}.Start(t)
	install("newer")
	out, errs, status := call(t, program, "ctl", "-p", fmt.Sprint(s.PID), "restart")
	if status != 0 || !strings.Contains(out, "Command restart success in ") {
		t.Errorf("%d %s%s", status, out, errs)
	}
	s.AwaitLog("Finished hot restart in ")
	testkit.WaitFor(t, "the control server of the new program answers", func() bool {
		out, _, status := call(t, program, "ctl", "-S", state, "status")
		return status == 0 && strings.Contains(out, fmt.Sprintf("PID %d", s.PID))
	})
}

func TestTheControlServerFollowsTheConfiguration(t *testing.T) {
	dir := testkit.ShortDir(t)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure := func(number string) {
		t.Helper()
		write("config/puma.rb", fmt.Sprintf("activate_control_app 'unix://%s/c%s', auth_token: 'token%s'\nstate_path '%s/state%s'\n", dir, number, number, dir, number))
	}
	write("config.ru", "run ->(_) { [200, {}, []] }\n")
	configure("1")
	s := testkit.Command{Flags: []string{"--dir", dir}, Dir: dir}.Start(t)
	ctl := func(args ...string) (string, string, int) {
		t.Helper()
		cmd := append([]string{"-c", `cd "$0" && exec "$@"`, dir, testkit.Binary(t), "ctl"}, args...)
		return call(t, "sh", cmd...)
	}
	// Without anything else the configuration says where the server is.
	if out, errs, status := ctl("-e", "production", "status"); status != 0 || !strings.Contains(out, fmt.Sprintf("PID %d", s.PID)) {
		t.Fatalf("%d %s%s", status, out, errs)
	}
	configure("2")
	if out, errs, status := ctl("-p", fmt.Sprint(s.PID), "restart"); status != 0 {
		t.Fatalf("%d %s%s", status, out, errs)
	}
	for args, want := range map[string]int{
		"-e production status":                        0,
		"-C unix://" + dir + "/c2 -T token2 stats":    0,
		"-C unix://" + dir + "/c2 -T token1 stats":    1,
		"-C unix://" + dir + "/c1 -T token1 stats":    1,
		"-S " + dir + "/state2 stats":                 0,
		"-S " + dir + "/state1 stats":                 1,
		"-F " + dir + "/config/puma.rb -e test stats": 0,
		"-F " + dir + "/config/none.rb -e test stats": 1,
	} {
		if out, errs, status := ctl(strings.Fields(args)...); status != want {
			t.Errorf("%s: %d %s%s", args, status, out, errs)
		}
	}
}

func TestCtlOperatesPuma(t *testing.T) {
	testkit.Need(t, "puma")
	dir := testkit.ShortDir(t)
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte("run ->(_) { [200, {}, []] }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	puma := exec.Command("puma", "-w", "1", "-b", "unix://"+dir+"/s", "-S", state, "--control-url", "unix://"+dir+"/c")
	puma.Dir = dir
	if err := puma.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		puma.Wait() //nolint:errcheck // that it ends is what counts
		close(over)
	}()
	t.Cleanup(func() {
		puma.Process.Kill() //nolint:errcheck // gone is as good
		<-over
	})
	testkit.WaitFor(t, "Puma's worker has booted", func() bool {
		out, _, status := call(t, testkit.Binary(t), "ctl", "-S", state, "stats")
		return status == 0 && strings.Contains(out, `"booted_workers":1`)
	})
	if out, errs, status := call(t, testkit.Binary(t), "ctl", "-S", state, "status"); status != 0 || !strings.HasPrefix(out, "Puma, up ") {
		t.Errorf("status: %d %s%s", status, out, errs)
	}
	if out, errs, status := call(t, testkit.Binary(t), "ctl", "-S", state, "phased-restart"); status != 0 || out != "Command phased-restart sent success\n" {
		t.Errorf("phased-restart: %d %s%s", status, out, errs)
	}
	if out, errs, status := call(t, testkit.Binary(t), "ctl", "-S", state, "stop"); status != 0 || !strings.Contains(out, "Command stop success in") {
		t.Errorf("stop: %d %s%s", status, out, errs)
	}
	select {
	case <-over:
	case <-time.After(testkit.Patience):
		t.Error("Puma is still there")
	}
}
