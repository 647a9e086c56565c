package test

import (
	"strings"
	"testing"

	"serval/internal/testkit"
)

const unicornConfig = `
listen "/tmp/web_server.sock", backlog: 4096
pid "/tmp/web_server.pid"
worker_processes 2
before_fork do |server, _worker|
  old = "#{server.config[:pid]}.oldbin"
  Process.kill(:QUIT, File.read(old).to_i) if File.exist?(old) && server.pid != old
rescue Errno::ENOENT, Errno::ESRCH
  nil
end
`

// pageServer is a web server with the line by which it is started.
type pageServer struct {
	name     string
	software string // as the app is told
	files    map[string]string
	need     string

	signals  []string // that restart it
	lossless bool     // systemd holds its socket, so nothing is lost whatever is done to it
}

var pageServers = []pageServer{
	{name: "Puma", software: "puma ", need: "puma", signals: []string{"USR1", "USR2"}, lossless: true, files: map[string]string{
		"Procfile": pageLine, "Gemfile": "gem \"puma\"\ngem \"rack\"\n", "config/puma.rb": "workers 2\npreload_app! false\n", ".cloud66/manifest.yml": pageManifest,
	}},
	{name: "Unicorn", software: "Unicorn ", need: "unicorn", signals: []string{"USR2", "HUP", "USR2"}, lossless: true, files: map[string]string{
		"Procfile": "custom_web: bundle exec unicorn -c config/unicorn.rb -E $RACK_ENV\n", "Gemfile": "gem \"unicorn\"\ngem \"rack\"\n",
		"config/unicorn.rb": unicornConfig, ".cloud66/manifest.yml": "production: {}\n",
	}},
	{name: "Thin", software: "thin ", need: "thin", files: map[string]string{
		"Procfile": "custom_web: bundle exec thin start --socket /tmp/web_server.sock --pid /tmp/web_server.pid -e $RACK_ENV\n", "Gemfile": "gem \"thin\"\ngem \"rack\"\n",
		".cloud66/manifest.yml": "production:\n  procfile_metadata:\n    web:\n      stop_sequence: quit, 2, int, 2, kill\n",
	}},
	{name: "Serval", software: "serval ", need: "ruby", signals: []string{"USR1", "USR2"}, lossless: true, files: map[string]string{
		"Procfile": strings.Replace(pageLine, "bundle exec puma", "serval", 1), "config/puma.rb": "workers 2\npreload_app! false\n", ".cloud66/manifest.yml": pageManifest,
	}},
	{name: "Serval with preload", software: "serval ", need: "ruby", signals: []string{"USR1", "USR2"}, lossless: true, files: map[string]string{
		"Procfile": strings.Replace(pageLine, "bundle exec puma", "serval", 1), "config/puma.rb": "workers 2\npreload_app!\n", ".cloud66/manifest.yml": pageManifest,
	}},
}

func TestEveryWebServerOfThePageIsControlledBySystemd(t *testing.T) {
	for _, s := range pageServers {
		t.Run(s.name, func(t *testing.T) {
			testkit.Need(t, s.need)
			h := newPageHost(t, s.files)
			h.install()
			h.servesBehindNginx(s)
			h.isStoppedAndStarted(s)
			h.restarts("sudo systemctl restart "+webUnit, s.lossless)
		})
	}
}

// servesBehindNginx checks what the app is told, and that files of public come from nginx.
func (h *pageHost) servesBehindNginx(s pageServer) {
	h.t.Helper()
	_, env := h.get("/env?a=b")
	for _, want := range []string{"\nSERVER_SOFTWARE=" + s.software, "HTTP_X_FORWARDED_FOR=", "\nHTTP_X_FORWARDED_PROTO=http\n", "\nHTTP_HOST=" + h.IP() + "\n", "\nHTTP_X_REQUEST_START=t=", "\nQUERY_STRING=a=b\n"} {
		if !strings.Contains("\n"+env+"\n", want) {
			h.t.Errorf("the app is not told %q, but\n%s", want, env)
		}
	}
	if status, text := h.get("/file.txt"); status != 200 || text != "a file\n" {
		h.t.Errorf("the file is answered with %d, %q", status, text)
	}
	h.sendsFiles()
	if _, text := h.get("/greeting"); text != "hello" {
		h.t.Errorf("the environment file says hello, and the app %q", text)
	}
}

// isStoppedAndStarted carries out the page's stop and start. In between clients wait where systemd holds the socket.
func (h *pageHost) isStoppedAndStarted(s pageServer) {
	h.t.Helper()
	h.deploy()
	failed, report := h.under(func() {
		h.types("sudo systemctl stop " + webUnit)
		if state := h.Show(webUnit, "ActiveState"); state != "inactive" {
			h.t.Errorf("the unit is stopped, and is %s (%s)", state, h.Show(webUnit, "Result"))
		}
		if !s.lossless {
			if status, _ := h.get("/"); status != 502 {
				h.t.Errorf("nobody listens, and nginx answers with %d", status)
			}
		}
		h.types("sudo systemctl start " + webUnit)
		h.answers()
	})
	if s.lossless && failed > 0 {
		h.t.Errorf("stop and start: %s", report)
	}
	h.tells(failed)
}

func TestEveryWebServerOfThePageIsRestartedByItsSignals(t *testing.T) {
	for _, s := range pageServers {
		if s.signals == nil {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			testkit.Need(t, s.need)
			h := newPageHost(t, s.files)
			h.install()
			for _, signal := range s.signals {
				h.restarts("systemctl kill --kill-whom=main --signal="+signal+" "+webUnit, s.lossless)
				h.unitHasTheMainProcess()
			}
			h.types("sudo systemctl stop " + webUnit)
			if result := h.Show(webUnit, "Result"); result != "success" {
				t.Errorf("it ended with %s", result)
			}
			h.nobodyIsLeft()
		})
	}
}

// Thin in the foreground restarts itself once, and not while it is asked: its main process waits for its successor, and
// hears nothing else. So it is killed in the end.
func TestThinRestartsItselfOnce(t *testing.T) {
	thin := pageServers[2]
	testkit.Need(t, thin.need)
	h := newPageHost(t, thin.files)
	h.install()
	h.deploy()
	h.types("systemctl reload " + webUnit)
	testkit.WaitFor(t, "Thin listens again", func() bool {
		return strings.Count(h.Do("cat", "/srv/app/log/custom_web.log"), "Listening on") == 2
	})
	h.answers()
	h.types("sudo systemctl stop " + webUnit)
	h.nobodyIsLeft()
}

// A Puma that boots, for the first time or again after a USR2, has no handler for the next one, and would die of it.
func TestARestartRightAfterAnotherWaitsForPumaToHear(t *testing.T) {
	puma := pageServers[0]
	testkit.Need(t, puma.need)
	h := newPageHost(t, puma.files)
	h.Write("/srv/app/.cloud66/manifest.yml", "production: {}\n")
	h.install()
	for range 3 {
		h.deploy()
		h.types("systemctl reload " + webUnit + "; serval restart web")
		h.answers()
	}
	h.deploy()
	h.types("systemctl restart " + webUnit + "; systemctl reload " + webUnit)
	h.answers()
	if restarts := h.Show(webUnit, "NRestarts"); restarts != "0" {
		t.Errorf("systemd started Puma again %s times", restarts)
	}
}

// unitHasTheMainProcess checks that the unit's main process is that of the pid file.
func (h *pageHost) unitHasTheMainProcess() {
	h.t.Helper()
	testkit.WaitFor(h.t, "the unit's main process is that of the pid file", func() bool {
		return h.Show(webUnit, "MainPID") == strings.TrimSpace(h.Do("cat", "/tmp/web_server.pid"))
	})
}

// nobodyIsLeft checks that all processes of the app are gone.
func (h *pageHost) nobodyIsLeft() {
	h.t.Helper()
	if left := h.Do("bash", "-c", "ps -eo user,pid,args | grep '^www-data' | grep -v 'nginx:' || true"); left != "" {
		h.t.Errorf("these are left:\n%s", left)
	}
}
