package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/installation"
)

func TestASiteHasWhatTheProcfileSays(t *testing.T) {
	for _, c := range []struct{ procfile, want, lacks string }{
		{"custom_web: bundle exec puma -e $RACK_ENV -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid\n", "  server unix:/tmp/web_server.sock;\n", "passenger"},
		{"custom_web: serval -b $CUSTOM_WEB_SOCKET_FILE\n", "  server unix:/tmp/web_server.sock;\n", "X-Sendfile-Type X-Accel-Redirect"},
		{"custom_web: serval -p ${PORT:-3000}\n", "  server 127.0.0.1:3000;\n", "unix:"},
		{"worker: x\n", "  passenger_env_var STACK_PATH ", "proxy_pass"},
	} {
		a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": c.procfile})
		status, out, errs := a.nginx("--domain", "a.example", "--domain", "b.example", "--listen=8080")
		if status != 0 || !strings.Contains(out, c.want) || strings.Contains(out, c.lacks) || errs != "" {
			t.Errorf("%s: status %d\n%s%s", c.procfile, status, out, errs)
		}
		for _, want := range []string{"  server_name a.example b.example;\n", "  listen 8080;\n", "  root " + a.dir + "/public;\n", "# The site of blog: "} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", c.procfile, want, out)
			}
		}
	}
}

func TestASiteIsThatOfWhatIsInstalled(t *testing.T) {
	a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": "custom_web: puma -b unix://$SOCKET\n"})
	file := filepath.Join(t.TempDir(), "app.env")
	if err := os.WriteFile(file, []byte("SOCKET=/run/blog.sock\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(os.Getenv("SERVAL_STATE_DIR"), "blog")
	if err := (installation.Installation{App: "blog", Directory: "/srv/blog/current", EnvFiles: []string{file}}).Store(state); err != nil {
		t.Fatal(err)
	}
	_, out, errs := a.nginx()
	for _, want := range []string{"  server unix:/run/blog.sock;\n", "  root /srv/blog/current/public;\n", "  listen 80 default_server;\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s%s", want, out, errs)
		}
	}
}

// nginx runs serval nginx for the app; a directory among args takes the place of its own.
func (a analyzed) nginx(args ...string) (status int, out, errs string) {
	a.t.Helper()
	if last := len(args) - 1; last < 0 || strings.HasPrefix(args[last], "-") {
		args = append(args, a.dir)
	}
	return runs(a.t, append([]string{"nginx"}, args...)...)
}

func TestNoSiteIsMadeUp(t *testing.T) {
	for _, c := range []struct {
		procfile, flags string
		status          int
		want            string
	}{
		{"custom_web: thin start\n", "", 1, "serval: the command of custom_web (thin start) names neither a unix socket nor a port that nginx could ask: let it listen on unix:///tmp/web_server.sock\n"},
		{"custom_web: puma -p 3000\n", "--domain=a;b", 1, `serval: "a;b" is no domain`},
		{"custom_web: puma -p 3000\n", "--listen=here", 1, `serval: nginx cannot listen on "here"`},
		{"custom_web puma\n", "", 1, "serval: Procfile:1:"},
		{"custom_web: puma -p 3000\n", "x", 1, "serval: cannot analyze x: no such file or directory"},
	} {
		a := newAnalyzed(t, map[string]string{"config.ru": "run 1", "Procfile": c.procfile})
		status, out, errs := a.nginx(strings.Fields(c.flags)...)
		if status != c.status || !strings.HasPrefix(errs, c.want) || out != "" {
			t.Errorf("%s %s: status %d\n%s%s", c.procfile, c.flags, status, out, errs)
		}
	}
	a := newAnalyzed(t, nil)
	if status, _, errs := a.nginx("a", "b"); status != 2 || !strings.Contains(errs, "one directory is enough") {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, out, _ := a.nginx("--help"); status != 0 || out != nginxHelp {
		t.Errorf("status %d: %s", status, out)
	}
}
