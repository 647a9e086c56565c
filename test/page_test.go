package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// The page is what Serval's first user works by: how an app with a Procfile and a manifest is served, controlled by systemd and
// restarted. These tests carry it out on machines of their own, with the web servers that Debian has.

const webUnit = "cloud66_web_server.service"

// pageLine is the page's line for Puma, as it stands there.
const pageLine = "custom_web: bundle exec puma -e $RACK_ENV -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid\n"

// pageManifest is the page's manifest, as it stands there.
const pageManifest = `production:
  procfile_metadata:
    web:
      restart_signal: usr1
`

// pageApp answers with its release and with what it was told.
const pageApp = `
$stdout.sync = true
use Rack::Sendfile, "X-Accel-Redirect"
RELEASE = File.read(File.expand_path("release", __dir__))
run lambda { |env|
  next [200, { "Content-Type" => "text/plain" }, File.open(File.expand_path("private.txt", __dir__))] if env["PATH_INFO"] == "/download"
  text = case env["PATH_INFO"]
         when "/env" then env.select { |_, value| value.is_a?(String) }.map { |key, value| "#{key}=#{value}" }.sort.join("\n")
         when "/greeting" then ENV["GREETING"]
         when "/slow" then puts("a slow request runs"); sleep(1); "slow"
         else RELEASE
         end
  [200, { "Content-Type" => "text/plain", "Content-Length" => text.bytesize.to_s }, [text]]
}
`

// pageHost is a machine with an app that a web server is to serve behind nginx.
type pageHost struct {
	*testkit.Sandbox
	t       *testing.T
	release int
	said    strings.Builder // commands and what they printed
}

// newPageHost makes a host that has the app, and not yet anything that runs it.
func newPageHost(t *testing.T, files map[string]string) *pageHost {
	t.Helper()
	t.Parallel()
	testkit.Need(t, "nginx")
	testkit.Need(t, "bundle")
	h := &pageHost{Sandbox: testkit.NewSandbox(t), t: t}
	h.Write("/root/.curlrc", "no-progress-meter\n")
	h.Write("/usr/local/bin/sudo", "#!/bin/sh\nexec \"$@\"\n") // everybody is root here
	h.Do("chmod", "755", "/usr/local/bin/sudo")
	h.Write("/etc/app.env", "GREETING=hello\n")
	h.Write("/srv/app/config.ru", pageApp)
	h.Write("/srv/app/Gemfile", "gem \"rack\"\n")
	h.Write("/srv/app/public/file.txt", "a file\n")
	h.Write("/srv/app/private.txt", "not for everybody\n")
	for name, text := range files {
		h.Write("/srv/app/"+name, text)
	}
	h.deploy()
	t.Cleanup(func() { keepPageLog(t, h.said.String()) })
	return h
}

// types runs a command as somebody would type it in the app's directory.
func (h *pageHost) types(command string) string {
	h.t.Helper()
	said, status := h.Run("bash", "-c", "cd /srv/app && "+command)
	fmt.Fprintf(&h.said, "$ %s\n%s", command, said)
	if said != "" && !strings.HasSuffix(said, "\n") {
		h.said.WriteByte('\n')
	}
	if status != 0 {
		h.t.Fatalf("%s ended with status %d:\n%s", command, status, said)
	}
	return said
}

// install has Serval install the app, starts it, and puts nginx in front.
func (h *pageHost) install() {
	h.t.Helper()
	h.Do("chown", "-R", "www-data:", "/srv/app")
	h.types("serval analyze")
	h.types("serval install --user www-data --env-file /etc/app.env")
	h.types("systemctl start " + webUnit)
	h.front()
}

// front puts nginx in front.
func (h *pageHost) front() {
	h.t.Helper()
	h.Do("rm", "-f", "/etc/nginx/sites-enabled/default")
	h.types("serval nginx >/etc/nginx/conf.d/app.conf")
	h.types("nginx -t")
	h.types("systemctl start nginx")
	h.answers()
}

// sendsFiles checks that nginx sends the files that the app names, and nobody else gets them.
func (h *pageHost) sendsFiles() {
	h.t.Helper()
	response, err := http.Get(h.url() + "/download")
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || string(text) != "not for everybody\n" || response.Header.Get("ETag") == "" {
		h.t.Errorf("the app names a file, and nginx answers %s, %q, %v", response.Status, text, response.Header)
	}
	for _, path := range []string{"/__app_files__/private.txt", "/../private.txt", "/private.txt"} {
		if _, text := h.get(path); strings.Contains(text, "everybody") {
			h.t.Errorf("%s is answered with %q", path, text)
		}
	}
}

// deploy makes another release, which answers with its number.
func (h *pageHost) deploy() {
	h.t.Helper()
	h.release++
	h.Write("/srv/app/release", h.latest())
}

func (h *pageHost) latest() string { return fmt.Sprintf("release %d", h.release) }

// url is where nginx is.
func (h *pageHost) url() string { return "http://" + h.IP() }

// get asks nginx for a path and returns the status and the body.
func (h *pageHost) get(path string) (status int, body string) {
	h.t.Helper()
	response, err := http.Get(h.url() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// answers waits until the latest release answers through nginx, each of several times.
func (h *pageHost) answers() {
	h.t.Helper()
	row, last := 0, ""
	if !testkit.Waited(func() bool {
		status, body := h.get("/")
		last = fmt.Sprintf("status %d: %s", status, body)
		if row++; status != 200 || body != h.latest() {
			row = 0
		}
		return row == 8
	}) {
		said, _ := h.Run("bash", "-c", "tail -n 30 /srv/app/log/*.log /var/log/nginx/error.log; systemctl status "+webUnit)
		h.t.Fatalf("%s does not answer, but %s\n%s", h.latest(), last, said)
	}
}

// under does something while requests come in through nginx, half of them POST, and returns how they fared.
func (h *pageHost) under(what func()) (failed int, report string) {
	h.t.Helper()
	get := testkit.StartLoad(testkit.LoadConfig{URL: h.url() + ":80", Rate: 20})
	post := testkit.StartLoad(testkit.LoadConfig{URL: h.url() + ":80", Rate: 20, Method: "POST"})
	served := func() {
		h.t.Helper()
		first, second := get.Served(), post.Served()
		if !testkit.Waited(func() bool { return get.Served() > first+3 && post.Served() > second+3 }) {
			h.t.Fatalf("clients are not served: GET: %s; POST: %s", get.Stop(), post.Stop())
		}
	}
	served()
	what()
	served()
	a, b := get.Stop(), post.Stop()
	return a.Failed + b.Failed, fmt.Sprintf("GET: %s; POST: %s", a, b)
}

// restarts deploys a release, runs a command that restarts the web server, and checks what clients see of it.
func (h *pageHost) restarts(command string, lossless bool) {
	h.t.Helper()
	h.deploy()
	failed, report := h.under(func() { h.types(command); h.answers() })
	if lossless && failed > 0 {
		h.t.Errorf("%s: %s", command, report)
	}
	h.tells(failed)
	if state := h.Show(webUnit, "ActiveState"); state != "active" {
		h.t.Errorf("after %s the unit is %s", command, state)
	}
}

// tells writes down how clients have fared, and what is served now.
func (h *pageHost) tells(failed int) {
	h.t.Helper()
	fmt.Fprintf(&h.said, "# meanwhile, %d requests failed\n", failed)
	h.types("curl http://localhost/ && echo")
}
