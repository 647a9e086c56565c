package test

import (
	"fmt"
	"strings"
	"testing"

	"serval/internal/envfile"
	"serval/internal/testkit"
)

func TestStopSequencesAreCarriedOutSignalBySignal(t *testing.T) {
	h := newHost(t)
	const deaf = `$stdout.sync = true
%w[QUIT USR1 TERM HUP].each { |name| trap(name) { puts "got #{name} after #{(Process.clock_gettime(Process::CLOCK_MONOTONIC) - $began).round(1)}" } }
$began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
puts "here"
sleep 0.05 until File.exist?("/tmp/enough")
puts "enough"
`
	h.Write("/srv/blog/current/deaf.rb", deaf)
	h.Write("/srv/blog/current/Procfile", "three: ruby deaf.rb\nshell: if true; then ruby deaf.rb; fi\nplain: ruby deaf.rb\nends: ruby deaf.rb\n")
	h.Write("/srv/blog/current/.cloud66/manifest.yml", `procfile_metadata:
  three: {stop_sequence: "quit, 1, usr1, 1, kill"}
  shell: {stop_sequence: "quit, 1, usr1, 1, kill"}
  plain: {stop_sequence: "term, 1, kill"}
  ends: {stop_sequence: "quit, 1, hup, 60, kill"}
`)
	names := []string{"three", "shell", "plain", "ends"}
	h.does("install", "--now")
	log := func(name string) string { return h.Do("cat", "/srv/blog/current/log/"+name+"_1.log") }
	for _, name := range names {
		testkit.WaitFor(t, name+" to be there", func() bool { return strings.Contains(log(name), "here") })
	}
	for _, name := range names[:3] {
		h.Do("systemctl", "stop", "cloud66_process_"+name+"@1.service")
	}
	if said := log("three"); !strings.HasPrefix(said, "here\ngot QUIT") || strings.Count(said, "\n") != 3 || !strings.Contains(said, "\ngot USR1") {
		t.Errorf("a sequence of three said\n%s", said)
	}
	if said := log("shell"); !strings.HasPrefix(said, "here\ngot QUIT") || !strings.Contains(said, "\ngot USR1") {
		t.Errorf("a sequence of three to a shell said\n%s", said)
	}
	if said := log("plain"); !strings.HasPrefix(said, "here\ngot TERM") || strings.Count(said, "got") != 1 {
		t.Errorf("term, 1, kill said\n%s", said)
	}
	// A process that ends is not waited for.
	h.Do("bash", "-c", "(sleep 1.5; touch /tmp/enough) & systemctl stop cloud66_process_ends@1.service")
	if said := log("ends"); !strings.HasPrefix(said, "here\ngot QUIT") || !strings.HasSuffix(said, "enough\n") || !strings.Contains(said, "got HUP") {
		t.Errorf("a sequence that came to an end said\n%s", said)
	}
	for _, name := range names {
		if left, _ := h.Run("pgrep", "-f", "deaf.rb"); left != "" {
			t.Fatalf("there are processes left: %s", left)
		}
		if state := h.Show("cloud66_process_"+name+"@1.service", "ActiveState"); state != "inactive" && state != "failed" {
			t.Errorf("%s is %s", name, state)
		}
	}
}

// A stop is a stop, though clients come and systemd keeps the socket; and a start has an answer for each of them.
func TestClientsWaitWhileTheWebServerIsStopped(t *testing.T) {
	for name, c := range map[string]struct{ line, needs string }{
		"Serval": {"serval -e $RACK_ENV -b unix:///tmp/web_server.sock", ""},
		"Puma":   {"puma -e $RACK_ENV -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid", "puma"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.needs != "" {
				testkit.Need(t, c.needs)
			}
			h := newHost(t)
			h.Write("/srv/blog/current/Procfile", "custom_web: "+c.line+"\n")
			h.does("install", "--now", "--env-file", "/etc/app.env")
			const unit = "cloud66_web_server.service"
			h.get()
			h.Do("systemctl", "stop", unit)
			if said, status := h.Run("curl", "--no-progress-meter", "--max-time", "1", "--unix-socket", "/tmp/web_server.sock", "http://localhost/"); status != 28 { // timed out
				t.Errorf("status %d: %s", status, said)
			}
			if state := h.Show(unit, "ActiveState"); state != "inactive" {
				t.Errorf("a client has made the web server %s", state)
			}
			said := h.Do("bash", "-c", `for i in 1 2 3; do curl --no-progress-meter --max-time 60 --unix-socket /tmp/web_server.sock http://localhost/ & done
sleep 0.2; systemctl start `+unit+`; wait`)
			if strings.Count(said, "one two") != 3 {
				t.Errorf("those who waited got %q", said)
			}
			for range 2 { // and again, since what systemd holds is not to be unlinked
				h.Do("systemctl", "restart", unit)
				h.get()
			}
			h.Do("systemctl", "kill", "--signal=KILL", unit)
			h.get()
			h.Do("systemctl", "stop", "cloud66_web_server.socket")
			if _, status := h.Run("curl", "--no-progress-meter", "--unix-socket", "/tmp/web_server.sock", "http://localhost/"); status != 7 { // refused
				t.Errorf("without its socket, status %d", status)
			}
			h.Do("systemctl", "start", unit)
			h.get()

			// Another socket is that of the web server when its unit is started again.
			h.Write("/srv/blog/current/Procfile", "custom_web: "+strings.Replace(c.line, "/tmp/web_server.sock", "/tmp/new.sock", 1)+"\n")
			h.expect(h.does("install"), "^The socket is the old one until systemctl restart cloud66_web_server.socket, which restarts the web server, too.$")
			h.Do("systemctl", "restart", "cloud66_web_server.socket")
			h.Do("curl", "--no-progress-meter", "--max-time", "30", "--unix-socket", "/tmp/new.sock", "http://localhost/")
		})
	}
}

// Unicorn's new master takes the place of the old one at USR2, and systemd is to know.
func TestSystemdFollowsUnicornToItsNewMaster(t *testing.T) {
	testkit.Need(t, "unicorn")
	h := newHost(t)
	h.Write("/srv/blog/current/Procfile", "custom_web: unicorn -E $RACK_ENV -l /tmp/web_server.sock -c unicorn.rb config.ru\n")
	h.Write("/srv/blog/current/unicorn.rb", `pid "/tmp/web_server.pid"
before_fork do |server, worker|
  old = "#{server.config[:pid]}.oldbin"
  Process.kill(:QUIT, File.read(old).to_i) if File.exist?(old) && server.pid != old
end
`)
	h.does("install", "--now", "--env-file", "/etc/app.env")
	const unit = "cloud66_web_server.service"
	h.get()
	for range 2 {
		main := h.Show(unit, "MainPID")
		h.Do("systemctl", "reload", unit)
		testkit.WaitFor(t, "systemd to have another main process", func() bool {
			now := h.Show(unit, "MainPID")
			return now != main && now != "0" && strings.TrimSpace(h.Do("cat", "/tmp/web_server.pid")) == now
		})
		h.get()
	}
	if restarts := h.Show(unit, "NRestarts"); restarts != "0" {
		t.Errorf("systemd has restarted it %s times", restarts)
	}
	h.Do("systemctl", "stop", unit)
	if state := h.Show(unit, "ActiveState"); state != "inactive" {
		t.Errorf("it is %s", state)
	}
}

// What Serval believes to be systemd's way of reading environment files is asked of systemd itself.
func TestSystemdReadsEnvironmentFilesAsServalBelieves(t *testing.T) {
	t.Parallel()
	s := testkit.NewSandbox(t)
	texts := []string{
		"A=1\nB='two words'\n; C=3\n# D=4\nE=\"x\\\"y\\$z\\n\"\n", "A=\"two\nlines\"\nB=2\n", "A=a\\nb c  \nB=b'c d'e\nC=it\"s\n", "A='x'  \"y\"z\n", "A='it\\'s'\n",
		"export A=1\nB=2\n", "# c \\\nA=1\nB=2\n", "A=\"{\"a\":1}\"\nB=2\n", "A=x \\\n  y\nB=\"p\\\nq\"\n", "A=1\r\nB=\"2\"\r\n", " A = 1 \nB=\nC=\\ x\\ \n", "A=1\nA=2\n", "A=$B `c` %d\n",
		"A=\"{\n  \"a\": \"b\"\n}\"\nB=\"-----BEGIN\nabc=\n-----END\"\n",
	}
	s.Write("/usr/local/bin/show", "for name in A B C D E; do [[ -v $name ]] && printf '%s=%s|' $name \"${!name}\"; done; true\n")
	for n, text := range texts {
		env, err := envfile.Parse("", text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		reads := func(name, text string) string {
			s.Write(name, text)
			return s.Do("systemd-run", "--quiet", "--wait", "--pipe", "--property=EnvironmentFile="+name, "bash", "/usr/local/bin/show")
		}
		believed := ""
		for _, name := range []string{"A", "B", "C", "D", "E"} {
			for i := len(env) - 1; i >= 0; i-- {
				if strings.HasPrefix(env[i], name+"=") {
					believed += env[i] + "|"
					break
				}
			}
		}
		if said := reads(fmt.Sprintf("/etc/%d.env", n), text); (said == believed) != envfile.SystemdAgrees(text) {
			t.Errorf("%q is %q to systemd and %q to Serval, and whether they agree is said to be %v", text, said, believed, envfile.SystemdAgrees(text))
		}
		if said := reads(fmt.Sprintf("/etc/%d.copy", n), envfile.Format(env)); said != believed {
			t.Errorf("of %q systemd reads %q in place of %q", envfile.Format(env), said, believed)
		}
	}
}

func TestAProcessThatIsNotWellIsStartedAgain(t *testing.T) {
	h := newHost(t)
	h.Write("/srv/blog/current/config.ru", `ill = "/tmp/ill-#{Process.ppid}"
run ->(env) { [File.exist?(ill) ? 503 : 200, {}, ["#{Process.ppid} of #{env["PATH_INFO"]}"]] }
`)
	h.Write("/srv/blog/current/Procfile", "custom_web: serval -b unix:///tmp/web_server.sock\nworker: ruby talker.rb\n")
	h.Write("/srv/blog/current/.cloud66/manifest.yml", `procfile_metadata:
  web:
    health_check: {url: /up, interval: 1, timeout: 1, failures: 2}
  worker:
    stop_sequence: quit, 1, term, 5, kill
    health_check: {command: 'test ! -f /tmp/ill && test "$SECRET" = "one two" && test $(id -un) = deploy', interval: 1, timeout: 1, failures: 1}
`)
	h.does("install", "--now", "--env-file", "/etc/app.env")
	const web, worker = "cloud66_web_server.service", "cloud66_process_worker@1.service"
	h.get()
	h.AwaitShow("cloud66_web_server_health.service", "ActiveState", "active")
	h.AwaitShow("cloud66_health_worker@1.service", "ActiveState", "active")

	for _, c := range []struct{ unit, ill, health string }{
		{web, "/tmp/ill-" + h.Show(web, "MainPID"), "cloud66_web_server_health.service"},
		{worker, "/tmp/ill", "cloud66_health_worker@1.service"},
	} {
		was := h.Show(c.unit, "MainPID")
		h.Do("sleep", "2.5") // for it to be found well
		if now := h.Show(c.unit, "MainPID"); now != was {
			t.Errorf("%s has been started again, and was well:\n%s", c.unit, h.Journal(c.health))
		}
		h.Write(c.ill, "")
		testkit.WaitFor(t, c.unit+" to be started again", func() bool { now := h.Show(c.unit, "MainPID"); return now != was && now != "0" })
		h.Do("rm", c.ill)
		h.AwaitJournal(c.health, "stopping the process of "+c.unit+", which systemd starts again")
	}
	h.get()
	if log := h.Do("cat", "/srv/blog/current/log/worker_1.log"); !strings.Contains(log, "got QUIT\ngot TERM\n") {
		t.Errorf("the worker said\n%s", log)
	}
	h.Do("systemctl", "stop", worker)
	h.AwaitShow("cloud66_health_worker@1.service", "ActiveState", "inactive")
	h.Do("systemctl", "restart", web)
	h.AwaitShow("cloud66_web_server_health.service", "ActiveState", "active")
	h.does("uninstall")
	if left := h.Do("systemctl", "list-units", "--all", "--plain", "--no-legend", "cloud66*"); left != "" {
		t.Errorf("there are still\n%s", left)
	}
}
