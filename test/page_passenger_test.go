package test

import (
	"os"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// passengerModule is Passenger's for nginx. script/passenger-module builds it where the system has no package of it.
const passengerModule = "/usr/lib/nginx/modules/ngx_http_passenger_module.so"

// newPassengerHost is a host whose app nginx runs by Passenger.
func newPassengerHost(t *testing.T) *pageHost {
	t.Helper()
	testkit.Need(t, "passenger-config")
	if _, err := os.Stat(passengerModule); err != nil {
		t.Skipf("nginx has no module for Passenger: install libnginx-mod-http-passenger, or build it by script/passenger-module: %v", err)
	}
	h := newPageHost(t, map[string]string{"Procfile": "worker: sleep 1000\n", ".cloud66/maintenance.html": "back soon\n"})
	h.Do("chown", "-R", "www-data:", "/srv/app")
	// This is what the package of the module does.
	h.Do("sh", "-c", "echo 'load_module modules/ngx_http_passenger_module.so;' >/etc/nginx/modules-enabled/50-mod-http-passenger.conf")
	h.Do("sh", "-c", "echo \"passenger_root $(passenger-config --root);\" >/etc/nginx/conf.d/mod-http-passenger.conf")
	return h
}

func TestPassengerServesAnAppWithoutCustomWeb(t *testing.T) {
	h := newPassengerHost(t)
	if said := h.types("serval analyze"); !strings.Contains(said, "Web server  Passenger ") || !strings.Contains(said, "nginx runs Passenger") {
		t.Errorf("serval analyze says\n%s", said)
	}
	h.types("serval install --env-file /etc/app.env")
	h.front()
	_, env := h.get("/env")
	for _, want := range []string{"SERVER_SOFTWARE=nginx/", "Phusion_Passenger/"} {
		if !strings.Contains(env, want) {
			t.Errorf("the app is not told %q, but\n%s", want, env)
		}
	}
	if status, text := h.get("/file.txt"); status != 200 || text != "a file\n" {
		t.Errorf("the file is answered with %d, %q", status, text)
	}
	h.sendsFiles()
	if owner := strings.TrimSpace(h.Do("bash", "-c", "ps -o user= -p $(pgrep -f '^Passenger RubyApp: /srv/app')")); owner != "www-data" {
		t.Errorf("the app runs as %q", owner)
	}
	h.deploy()
	// The next request starts the new release, and those that come meanwhile wait for it.
	failed, report := h.under(func() { h.types("passenger-config restart-app /srv/app"); h.answers() })
	if failed > 0 {
		t.Errorf("a restart of the app: %s", report)
	}
	h.types("serval install")
	h.deploy()
	failed, report = h.under(func() { h.types("serval restart web"); h.answers() })
	if failed > 0 {
		t.Errorf("serval restart web: %s", report)
	}
}

func TestAChangeFromPassengerIsRefusedAndWorksAfterAReset(t *testing.T) {
	h := newPassengerHost(t)
	h.types("serval analyze")
	h.Write("/srv/app/Gemfile", "gem \"puma\"\ngem \"rack\"\n")
	h.Write("/srv/app/Procfile", pageLine)
	for _, command := range []string{"serval analyze", "serval nginx"} {
		said, status := h.Run("bash", "-c", "cd /srv/app && "+command)
		if status != 1 || !strings.Contains(said, "a change from Passenger is not applied") || !strings.Contains(said, "serval analyze --reset") {
			t.Errorf("%s: status %d\n%s", command, status, said)
		}
	}
	h.types("serval analyze --reset")
	if site := h.types("serval nginx"); !strings.Contains(site, "server unix:/tmp/web_server.sock;") {
		t.Errorf("the site is\n%s", site)
	}
}

func TestWhileTheMaintenanceFileIsThereEverybodyGetsThePage(t *testing.T) {
	h := newPassengerHost(t)
	h.types("serval analyze")
	h.front()
	h.types("mkdir -p tmp && touch tmp/maintenance.txt")
	for _, path := range []string{"/", "/file.txt", "/slow"} {
		if status, body := h.get(path); status != 503 || body != "back soon\n" {
			t.Errorf("%s is answered with %d, %q", path, status, body)
		}
	}
	h.types("rm tmp/maintenance.txt")
	if status, _ := h.get("/"); status != 200 {
		t.Errorf("after it, / is answered with %d", status)
	}
}
