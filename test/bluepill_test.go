package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// Bluepill on a host of its own: what becomes of processes when daemons come and go, and what scripts read.

const pagePill = "/etc/bluepill/autoload/cloud66_web_server.pill"

// newBluepillHost is a host with the page's app and a bluepill that is Serval.
func newBluepillHost(t *testing.T) *pageHost {
	t.Helper()
	h := newPageHost(t, map[string]string{
		"Procfile":              pageLine,
		"Gemfile":               "gem \"rack\"\ngem \"puma\"\n",
		".cloud66/manifest.yml": "production:\n  procfile_metadata:\n    web:\n      restart_signal: usr2\n",
	})
	h.Do("ln", "-s", h.Serval, "/usr/local/sbin/bluepill")
	h.Do("chown", "-R", "www-data:", "/srv/app")
	return h
}

var upWithPID = regexp.MustCompile(`^cloud66_web_server\(pid:(\d+)\): up\n\n$`)

// up waits until Bluepill says that the web server is up, and returns its process id.
func (h *pageHost) up() string {
	h.t.Helper()
	var found []string
	testkit.WaitFor(h.t, "the web server is up", func() bool {
		said, _ := h.Run("bluepill", "cloud66_web_server", "status")
		found = upWithPID.FindStringSubmatch(said)
		return found != nil
	})
	return found[1]
}

func TestBluepillControlsPuma(t *testing.T) {
	h := newBluepillHost(t)
	h.types("serval install --backend bluepill --user www-data --env-file /etc/app.env")
	if said := h.types("sudo bluepill load " + pagePill); said != "" {
		t.Errorf("load says %q", said)
	}
	h.front()
	first := h.up()
	if said := h.types("ps -o user= -p " + first); said != "www-data\n" {
		t.Errorf("it runs as %s", said)
	}

	if said, status := h.Run("setpriv", "--reuid", "nobody", "bluepill", "status"); status != 3 || said != "You must run bluepill as root or use --no-privileged option.\n" {
		t.Errorf("to nobody it says %q, %d", said, status)
	}

	h.deploy()
	if said := h.types("sudo bluepill cloud66_web_server restart"); said != "Sent restart to:\n  :cloud66_web_server\n" {
		t.Errorf("restart says %q", said)
	}
	h.answers()
	h.deploy()
	h.types("kill -USR2 $(cat /tmp/web_server.pid)")
	h.answers()
	if again := h.up(); again != first {
		t.Errorf("hot restarts have made %s of %s", again, first)
	}

	if said := h.types("sudo bluepill cloud66_web_server stop"); said != "Sent stop to:\n  :cloud66_web_server\n" {
		t.Errorf("stop says %q", said)
	}
	testkit.WaitFor(t, "it has stopped", func() bool {
		said, _ := h.Run("bluepill", "cloud66_web_server", "status")
		return said == "cloud66_web_server(pid:): unmonitored\n\n"
	})
	if status, _ := h.get("/"); status != 502 {
		t.Errorf("with the web server stopped, nginx says %d", status)
	}
	if said := h.types("sudo bluepill cloud66_web_server quit"); !regexp.MustCompile(`^Killing bluepilld\[\d+\]\n$`).MatchString(said) {
		t.Errorf("quit says %q", said)
	}
	if said, status := h.Run("bluepill", "status"); status != 2 || !strings.HasPrefix(said, "Error: There are no running bluepill daemons.\n") {
		t.Errorf("without a daemon status says %q, %d", said, status)
	}
	h.types("sudo bluepill load " + pagePill)
	h.up()
	h.answers()
}

func TestBluepillLeavesPumaAloneAndAdoptsIt(t *testing.T) {
	h := newBluepillHost(t)
	h.types("serval install --backend bluepill --user www-data --env-file /etc/app.env")
	h.types("bluepill load " + pagePill)
	h.front()
	first := h.up()
	if failed, report := h.under(func() {
		h.types("bluepill quit")
		h.types("bluepill load " + pagePill)
		if second := h.up(); second != first {
			t.Errorf("%s has become %s", first, second)
		}
		if said := h.types("bluepill load " + pagePill); !strings.HasPrefix(said, "Killing previous bluepilld[") {
			t.Errorf("a second load says %q", said)
		}
		if third := h.up(); third != first {
			t.Errorf("%s has become %s", first, third)
		}
	}); failed > 0 {
		t.Errorf("daemons came and went, and requests failed: %s", report)
	}
	h.Do("kill", "-KILL", first)
	if second := h.up(); second == first {
		t.Error("the number has not changed")
	}
	h.answers()

	// As after a boot: the pid file is from before it, and the number is somebody else's.
	h.types("bluepill quit")
	h.Do("bash", "-c", "kill -KILL $(cat /tmp/web_server.pid)")
	stranger := strings.TrimSpace(h.Do("bash", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"))
	h.Do("bash", "-c", "rm -rf /var/run/bluepill/journals; echo "+stranger+" >/tmp/web_server.pid; touch -d '1 hour ago' /tmp/web_server.pid")
	h.types("bluepill load " + pagePill)
	if now := h.up(); now == stranger {
		t.Error("a stranger is taken for the web server")
	}
	h.answers()
	h.types("bluepill cloud66_web_server stop")
	h.Do("kill", "-0", stranger)

	h.types("bluepill cloud66_web_server start")
	web := h.up()
	h.types("serval uninstall")
	if _, status := h.Run("test", "-e", pagePill); status == 0 {
		t.Error("the file is still there")
	}
	if _, status := h.Run("kill", "-0", web); status == 0 {
		t.Error("the web server is still there")
	}
	h.Do("kill", "-0", stranger)
}

func TestBluepillRunsAPumaThatStaysInTheForeground(t *testing.T) {
	h := newBluepillHost(t)
	h.Write("/etc/bluepill/autoload/shop.pill", `require "bluepill"
Bluepill.application("shop", log_file: "/var/log/shop.log") do |app|
  app.working_dir = "/srv/app"
  app.process("web") do |process|
    process.start_command = "bundle exec puma -e production -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid"
    process.pid_file = "/tmp/web_server.pid"
    process.restart_command = "kill -USR2 {{PID}}"
    process.start_grace_time = 8.seconds
    process.environment = { "GREETING" => "hello" }
  end
end
`)
	h.types("bluepill load /etc/bluepill/autoload/shop.pill")
	h.front()
	h.Do("ln", "-s", "bluepill", "/usr/local/sbin/shop")
	h.Do("ln", "-s", h.Serval, "/usr/local/sbin/bpsv")
	h.Do("ln", "-s", "/usr/local/sbin/bpsv", "/usr/local/sbin/web")
	h.deploy()
	if said := h.types("shop restart web"); said != "Sent restart to:\n  :web\n" { // the application is the link's name
		t.Errorf("%q", said)
	}
	h.answers()
	h.deploy()
	if said := h.types("web restart"); said != "Sent restart to:\n  :web\n" { // the target is the link's name
		t.Errorf("%q", said)
	}
	h.answers()
	testkit.WaitFor(t, "it is up", func() bool {
		said, _ := h.Run("shop", "status")
		return regexp.MustCompile(`^web\(pid:\d+\): up\n\n$`).MatchString(said)
	})
	if _, body := h.get("/greeting"); body != "hello" {
		t.Errorf("the greeting is %q", body)
	}
}

// bluepillAlone is a bluepill with a directory of its own, and nothing that runs.
func bluepillAlone(t *testing.T) (dir string, run func(words ...string) (out, errs string, status int)) {
	t.Helper()
	dir = testkit.ShortDir(t)
	program := filepath.Join(dir, "bluepill")
	if err := os.Symlink(testkit.Binary(t), program); err != nil {
		t.Fatal(err)
	}
	return dir, func(words ...string) (string, string, int) {
		cmd := exec.Command(program, append([]string{"--no-privileged", "-c", dir + "/base"}, words...)...)
		cmd.Dir = dir
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.Run()
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
}

func TestBluepillSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir, run := bluepillAlone(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = "Error: There are no running bluepill daemons.\nTo start a bluepill daemon, use: bluepill load <config file>\n"
	check := func(outWant, errsWant string, statusWant int, words ...string) {
		t.Helper()
		out, errs, status := run(words...)
		if out != outWant || errs != errsWant || status != statusWant {
			t.Errorf("%q: %d, %q, %q", words, status, out, errs)
		}
	}
	check("", nobody, 2, "status")
	check("", nobody, 2, "quit")
	check("", "Unknown command `web` (or application `web` has not been loaded yet)\n", 1, "web", "status")
	check("", "Can't find file: none.pill\n", 1, "load", "none.pill")
	write("bad.pill", "Bluepill.application('blog') { |app| app.process('web') { |p| p.pid_file = '/x' } }")
	check("", "Config Error: bad.pill:1: the process web has no start_command: set it, such as process.start_command = \"bundle exec puma\"\n", 6, "load", "bad.pill")
	write("nowhere.pill", "Bluepill.application('blog', log_file: '/no/such/log') { |app| app.process('web') { |p| p.start_command = 'sleep 1' } }")
	check("", "Failed to start bluepill:\ncannot open the log: open /no/such/log: no such file or directory\n", 5, "load", "nowhere.pill")
	check("", "unknown flag: --frobnicate. See bluepill --help\n", 1, "--frobnicate")

	write("two.pill", fmt.Sprintf(`puts "reading"
%%w[blog shop].each do |name|
  Bluepill.application(name, log_file: "%s/log") { |app| app.process("web") { |p| p.start_command = "sleep 600"; p.daemonize!; p.colour = 1 } }
end
`, dir))
	warning := "Warning: two.pill:3: colour is no attribute of a process and has no effect\n"
	check("reading\n", warning, 0, "load", "two.pill")
	t.Cleanup(func() {
		run("blog", "stop")
		run("shop", "stop")
		run("blog", "quit")
		run("shop", "quit")
	})
	check("", "You must specify an application name to run that command. Here's the list of running applications:\n  1. blog\n  2. shop\nUsage: bluepill [app] cmd [options]\n", 1, "stop")
	check("", "Unknown command `dance` (or application `dance` has not been loaded yet)\n", 1, "blog", "dance")
	check("No processes effected\n", "", 0, "blog", "unmonitor", "nobody")
	check("", "Received error from server:\nthe target \"a:b:c\" has more than a group and a process\n", 8, "blog", "stop", "a:b:c")
	if out, _, status := run("--version"); status != 0 || !strings.HasPrefix(out, "bluepill, version 0.1.3 (serval ") {
		t.Errorf("%d, %q", status, out)
	}
	if out, _, status := run("-h"); status != 0 || !strings.HasPrefix(out, "Usage: bluepill [app] cmd [options]\n") {
		t.Errorf("%d, %q", status, out)
	}
}

func TestBluepillShowsTheLogOfATarget(t *testing.T) {
	t.Parallel()
	dir, run := bluepillAlone(t)
	text := fmt.Sprintf(`Bluepill.application("blog", log_file: "%s/log") do |app|
  %%w[web worker].each { |name| app.process(name) { |p| p.start_command = "sleep 600"; p.daemonize!; p.start_grace_time = 1 } }
end
`, dir)
	if err := os.WriteFile(dir+"/blog.pill", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run("load", "blog.pill")
	t.Cleanup(func() { run("stop"); run("quit") })
	cmd := exec.Command(dir+"/bluepill", "--no-privileged", "-c", dir+"/base", "blog", "log", "web")
	said, err := os.Create(dir + "/said")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var shown string
	testkit.WaitFor(t, "what is added to the log is shown", func() bool {
		text, _ := os.ReadFile(dir + "/said")
		shown = string(text)
		return strings.Contains(shown, "Going from starting => up")
	})
	if !strings.HasPrefix(shown, "Tailing log for web...\n") || strings.Contains(shown, "worker") || !strings.Contains(shown, " INFO -- : [blog:web] ") {
		t.Errorf("%s", shown)
	}
}

func TestBluepillRunsInTheForegroundIfTheFileSaysSo(t *testing.T) {
	t.Parallel()
	dir, run := bluepillAlone(t)
	text := fmt.Sprintf(`Bluepill.application("blog", foreground: true, log_file: "%s/log") do |app|
  app.process("web") { |p| p.start_command = "sleep 600"; p.daemonize!; p.start_grace_time = 1 }
end
`, dir)
	if err := os.WriteFile(dir+"/blog.pill", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(dir+"/bluepill", "--no-privileged", "-c", dir+"/base", "load", dir+"/blog.pill")
	said, err := os.Create(dir + "/said")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "it says what it does", func() bool {
		text, _ := os.ReadFile(dir + "/said")
		return strings.Contains(string(text), "[info]: [blog:web] Going from starting => up\n")
	})
	run("stop")
	if out, _, status := run("quit"); status != 0 || out != fmt.Sprintf("Killing bluepilld[%d]\n", cmd.Process.Pid) {
		t.Errorf("quit says %q, %d", out, status)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestADaemonThatDoesNotMakeWayIsSaid(t *testing.T) {
	t.Parallel()
	dir, run := bluepillAlone(t)
	text := `Bluepill.application("blog", kill_timeout: 1, log_file: "/dev/null") { |app| app.process("web") { |p| p.start_command = "sleep 600"; p.auto_start = false } }`
	if err := os.WriteFile(dir+"/blog.pill", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, status := run("load", "blog.pill"); status != 0 {
		t.Fatalf("%d, %s, %s", status, out, errs)
	}
	t.Cleanup(func() { run("quit") })
	number, err := os.ReadFile(dir + "/base/pids/blog.pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(number))
	if err != nil {
		t.Fatal(err)
	}
	daemon := testkit.FindProcess(pid)
	if got := daemon.String(); got != fmt.Sprintf("%d (bluepilld: blog)", pid) {
		t.Errorf("it is called %s", got)
	}
	daemon.Freeze(t)
	out, errs, status := run("load", "blog.pill")
	if want := fmt.Sprintf("Killing previous bluepilld[%d]\n", pid); status != 4 || out != want || errs != fmt.Sprintf("Previous bluepilld[%d] didn't die\n", pid) {
		t.Errorf("%d, %q, %q", status, out, errs)
	}
	if out, errs, status := run("-t", "1", "--attempts", "2", "status"); status != 1 || out != "Retry 1 of 2\n" || errs != "Socket Timeout: Server may not be responding\n" {
		t.Errorf("%d, %q, %q", status, out, errs)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.WaitFor(t, "it is gone", func() bool { return !daemon.Alive() })
	if _, errs, status := run("status"); status != 2 {
		t.Errorf("with a socket that nobody listens on: %d, %q", status, errs)
	}
}
