package test

import (
	"strings"
	"testing"

	"serval/internal/testkit"
)

// newMigratingHost is a host on which Bluepill runs the page's app.
func newMigratingHost(t *testing.T) *pageHost {
	t.Helper()
	h := newBluepillHost(t)
	h.Write("/srv/app/Procfile", pageLine+"mailer: ruby mailer.rb\n")
	h.Write("/srv/app/mailer.rb", "puts \"mailer of #{ENV['GREETING']}\"\n$stdout.flush\nsleep\n")
	h.types("serval install --backend bluepill --user www-data --env-file /etc/app.env")
	h.types("bluepill load " + pagePill)
	h.types("bluepill load /etc/bluepill/autoload/user_mailer.pill")
	h.front()
	h.up()
	return h
}

func TestAnAppMigratesFromBluepillToSystemd(t *testing.T) {
	h := newMigratingHost(t)
	said := h.types("serval migrate")
	for _, want := range []string{
		"cloud66_web_server:cloud66_web_server → cloud66_web_server.service\n",
		"/srv/app/log/unicorn_bluepill.log → /srv/app/log/custom_web.log\n",
		"quit, 30, term, 11, kill → term, 90, kill\n",
		"user_mailer:user_mailer_1 → cloud66_process_mailer@1.service\n",
		"/srv/app/log/user_mailer_1.log → /srv/app/log/mailer_1.log\n",
		"Nothing has been changed.",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	h.up()

	said = h.types("serval migrate --yes")
	if !strings.Contains(said, "systemd runs app. From now on: serval status") {
		t.Errorf("it says\n%s", said)
	}
	h.answers()
	if state := h.Show(webUnit, "ActiveState"); state != "active" {
		t.Errorf("the unit is %s", state)
	}
	if state := h.Show(webUnit, "UnitFileState"); state != "enabled" {
		t.Errorf("the unit is %s", state)
	}
	if state := h.Show("cloud66_process_mailer@1.service", "ActiveState"); state != "active" {
		t.Errorf("the mailer's unit is %s", state)
	}
	if running := h.Do("bash", "-c", "pgrep -fc '^ruby mailer.rb|/ruby mailer.rb'"); running != "1\n" {
		t.Errorf("the mailer runs %s times", running)
	}
	if said, status := h.Run("bluepill", "status"); status != 2 {
		t.Errorf("Bluepill still runs: %s", said)
	}
	h.Do("test", "-e", pagePill+".migrated")
	if _, status := h.Run("test", "-e", pagePill); status == 0 {
		t.Error("the file is where it would be loaded again")
	}
	if _, body := h.get("/greeting"); body != "hello" {
		t.Errorf("the greeting is %q", body)
	}
	h.types("serval status")
	h.deploy()
	h.types("serval restart web")
	h.answers()
	if said, status := h.Run("bash", "-c", "cd /srv/app && serval migrate"); status != 1 || !strings.Contains(said, "no .pill file in /etc/bluepill/autoload is about the app in /srv/app") {
		t.Errorf("a second time it says %d, %s", status, said)
	}
}

func TestAMigrationThatFailsLeavesTheAppToBluepill(t *testing.T) {
	h := newMigratingHost(t)
	h.Write("/etc/systemd/system/"+webUnit+".d/broken.conf", "[Service]\nExecStartPre=/bin/false\n")
	said, status := h.Run("bash", "-c", "cd /srv/app && serval migrate --yes")
	if status != 1 || !strings.Contains(said, "systemd has not taken over, and Bluepill runs the app again: ") {
		t.Errorf("it says %d, %s", status, said)
	}
	h.up()
	h.answers()
	testkit.WaitFor(t, "the mailer is up", func() bool {
		said, _ := h.Run("bluepill", "user_mailer", "status")
		return strings.HasPrefix(said, "user_mailer_1(pid:") && strings.Contains(said, "): up\n")
	})
	h.Do("test", "-e", pagePill)
	if said, status := h.Run("test", "-e", "/etc/systemd/system/"+webUnit); status == 0 {
		t.Errorf("the unit is still there: %s", said)
	}
	if said := h.types("serval diff --backend bluepill"); said != "" {
		t.Errorf("what is installed is not as it was: %s", said)
	}
}

func TestAMigrationThatIsInterruptedLeavesTheAppToBluepill(t *testing.T) {
	h := newMigratingHost(t)
	h.Write("/etc/systemd/system/"+webUnit+".d/slow.conf", "[Service]\nExecStartPre=/bin/sleep 300\n")
	h.Do("bash", "-c", "cd /srv/app; (setsid bash -c 'serval migrate --yes & echo $! >/tmp/pid; wait $!; echo status $?' >/tmp/said 2>&1 </dev/null &)")
	testkit.WaitFor(t, "the unit is being started", func() bool { return h.Show(webUnit, "ActiveState") == "activating" })
	h.Do("bash", "-c", "kill -INT $(cat /tmp/pid)")
	var said string
	testkit.WaitFor(t, "it has ended", func() bool { said = h.Do("cat", "/tmp/said"); return strings.Contains(said, "\nstatus ") })
	if !strings.Contains(said, "systemd has not taken over, and Bluepill runs the app again: ") || !strings.HasSuffix(said, "\nstatus 1\n") {
		t.Errorf("it says %s", said)
	}
	h.up()
	h.answers()
}

func TestWhatIsFatalUnderSystemdIsSaidBeforeAMigration(t *testing.T) {
	h := newMigratingHost(t)
	h.Write("/srv/app/config/puma.rb", "threads 1, 1\ndaemonize true\n")
	h.Write("/etc/bluepill/autoload/user_clock.pill", `Bluepill.application("user_clock") do |app|
  app.process("user_clock_1") do |process|
    process.working_dir = "/srv/app"
    process.start_command = "sleep 600"
  end
end
`)
	h.Do("sed", "-i", `s/"RACK_ENV" => "production"/"RACK_ENV" => "production", "SECRET" => "x"/; s/:quit, 30.seconds/:quit, 20.seconds/`, pagePill)
	said, status := h.Run("bash", "-c", "cd /srv/app && serval migrate --yes")
	for _, want := range []string{
		"serval: config/puma.rb:2:1: daemonize sends Puma into the background",
		"serval: /etc/bluepill/autoload/user_clock.pill:2: no line of the Procfile runs user_clock_1, so systemd would not run it: write it into the Procfile",
		"cloud66_web_server would not get SECRET, which only this file sets: write them into an environment file",
		"→ write stop_sequence: quit, 20, term, 11, kill for web into procfile_metadata\n  of the manifest",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if status != 1 || t.Failed() {
		t.Errorf("it says %d, %s", status, said)
	}
	h.up()
}
