package test

import (
	"encoding/json"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// servedApp answers with what the file "release" said when it was loaded, and with a variable.
const servedApp = `RELEASE = File.read("release").strip
raise "this release is broken" if RELEASE == "broken"
run ->(env) { [200, {}, ["#{RELEASE} #{ENV["GREETING"]}"]] }
`

// looper is a worker that says when it begins, and ends at TERM.
const looper = `$stdout.sync = true
raise "this worker is broken" if File.read("release").strip == "broken"
trap("TERM") { puts "#{ARGV[0]} ends"; exit }
puts "#{ARGV[0]} begins, #{ENV["GREETING"]}"
sleep
`

const servedManifest = `procfile_metadata:
  worker: { count: 2, stop_sequence: "term, 5, kill" }
  other: { restart_on_deploy: false }
`

// newServed is a host on which the app blog is installed, with a web server and the processes worker (twice) and other.
func newServed(t *testing.T, web string, files map[string]string) *host {
	t.Helper()
	t.Parallel()
	h := &host{testkit.NewSandbox(t), t}
	h.Do("useradd", "--system", "--user-group", "--create-home", "deploy")
	all := map[string]string{
		"config.ru": servedApp, "looper.rb": looper, "release": "one", ".cloud66/manifest.yml": servedManifest,
		"Procfile": "custom_web: " + web + "\nworker: ruby looper.rb worker\nother: ruby looper.rb other\n",
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		h.Write("/srv/blog/current/"+name, text)
	}
	h.Write("/etc/app.env", "GREETING=hello\n")
	h.Do("chown", "-R", "deploy:", "/srv/blog")
	h.Do("chgrp", "deploy", "/etc/app.env")
	h.Do("chmod", "0640", "/etc/app.env")
	h.does("install", "--env-file", "/etc/app.env")
	return h
}

const (
	pumaCommand    = "puma -e $RACK_ENV -w 2 -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid"
	unicornCommand = "unicorn -E $RACK_ENV -c unicorn.rb"
	servalCommand  = "serval -e $RACK_ENV -w 2 -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid"
)

// deploy puts a release in the app's place.
func (h *host) deploy(release string) { h.Write("/srv/blog/current/release", release) }

// answers checks what the web server answers.
func (h *host) answers(want string) {
	h.t.Helper()
	if body := h.get(); body != want {
		h.t.Errorf("it answers %q in place of %q", body, want)
	}
}

// load asks the web server for something, many times a second, until the test stops it.
func (h *host) load() *testkit.Load {
	return testkit.StartLoad(testkit.LoadConfig{URL: "unix://" + h.Path("/tmp/web_server.sock"), Rate: 50})
}

// unfailing stops a load and wants every request to have been answered.
func unfailing(t *testing.T, load *testkit.Load) {
	t.Helper()
	if r := load.Stop(); r.Failed > 0 || r.Sent == 0 {
		t.Errorf("of the requests, %s", r)
	}
}

func TestPumaIsRestartedByItsSignalAndHardForItsEnvironment(t *testing.T) {
	h := newServed(t, pumaCommand, nil)
	said, status := h.serval("status")
	if status != 3 {
		t.Errorf("while nothing runs, the status is %d\n%s", status, said)
	}
	h.expect(said, `^blog in /srv/blog/current, production, by systemd$`, `^web +stopped`, `^worker\.1 +stopped`, `^worker\.2 +stopped`, `^other\.1 +stopped`)

	h.expect(h.does("start"), `^web +started in .* PID \d+$`)
	h.answers("one hello")
	h.expect(h.does("start", "web"), `^web +runs already`)
	h.expect(h.does("status"), `^web +running +\d+ .* MB +/tmp/web_server\.sock$`, `^worker\.1 +running`, `^other\.1 +running`)

	main := h.Show(webUnit, "MainPID")
	worker := h.Show("cloud66_process_worker@1.service", "MainPID")
	load := h.load()
	h.deploy("two")
	h.expect(h.does("restart", "web"), `^web +restarting by usr2$`, `^web +2 of 2 workers serve$`, `^web +restarted in .*, new workers serve$`)
	h.answers("two hello")
	if now := h.Show(webUnit, "MainPID"); now != main {
		t.Errorf("the main process was %s and is %s", main, now)
	}

	h.Write("/etc/app.env", "GREETING=goodbye\nSECRET=geheim\n")
	said = h.does("restart", "web")
	if !strings.Contains(said, "web: GREETING, SECRET have changed since it was started") || !strings.Contains(said, "--hard") || strings.Contains(said, "geheim") {
		t.Errorf("of changed variables, a restart says\n%s", said)
	}
	h.answers("two hello")
	h.expect(h.does("status", "web"), `^  GREETING, SECRET have changed since it was started$`)
	said = h.does("restart", "web", "--hard")
	h.answers("two goodbye")
	if strings.Contains(said, "changed") || h.Show(webUnit, "MainPID") == main {
		t.Errorf("a hard restart says\n%s", said)
	}
	// Puma, when it stops, closes a connection now and then that it has just accepted.
	if r := load.Stop(); r.Failed > r.Resets() || r.Resets() > 3 {
		t.Errorf("of the requests, %s", r)
	}
	if strings.Contains(h.does("status", "web"), "changed") {
		t.Error("after a hard restart, variables have changed still")
	}

	h.does("restart", "--deploy")
	if now := h.Show("cloud66_process_worker@1.service", "MainPID"); now == worker {
		t.Error("a restart of all leaves a worker out")
	}
	if log := h.Do("cat", "/srv/blog/current/log/other_1.log"); strings.Contains(log, "ends") {
		t.Errorf("a deploy restarts what has restart_on_deploy: false:\n%s", log)
	}
	h.Do("sed", "-i", "s/looper.rb other/looper.rb another/", "/srv/blog/current/Procfile")
	h.expect(h.does("restart", "other"), `^serval: what is installed is not what the app's files say now: see serval diff`)
	h.does("install")
	if said := h.does("restart", "other"); strings.Contains(said, "serval diff") {
		t.Errorf("after an install, a restart says\n%s", said)
	}
	h.expect(h.does("logs", "-n", "1", "other"), `^other\.1 \| another begins, goodbye$`)
	h.expect(h.does("logs", "-n", "1", "worker"), `^worker\.1 \| worker begins, goodbye$`, `^worker\.2 \| worker begins, goodbye$`)

	// Without --foreground, timeout sends the signal twice: to its child and to its group.
	said, status = h.Run("timeout", "--foreground", "--preserve-status", "--signal=INT", "2", "env", "-C", "/srv/blog/current", h.Serval, "logs", "-f", "-n", "1", "worker.1")
	if status != 0 || said != "worker.1 | worker begins, goodbye\n" {
		t.Errorf("logs that are followed until Ctrl-C say with status %d\n%s", status, said)
	}

	h.expect(h.does("stop"), `^web +stopped in`)
	if said, status := h.serval("status", "worker.2"); status != 3 {
		t.Errorf("after a stop, the status is %d\n%s", status, said)
	}
}

func TestAReleaseThatDoesNotLoadIsReportedAndTheOldOneServes(t *testing.T) {
	h := newServed(t, pumaCommand, map[string]string{".cloud66/manifest.yml": servedManifest + "  web: { restart_signal: usr1 }\n"})
	h.does("start")
	load := h.load()
	h.deploy("two")
	h.expect(h.does("restart", "web"), `^web +restarting by usr1$`, `^web +2 of 2 workers serve$`, `^web +restarted in`)
	h.answers("two hello")
	worker := h.Show("cloud66_process_worker@1.service", "MainPID")
	h.deploy("broken")
	said, status := h.serval("restart")
	if status != 1 {
		t.Errorf("the status is %d", status)
	}
	h.expect(said, `^serval: web: its new workers end while they load the app\. Its log says:$`, `config\.ru:2`, `^The other services were not restarted$`)
	if now := h.Show("cloud66_process_worker@1.service", "MainPID"); now != worker {
		t.Error("a worker was restarted into a release that does not load")
	}
	h.answers("two hello")
	unfailing(t, load)

	h.refuses("this worker is broken", "restart", "worker")
	said, status = h.serval("status", "worker.1")
	if status != 3 {
		t.Errorf("the status of a worker that does not start is %d", status)
	}
	h.expect(said, `^worker\.1 +re?starting`, `^  it ended with status 1$`, `this worker is broken`)
}

func TestServalTakesAChangedEnvironmentWithItsRestart(t *testing.T) {
	h := newServed(t, servalCommand, nil)
	h.does("start")
	main := h.Show(webUnit, "MainPID")
	load := h.load()
	h.deploy("two")
	h.Write("/etc/app.env", "GREETING=goodbye\n")
	said := h.does("restart", "web")
	if strings.Contains(said, "--hard") {
		t.Errorf("it asks for a hard restart:\n%s", said)
	}
	h.expect(said, `^web +2 of 2 workers serve$`, `^web +restarted in`)
	h.answers("two goodbye")

	h.deploy("broken")
	h.refuses("RuntimeError: this release is broken", "restart", "custom_web")
	h.answers("two goodbye")
	h.deploy("three")
	h.does("reload", "web")
	h.answers("three goodbye")
	h.expect(h.does("scale", "web=3"), `^web +has 3 workers, until it is started anew`)
	h.expect(h.does("scale", "web=-1"), `^web +has 2 workers`)
	unfailing(t, load)
	if now := h.Show(webUnit, "MainPID"); now != main {
		t.Errorf("the main process was %s and is %s", main, now)
	}
	load = h.load()
	h.deploy("four")
	h.does("restart", "web", "--hard")
	h.answers("four goodbye")
	unfailing(t, load)

	h.does("stop", "web")
	h.deploy("broken")
	h.refuses("this release is broken", "start", "web")
}

func TestUnicornsNewMasterBecomesTheMainProcess(t *testing.T) {
	config := "worker_processes 2\nlisten ENV[\"CUSTOM_WEB_SOCKET_FILE\"].delete_prefix(\"unix://\")\npid \"/tmp/web_server.pid\"\n"
	h := newServed(t, unicornCommand, map[string]string{"unicorn.rb": config})
	h.does("start", "web")
	h.answers("one hello")
	for _, release := range []string{"two", "three"} {
		main := h.Show(webUnit, "MainPID")
		load := h.load()
		h.deploy(release)
		h.expect(h.does("restart", "web"), `^web +the new master loads the app$`, `^web +2 of 2 workers serve$`, `^web +restarted in`)
		h.answers(release + " hello")
		unfailing(t, load)
		now := h.Show(webUnit, "MainPID")
		if now == main || now != strings.TrimSpace(h.Do("cat", "/tmp/web_server.pid")) || h.Show(webUnit, "NRestarts") != "0" {
			t.Errorf("the main process was %s and is %s", main, now)
		}
	}
	main := h.Show(webUnit, "MainPID")
	h.deploy("broken")
	h.refuses("this release is broken", "restart", "web")
	h.answers("three hello")
	h.deploy("four")
	h.does("restart", "web")
	h.answers("four hello")
	if h.Show(webUnit, "MainPID") == main {
		t.Error("the new master is not the main process")
	}
	h.does("stop")
}

func TestThinIsStoppedAndStartedSinceItsSignalIsItsEnd(t *testing.T) {
	h := newServed(t, "thin -e $RACK_ENV -S /tmp/web_server.sock -P /tmp/web_server.pid start", nil)
	h.does("start", "web")
	h.answers("one hello")
	h.deploy("two")
	h.expect(h.does("restart", "web"), `Thin in the foreground serves no more after a signal to restart: it is stopped and started$`)
	h.answers("two hello")
	h.refuses("cannot be reloaded", "reload", "web")
}

func TestScalingOutlastsABootAndAFailureChangesNothing(t *testing.T) {
	h := newServed(t, pumaCommand, nil)
	h.does("start", "worker", "other")
	h.does("scale", "worker=3", "other=+1")
	if formation := h.does("scale"); formation != "worker=3\nother=2\n" {
		t.Errorf("there are %s", formation)
	}
	h.expect(h.does("status", "worker", "other"), `^worker\.3 +running`, `^other\.2 +running`)
	if said, status := h.serval("diff"); status != 0 {
		t.Errorf("after a scaling, diff ends with status %d\n%s", status, said)
	}

	h.deploy("broken")
	h.refuses("worker.5: it ended with status 1", "scale", "worker=5")
	if formation := h.does("scale"); formation != "worker=3\nother=2\n" {
		t.Errorf("after a scaling that failed, there are %s", formation)
	}
	h.expect(h.does("status", "worker"), `^worker\.3 +running`)
	for unit, want := range map[string]string{"cloud66_process_worker@3.service": "enabled", "cloud66_process_worker@4.service": "disabled"} {
		if enabled, _ := h.Run("systemctl", "is-enabled", unit); strings.TrimSpace(enabled) != want {
			t.Errorf("%s is %s", unit, enabled)
		}
	}
	h.deploy("fine")

	h.does("scale", "worker=-1", "other=0")
	h.does("stop")
	h.Do("systemctl", "start", "multi-user.target") // as at boot
	var report struct {
		Services []struct{ Service, State string }
	}
	said, _ := h.serval("status", "--json")
	if err := json.Unmarshal([]byte(said), &report); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	var running []string
	for _, s := range report.Services {
		running = append(running, s.Service+" "+s.State)
	}
	if got := strings.Join(running, ", "); got != "web running, worker.1 running, worker.2 running" {
		t.Errorf("after a boot, there are %s", got)
	}
}

func TestWhatCannotBeDoneWithServicesIsSaid(t *testing.T) {
	h := newServed(t, pumaCommand, nil)
	for _, c := range []struct {
		status int
		says   string
		args   []string
	}{
		{2, "there is no process wroker: did you mean worker? There are web, worker, other", []string{"start", "wroker"}},
		{1, "there is no worker.7: worker has 2 instances. Use serval scale worker=N for more", []string{"stop", "worker.7"}},
		{1, "worker.1, worker.2 cannot be reloaded: use serval restart", []string{"reload", "worker"}},
		{1, "only Serval's workers are counted from outside: Puma has them in its configuration file", []string{"scale", "web=2"}},
		{2, `"worker" is not understood: write PROCESS=N`, []string{"scale", "worker"}},
		{2, "unknown flag --harder: did you mean --hard?", []string{"restart", "--harder"}},
		{1, "nothing is installed of the app in /usr: run serval install there first", []string{"status", "--dir", "/usr"}},
		{2, "--timeout -1 is below 0", []string{"start", "--timeout", "-1"}},
	} {
		said, status := h.serval(c.args...)
		if status != c.status || !strings.Contains(said, c.says) {
			t.Errorf("serval %q ends with status %d and says\n%s", c.args, status, said)
		}
	}
	as := func(command string) string {
		said, _ := h.Run("su", "deploy", "-c", "cd /srv/blog/current && "+command)
		return said
	}
	if said := as("serval start"); !strings.Contains(said, "only root starts, stops and restarts those: use sudo") {
		t.Errorf("another user is told\n%s", said)
	}
	if said := as("serval status"); !strings.Contains(said, "web       stopped") {
		t.Errorf("another user is shown\n%s", said)
	}
	procfile := h.Do("cat", "/srv/blog/current/Procfile")
	h.Write("/srv/blog/current/Procfile", "this is no Procfile\n")
	h.refuses("Procfile:1", "start")
	said, status := h.serval("status")
	if status != 3 {
		t.Errorf("with a broken Procfile, the status is %d", status)
	}
	h.expect(said, `^serval: Procfile:1`, `^serval: these are the services of the last install$`, `^web +stopped`, `^worker\.1 +stopped`, `^worker\.2 +stopped`, `^other\.1 +stopped`)
	h.does("stop", "worker")
	h.Write("/srv/blog/current/Procfile", procfile)

	h.Do("systemctl", "mask", "--runtime", "cloud66_process_other@1.service")
	h.refuses("other.1: the unit is masked", "start", "other")
	h.Do("rm", "/etc/systemd/system/"+webUnit)
	h.Do("systemctl", "daemon-reload")
	h.refuses("run serval install again", "start", "web")
	h.expect(func() string { said, _ := h.serval("status", "web"); return said }(), `^web +not installed`)
}

func TestAnAppThatPassengerServesIsRestartedByIt(t *testing.T) {
	h := newServed(t, pumaCommand, map[string]string{"Procfile": "worker: ruby looper.rb worker\nother: ruby looper.rb other\n"})
	h.does("start")
	said := h.does("restart", "web")
	if !strings.Contains(said, "Passenger starts it anew with the next request") {
		t.Errorf("a restart says\n%s", said)
	}
	h.refuses("nginx runs the web server (Passenger)", "stop", "web")
	h.expect(h.does("status"), `^nginx runs the web server \(Passenger\)$`, `^worker\.1 +running`)
}

func TestAServerThatNobodyKnowsServesWhenItAnswers(t *testing.T) {
	h := newServed(t, "rackup --server webrick --host 127.0.0.1 --port 3000", map[string]string{"config.ru": "sleep 2\n" + servedApp})
	h.does("start", "web")
	if body := h.Do("curl", "--no-progress-meter", "http://127.0.0.1:3000/"); body != "one hello" {
		t.Errorf("right after its start it answers %q", body)
	}
	// HUP is the restart signal of servers that nobody knows, and the end of this one.
	h.refuses("web: it was ended by signal HUP", "restart", "web")
}

func TestACommandThatTakesTooLongEndsAndWhatItBeganGoesOn(t *testing.T) {
	h := newServed(t, pumaCommand, map[string]string{"config.ru": "sleep File.read(\"boot\").to_f\n" + servedApp, "boot": "0"})
	h.does("start", "web")
	h.Write("/srv/blog/current/boot", "4")
	h.deploy("two")
	h.refuses("web: it is not done after 1s, and goes on", "restart", "web", "--timeout", "1")
	testkit.WaitFor(t, "the new release serves", func() bool { return h.get() == "two hello" })
}

func TestServicesAreOperatedWithoutADBusDaemon(t *testing.T) {
	h := newServed(t, pumaCommand, nil)
	h.Do("systemctl", "stop", "dbus.socket", "dbus.service")
	h.does("start", "worker")
	h.does("scale", "worker=3")
	h.expect(h.does("status", "worker"), `^worker\.3 +running`)
	h.does("stop", "worker")
}

func TestAScalingThatIsInterruptedIsTakenBack(t *testing.T) {
	h := newServed(t, pumaCommand, map[string]string{".cloud66/manifest.yml": "procfile_metadata:\n  worker: { stop_sequence: \"term, 5, kill\" }\n"})
	h.does("start", "worker")
	// It takes a second until a worker counts as started.
	said, status := h.Run("timeout", "--foreground", "--preserve-status", "--signal=INT", "0.5", "env", "-C", "/srv/blog/current", h.Serval, "scale", "worker=3")
	if status != 1 || !strings.Contains(said, ": interrupt signal received") {
		t.Errorf("status %d\n%s", status, said)
	}
	h.AwaitShow("cloud66_process_worker@3.service", "ActiveState", "inactive")
	if formation := h.does("scale"); formation != "worker=1\nother=1\n" {
		t.Errorf("there are %s", formation)
	}
}
