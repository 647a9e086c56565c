package site

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// The input of a golden file is a site as JSON.
func TestSitesAreWrittenAsTheirGoldenFilesSay(t *testing.T) {
	testkit.Golden(t, "internal/site/testdata", 6, func(t *testing.T, input string) string {
		var s Site
		if err := json.Unmarshal([]byte(input), &s); err != nil {
			t.Fatal(err)
		}
		text, err := s.Write()
		if err != nil {
			return fmt.Sprintf("error: %v\n", err)
		}
		accepted(t, text)
		return text
	})
}

// module is Passenger's for nginx, where its package puts it.
const module = "/usr/lib/nginx/modules/ngx_http_passenger_module.so"

// accepted has nginx look at a site. Where nginx has no module for Passenger, that one is left out.
func accepted(t *testing.T, text string) {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Fatal("nginx is not here: install it (script/test does)")
		}
	}
	dir := t.TempDir()
	load := ""
	if strings.Contains(text, "passenger_enabled") {
		if _, err := os.Stat(module); err != nil {
			t.Logf("nginx has no module for Passenger here, so it is not asked about this site: %v", err)
			return
		}
		load = "load_module " + module + ";\n"
	}
	// As another user than root it may not open port 80, which nginx -t does.
	text = strings.NewReplacer("listen 80", "listen unix:"+dir+"/80", "listen 127.0.0.1:8080", "listen unix:"+dir+"/8080").Replace(text)
	conf := load + "pid " + dir + "/pid;\nevents {}\nhttp {\n  access_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += fmt.Sprintf("  %s_temp_path %s/%[1]s;\n", kind, dir)
	}
	for name, content := range map[string]string{"nginx.conf": conf + "  include " + dir + "/site.conf;\n}\n", "site.conf": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := exec.Command(nginx, "-t", "-p", dir, "-e", "stderr", "-c", dir+"/nginx.conf").CombinedOutput(); err != nil || strings.Contains(string(said), "[warn]") {
		t.Errorf("nginx -t: %v\n%s", err, said)
	}
}

func TestAnAddressIsWhereNginxReachesIt(t *testing.T) {
	for bind, want := range map[string]string{
		"tcp://0.0.0.0:3000": "127.0.0.1:3000", "tcp://10.1.2.3:3000?backlog=9": "10.1.2.3:3000", "3000": "127.0.0.1:3000", "[::]:8080": "[::1]:8080",
		"localhost:8080": "127.0.0.1:8080", ":8080": "127.0.0.1:8080", "": "", "$PORT": "", "tcp://host": "", "ssl://0.0.0.0:3000": "",
	} {
		if got := Address(bind); got != want {
			t.Errorf("%s: %q in place of %q", bind, got, want)
		}
	}
}
