package test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// pageFiles are those of the page, with Puma, and a worker beside it.
func pageFiles() map[string]string {
	return map[string]string{
		"Procfile": pageLine + "worker: ruby worker.rb {{UNIQUE_INT}}\n", "Gemfile": "gem \"puma\"\ngem \"rack\"\n", "config/puma.rb": "workers 2\npreload_app! false\n",
		".cloud66/manifest.yml": pageManifest,
		"worker.rb":             "$stdout.sync = true\ntrap(:TERM) { puts 'the worker ends'; exit }\nputs \"worker #{ARGV[0]} greets with #{ENV['GREETING']}\"\nsleep\n",
	}
}

// The commands that habits and scripts rely on, in the order in which somebody meets them.
func TestTheWalk(t *testing.T) {
	testkit.Need(t, "puma")
	h := newPageHost(t, pageFiles())
	h.Do("chown", "-R", "www-data:", "/srv/app")
	if said := h.types("serval analyze"); !strings.Contains(said, "Web server  Puma ") || !strings.Contains(said, "usr1 ") {
		t.Errorf("serval analyze says\n%s", said)
	}
	if said := h.types("serval analyze --json"); !json.Valid([]byte(said)) {
		t.Errorf("that is no JSON:\n%s", said)
	}
	h.types("serval analyze --reset")
	h.types("serval install --env-file /etc/app.env")
	if said := h.types("serval diff"); strings.Contains(said, "+") {
		t.Errorf("right after the installation something is different:\n%s", said)
	}
	h.types("sudo systemctl start " + webUnit)
	h.front()
	h.types("sudo systemctl stop " + webUnit)
	h.types("sudo systemctl start " + webUnit)
	h.answers()
	h.restarts("sudo systemctl restart "+webUnit, true)
	h.restarts("sudo systemctl reload "+webUnit, true)
	if said := h.types("systemctl status " + webUnit); !strings.Contains(said, "active (running)") || !strings.Contains(said, "Puma") {
		t.Errorf("systemctl status says\n%s", said)
	}
	h.restarts("serval restart web", true)
	h.restarts("serval restart custom_web", true)
	h.takesAnEnvironmentOnlyWhenHard()
	h.types("serval start worker")
	h.types("serval scale worker=3")
	status := h.types("serval status")
	for _, want := range []string{"web", "worker.1", "worker.2", "worker.3"} {
		if !strings.Contains(status, want) {
			t.Errorf("serval status does not tell of %s:\n%s", want, status)
		}
	}
	if said := h.types("serval logs worker"); strings.Count(said, "greets with good evening") != 3 {
		t.Errorf("serval logs worker says\n%s", said)
	}
	if said := h.follows("serval logs -f web"); !strings.Contains(said, "Puma starting") {
		t.Errorf("serval logs -f web says\n%s", said)
	}
	h.types("serval restart")
	h.types("serval stop")
	h.types("serval uninstall")
	for _, path := range []string{"/etc/systemd/system/" + webUnit, "/etc/systemd/system/cloud66_web_server.socket", "/etc/systemd/system/cloud66_process_worker@.service"} {
		if _, err := os.Stat(h.Path(path)); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	h.nobodyIsLeft()
}

// takesAnEnvironmentOnlyWhenHard is the page's caveat: a rolling restart of Puma takes no changed environment over, and Serval
// says so.
func (h *pageHost) takesAnEnvironmentOnlyWhenHard() {
	h.t.Helper()
	h.Write("/etc/app.env", "GREETING='good evening'\n")
	if said := h.types("serval restart web 2>&1"); !strings.Contains(said, "--hard") {
		h.t.Errorf("the environment is another, and serval restart says\n%s", said)
	}
	if _, text := h.get("/greeting"); text != "hello" {
		h.t.Errorf("the app greets with %q", text)
	}
	h.restarts("serval restart web --hard", true)
	if _, text := h.get("/greeting"); text != "good evening" {
		h.t.Errorf("after a hard restart the app greets with %q", text)
	}
}

// follows runs a command that goes on for ever, and interrupts it after some seconds.
func (h *pageHost) follows(command string) string {
	h.t.Helper()
	return h.types("{ timeout --signal=INT 3 " + command + "; true; }")
}

// Serval takes changed variables over by its rolling restart.
func TestServalTakesAnEnvironmentWithoutAStop(t *testing.T) {
	files := pageFiles()
	files["Procfile"] = strings.Replace(files["Procfile"], "bundle exec puma", "serval", 1)
	h := newPageHost(t, files)
	h.install()
	pid := h.Show(webUnit, "MainPID")
	h.Write("/etc/app.env", "GREETING='good evening'\n")
	h.restarts("serval restart web", true)
	if _, text := h.get("/greeting"); text != "good evening" {
		t.Errorf("the app greets with %q", text)
	}
	if now := h.Show(webUnit, "MainPID"); now != pid {
		t.Errorf("the main process was %s and is %s", pid, now)
	}
}

// A release that does not load is reported by the command, and the old one goes on serving.
func TestAReleaseThatDoesNotLoadChangesNothing(t *testing.T) {
	files := pageFiles()
	files["Procfile"] = strings.Replace(files["Procfile"], "bundle exec puma", "serval", 1)
	h := newPageHost(t, files)
	h.install()
	h.Write("/srv/app/config.ru", "raise 'a typo'\n")
	for _, command := range []string{"serval restart web", "systemctl reload " + webUnit} {
		said, status := h.Run("bash", "-c", "cd /srv/app && "+command)
		if status != 1 || strings.HasPrefix(command, "serval") && !strings.Contains(said, "a typo") {
			t.Errorf("%s: status %d\n%s", command, status, said)
		}
		h.answers()
	}
}
