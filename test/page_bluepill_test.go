package test

import (
	"strings"
	"testing"

	"serval/internal/testkit"
)

// The page's section on Bluepill, as it stands there: stop, start (which is quit and load), restart, and kill -USR2.
func TestThePagesCommandsOfBluepill(t *testing.T) {
	testkit.Need(t, "puma")
	h := newPageHost(t, pageFiles())
	h.Do("chown", "-R", "www-data:", "/srv/app")
	h.Do("ln", "-s", h.Serval, "/usr/local/bin/bluepill")
	h.types("serval install --backend bluepill --env-file /etc/app.env")
	h.types("sudo bluepill load /etc/bluepill/autoload/cloud66_web_server.pill")
	h.front()

	h.types("sudo bluepill cloud66_web_server stop")
	testkit.WaitFor(t, "nobody serves", func() bool { status, _ := h.get("/"); return status == 502 })

	h.types("sudo bluepill cloud66_web_server quit")
	h.deploy()
	h.types("sudo bluepill load /etc/bluepill/autoload/cloud66_web_server.pill")
	h.answers()
	testkit.WaitFor(t, "Bluepill takes it for up", func() bool { return strings.Contains(h.Do("bluepill", "cloud66_web_server", "status"), ": up\n") })
	h.types("sudo bluepill cloud66_web_server status")

	for _, command := range []string{"sudo bluepill cloud66_web_server restart", "kill -USR2 $(cat /tmp/web_server.pid)"} {
		h.deploy()
		pid := h.types("cat /tmp/web_server.pid")
		failed, report := h.under(func() { h.types(command); h.answers() })
		h.tells(failed)
		if failed > 0 {
			t.Errorf("%s: %s", command, report)
		}
		if now := h.types("cat /tmp/web_server.pid"); now != pid {
			t.Errorf("%s: the process was %s and is %s", command, pid, now)
		}
	}
	h.types("sudo bluepill cloud66_web_server stop")
	h.types("sudo bluepill cloud66_web_server quit")
}
