package test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// host is a machine with a user deploy, and the app blog in /srv/blog/current, which is a link to a release.
type host struct {
	*testkit.Sandbox
	t *testing.T
}

// talker is a process that says what it gets, and ends at TERM.
const talker = `$stdout.sync = true
%w[QUIT USR1 HUP].each { |name| trap(name) { puts "got #{name}" } }
trap("TERM") { puts "got TERM"; exit }
puts "#{$0} #{ARGV.join(" ")} as #{Process.uid}, #{ENV["SECRET"]}"
sleep
`

const installedApp = `RELEASE = File.basename(__dir__)
run ->(env) { [200, {}, [[RELEASE, Process.uid, ENV["SECRET"], ENV["STACK_PATH"]].join(" ")]] }
`

const installedProcfile = `custom_web: serval -e $RACK_ENV -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid
worker: ruby talker.rb {{UNIQUE_INT}}
clock: ruby talker.rb clock
`

func newHost(t *testing.T) *host {
	t.Helper()
	t.Parallel()
	h := &host{testkit.NewSandbox(t), t}
	h.Do("useradd", "--system", "--user-group", "--create-home", "deploy")
	for _, release := range []string{"1", "2"} {
		dir := "/srv/blog/releases/" + release
		h.Write(dir+"/config.ru", installedApp)
		h.Write(dir+"/talker.rb", talker)
		h.Write(dir+"/Procfile", installedProcfile)
		h.Write(dir+"/.cloud66/manifest.yml", "production:\n  procfile_metadata:\n    worker:\n      count: 2\n")
	}
	h.Do("ln", "-s", "releases/1", "/srv/blog/current")
	h.Do("chown", "-R", "deploy:", "/srv/blog")
	h.Write("/etc/app.env", "SECRET=\"one two\"\n")
	h.Do("chgrp", "deploy", "/etc/app.env")
	h.Do("chmod", "0640", "/etc/app.env")
	return h
}

// serval runs serval in the app's directory.
func (h *host) serval(args ...string) (said string, status int) {
	h.t.Helper()
	return h.Run(append([]string{"env", "-C", "/srv/blog/current", "PWD=/srv/blog/current", h.Serval}, args...)...)
}

// does runs serval, which must succeed.
func (h *host) does(args ...string) string {
	h.t.Helper()
	said, status := h.serval(args...)
	if status != 0 {
		h.t.Fatalf("serval %q ended with status %d\n%s", args, status, said)
	}
	return said
}

// refuses runs serval, which must fail and say why.
func (h *host) refuses(because string, args ...string) {
	h.t.Helper()
	said, status := h.serval(args...)
	if status != 1 || !strings.Contains(said, because) {
		h.t.Errorf("serval %q ended with status %d and not with %q\n%s", args, status, because, said)
	}
}

// get asks the web server.
func (h *host) get() string {
	h.t.Helper()
	return h.Do("curl", "--no-progress-meter", "--max-time", "30", "--unix-socket", "/tmp/web_server.sock", "http://localhost/")
}

// traces is all that an install could leave: files with what is in them, and links.
func (h *host) traces() string {
	h.t.Helper()
	return h.Do("bash", "-c", `find /etc/systemd/system /var/lib/serval /srv/blog \( -type f -exec md5sum {} + \) -o -type l -printf '%p -> %l\n' -o -type d -print 2>/dev/null | grep -v /log/ | sort; true`)
}

// expect compares what a text has, line by line as regular expressions in order.
func (h *host) expect(text string, patterns ...string) {
	h.t.Helper()
	rest := text
	for _, p := range patterns {
		at := regexp.MustCompile("(?m)" + p).FindStringIndex(rest)
		if at == nil {
			h.t.Errorf("there is no %q at its place in\n%s", p, text)
			return
		}
		rest = rest[at[1]:]
	}
}

func TestAnAppIsInstalledChangedAndUninstalled(t *testing.T) {
	h := newHost(t)
	nothing := h.traces()
	if said, status := h.Run("su", "deploy", "-c", "cd /srv/blog/current && serval install"); status != 1 || !strings.Contains(said, "written by root") {
		t.Errorf("status %d: %s", status, said)
	}

	said := h.does("install", "--env-file", "/etc/app.env")
	h.expect(said, "^blog is installed for systemd, to run as deploy:$", "new +/etc/systemd/system/cloud66_web_server.service$", "new +/etc/systemd/system/cloud66_web_server.socket$",
		"new +/etc/systemd/system/cloud66_process_worker@.service$", "^Start it by serval start, or systemctl start cloud66_web_server.service$")
	units := []string{"cloud66_web_server.service", "cloud66_web_server.socket", "cloud66_process_worker@1.service", "cloud66_process_worker@2.service", "cloud66_process_clock@1.service"}
	h.expect(h.Do(append([]string{"systemctl", "is-enabled"}, units...)...), strings.Repeat("enabled\n", len(units)))
	if state, _ := h.Run("systemctl", "is-active", units[0]); state != "inactive\n" {
		t.Errorf("the web server is %s", state)
	}
	if said := h.does("install"); !strings.Contains(said, "nothing has changed") {
		t.Errorf("a second install says %s", said)
	}
	if said, status := h.serval("diff"); said != "" || status != 0 {
		t.Errorf("status %d, there is a difference\n%s", status, said)
	}

	h.Do("systemctl", "start", "sockets.target", "multi-user.target") // as a boot does
	for _, unit := range units {
		h.AwaitShow(unit, "ActiveState", "active")
	}
	uid := strings.TrimSpace(h.Do("id", "-u", "deploy"))
	if got, want := h.get(), "1 "+uid+" one two /srv/blog/current"; got != want {
		t.Errorf("the web server says %q in place of %q", got, want)
	}
	log := func(name string) string { return h.Do("cat", "/srv/blog/current/log/"+name) }
	testkit.WaitFor(t, "the second worker to speak", func() bool { return strings.Contains(log("worker_2.log"), "talker.rb 1012 as "+uid+", one two") })
	if owner := h.Do("stat", "-c", "%U %a", "/srv/blog/current/log/custom_web.log", "/srv/blog/current/log"); owner != "deploy 640\ndeploy 755\n" {
		t.Errorf("the log belongs to %s", owner)
	}
	if _, err := exec.LookPath("logrotate"); err == nil {
		h.Do("logrotate", "--force", "--verbose", "/etc/logrotate.d/cloud66_blog")
		if now, before := log("worker_2.log"), log("worker_2.log.1"); now != "" || !strings.Contains(before, "talker.rb 1012") {
			t.Errorf("after a rotation the log has %q, and had %q", now, before)
		}
		h.Do("systemctl", "kill", "--signal=HUP", units[3])
		testkit.WaitFor(t, "the second worker to go on speaking", func() bool { return log("worker_2.log") == "got HUP\n" })
	}
	main := h.Show(units[0], "MainPID")

	// The app changes: one process is gone, one is new, one has fewer instances and another command.
	h.Do("ln", "-sfn", "releases/2", "/srv/blog/current")
	h.Write("/srv/blog/releases/2/Procfile", strings.Replace(installedProcfile, "clock:", "mailer:", 1))
	h.Write("/srv/blog/releases/2/.cloud66/manifest.yml", "procfile_metadata:\n  worker:\n    stop_sequence: quit, 1, term, 5, kill\n")
	said, status := h.serval("diff")
	if status != 1 {
		t.Errorf("status %d where there is a difference", status)
	}
	h.expect(said, `^--- /etc/systemd/system/cloud66_process_worker@.service\n\+\+\+ /etc/systemd/system/cloud66_process_worker@.service\n@@ -\d+,\d+ \+\d+,\d+ @@$`,
		"^ KillMode=mixed$", `^\+ExecStop=/usr/local/bin/serval sequence "quit, 1, term, 5, kill" \$MAINPID$`,
		`^--- /dev/null\n\+\+\+ /etc/systemd/system/cloud66_process_mailer@.service$`, `^-/etc/systemd/system/multi-user.target.wants/cloud66_process_worker@2.service`)
	said = h.does("install")
	h.expect(said, "^stopping cloud66_process_clock@1.service$", "changed +/etc/systemd/system/cloud66_process_worker@.service", "new +/etc/systemd/system/cloud66_process_mailer@.service",
		"removed +/etc/systemd/system/cloud66_process_clock@.service", "^What runs has its old settings until serval restart --hard.$")
	h.expect(said, "^stopping cloud66_process_worker@2.service$")
	for unit, want := range map[string]string{units[0]: "active", units[2]: "active", units[3]: "inactive", units[4]: "inactive", "cloud66_process_mailer@1.service": "inactive"} {
		if state, _ := h.Run("systemctl", "is-active", unit); strings.TrimSpace(state) != want {
			t.Errorf("%s is %s", unit, state)
		}
	}
	if state, _ := h.Run("systemctl", "is-enabled", units[3]); strings.TrimSpace(state) == "enabled" {
		t.Error("the second worker is enabled still")
	}
	if now := h.Show(units[0], "MainPID"); now != main {
		t.Errorf("the web server has PID %s in place of %s", now, main)
	}
	h.Do("systemctl", "reload", units[0])
	if got := h.get(); !strings.HasPrefix(got, "2 ") {
		t.Errorf("after a reload the web server says %q", got)
	}

	// What somebody has edited is not lost.
	h.Do("sed", "-i", "s/RestartSec=1/RestartSec=7/", "/etc/systemd/system/cloud66_web_server.service")
	h.refuses("cloud66_web_server.service was edited after it was installed", "install")
	h.refuses("cloud66_web_server.service was edited after it was installed", "uninstall")
	h.does("install", "--force")
	h.refuses("nothing is installed of nobodys", "uninstall", "--app", "nobodys")

	h.Do("rm", "-r", "/srv/blog/releases/2/Procfile") // uninstall takes no app
	said = h.does("uninstall")
	h.expect(said, "^stopping cloud66_web_server.service$", "removed +/etc/systemd/system/cloud66_web_server.service$", "^blog is not installed any more.$")
	if left := h.Do("systemctl", "list-units", "--all", "--plain", "--no-legend", "cloud66*"); left != "" {
		t.Errorf("there are still\n%s", left)
	}
	h.Do("ln", "-sfn", "releases/1", "/srv/blog/current")
	for _, line := range difference(nothing, h.traces()) {
		if !strings.Contains(line, "/var/lib/serval") && !strings.Contains(line, "/srv/blog/releases/2/") && !strings.Contains(line, ".wants") && !strings.HasSuffix(line, "/log\n") {
			t.Errorf("this is there afterwards: %s", line)
		}
	}
	h.refuses("nothing is installed of blog", "uninstall")
}

// difference are the lines that are only in the second text.
func difference(before, after string) (lines []string) {
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// readOnly has nobody write to a directory.
func (h *host) readOnly(dir string) (again func()) {
	h.t.Helper()
	h.Do("mount", "--bind", dir, dir)
	h.Do("mount", "-o", "remount,bind,ro", dir)
	return func() { h.Do("umount", dir) }
}

func TestAnInstallThatFailsLeavesWhatWasThere(t *testing.T) {
	h := newHost(t)
	const sorry = "nothing is installed, and what was there is as it was"
	fails := func(dir, because string) {
		t.Helper()
		before := h.traces()
		again := h.readOnly(dir)
		h.refuses(sorry, "install", "--env-file", "/etc/app.env")
		h.refuses(because, "install", "--env-file", "/etc/app.env")
		again()
		if after := h.traces(); after != before {
			t.Errorf("before it was\n%s\nand now there is\n%s", before, after)
		}
	}
	h.Do("mkdir", "-p", "/var/lib/serval", "/etc/systemd/system/multi-user.target.wants")
	fails("/etc/systemd/system/multi-user.target.wants", "read-only file system")
	fails("/var/lib/serval", "read-only file system")

	h.does("install", "--now", "--env-file", "/etc/app.env")
	if got := h.get(); !strings.HasPrefix(got, "1 ") {
		t.Errorf("the web server says %q", got)
	}
	h.Write("/srv/blog/current/Procfile", strings.Replace(installedProcfile, "clock:", "mailer:", 1)+"another: sleep 100\n")
	h.Write("/etc/app.env", "SECRET=\"{\"a\": 1}\"\n") // takes a copy
	fails("/etc/systemd/system/multi-user.target.wants", "read-only file system")
	fails("/var/lib/serval/blog", "read-only file system")
	for _, unit := range []string{"cloud66_web_server.service", "cloud66_process_clock@1.service", "cloud66_process_worker@1.service"} {
		if state := h.Show(unit, "ActiveState"); state != "active" {
			t.Errorf("%s is %s", unit, state)
		}
	}
	if said := h.Show("cloud66_process_another@1.service", "LoadState"); said != "not-found" {
		t.Errorf("systemd knows the unit of a process that was not installed: %s", said)
	}
	h.does("install")
	h.Do("systemctl", "start", "cloud66_process_mailer@1.service")
	testkit.WaitFor(t, "the mailer to speak", func() bool {
		said, _ := h.Run("cat", "/srv/blog/current/log/mailer_1.log")
		return strings.Contains(said, `{"a": 1}`)
	})
}

func TestAnInstallRefusesWhatCannotWork(t *testing.T) {
	h := newHost(t)
	before := h.traces()
	h.Write("/etc/bad.env", "A=1\nB\n")
	h.Write("/srv/other/Procfile", "custom_web: serval -b unix:///tmp/other.sock\n")
	h.Write("/srv/other/config.ru", "run 1\n")
	h.refuses("/etc/bad.env:2: write NAME=value, and not \"B\"", "install", "--env-file", "/etc/bad.env")
	h.refuses("cannot read the environment file /etc/gone.env: no such file or directory", "install", "--env-file", "/etc/gone.env")
	h.refuses(`there is no user "nobodys" on this host: make one, or name another by --user`, "install", "--user", "nobodys")
	h.refuses(`there is no group "nobodys" on this host`, "install", "--group", "nobodys")
	h.refuses(`the prefix "../x" has a '.' in it`, "install", "--prefix", "../x")
	if said, status := h.serval("install", "--backend", "upstart"); status != 2 || !strings.Contains(said, `there is no backend "upstart": choose one of systemd, supervisor, bluepill`) {
		t.Errorf("status %d: %s", status, said)
	}
	h.Write("/srv/blog/current/Procfile", "custom_web: pumba -b unix:///tmp/x.sock\n")
	h.refuses("web: there is no program pumba in PATH (/usr/local/sbin:", "install")
	h.Write("/srv/blog/current/Procfile", "custom_web serval\n")
	h.refuses("Procfile:1:1: there is no colon", "install")
	if after := h.traces(); len(difference(before, after)) > 1 { // the Procfile
		t.Errorf("there is\n%s\nafter\n%s", after, before)
	}

	h.Write("/srv/blog/current/Procfile", installedProcfile)
	h.does("install")
	other := func(args ...string) (string, int) {
		return h.Run(append([]string{"env", "-C", "/srv/other", h.Serval, "install", "--prefix", "cloud66"}, args...)...)
	}
	if said, status := other(); status != 1 || !strings.Contains(said, "cloud66_web_server.service belongs to the app blog in /srv/blog/current: choose other names with --prefix") {
		t.Errorf("status %d: %s", status, said)
	}
	h.Write("/etc/systemd/system/serval_web_server.service", "[Service]\nExecStart=/bin/true\n")
	if said, status := other("--prefix", "serval"); status != 1 || !strings.Contains(said, "serval_web_server.service is there already, and serval install has not written it") {
		t.Errorf("status %d: %s", status, said)
	}
	h.Write("/srv/other/Procfile", "custom_web: serval -b unix:///tmp/web_server.sock\n")
	if said, status := other("--prefix", "other"); status != 1 || !strings.Contains(said, "/tmp/web_server.sock is the socket of the app blog in /srv/blog/current: have the command name another, such as /run/other.sock") {
		t.Errorf("status %d: %s", status, said)
	}
	h.Write("/srv/other/Procfile", "custom_web: serval -b unix:///tmp/other.sock\n")
	h.Do("chmod", "o+w", "/srv/other")
	said, status := other("--prefix", "other")
	if status != 0 {
		t.Errorf("status %d: %s", status, said)
	}
	h.expect(said, "warning: /srv/other can be written by every user, who could have root run anything: chmod o-w /srv/other", "warning: the app runs as root")
	h.Do("chmod", "700", "/srv/other")
	if said, _ := other("--prefix", "other", "--user", "deploy"); !strings.Contains(said, "warning: deploy cannot enter /srv/other, and runs nothing there") {
		t.Errorf("of a directory that the user cannot enter: %s", said)
	}
	h.Do("chmod", "755", "/srv/other")
	if said, _ := other("--prefix", "other", "--user", "deploy"); !strings.Contains(said, "warning: deploy cannot write to /srv/other/log, so what processes say goes to the journal") {
		t.Errorf("of a directory that the user cannot write to: %s", said)
	}
	if said, status := h.Run("su", "deploy", "-c", "cd /srv/blog/current && serval uninstall"); status != 1 || !strings.Contains(said, "blog was installed by root: run this by sudo") {
		t.Errorf("status %d: %s", status, said)
	}
	if said, status := h.Run("flock", "/var/lib/serval", "env", "-C", "/srv/blog/current", h.Serval, "uninstall"); status != 1 || !strings.Contains(said, "another serval install or uninstall is at work") {
		t.Errorf("status %d: %s", status, said)
	}
}

func TestAnAppOfWhichNginxRunsAllHasNoUnits(t *testing.T) {
	h := newHost(t)
	h.Do("rm", "-r", "/srv/blog/current/Procfile", "/srv/blog/current/.cloud66")
	running := h.Do("systemctl", "list-units", "--plain", "--no-legend")
	h.expect(h.does("install"), "^blog is installed for systemd, to run as deploy:$", "^nginx runs Passenger, so there is no unit for the web server: see serval nginx.$")
	if said, status := h.serval("diff"); status != 0 || said != "" {
		t.Errorf("status %d: %s", status, said)
	}
	if said := h.does("uninstall"); said != "blog is not installed any more.\n" {
		t.Errorf("uninstall says %s", said)
	}
	for line := range strings.Lines(running) {
		if name := strings.Fields(line)[0]; strings.HasSuffix(name, ".service") && h.Show(name, "ActiveState") != "active" {
			t.Errorf("%s does not run any more", name)
		}
	}
}
