package test

import (
	"os"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// TestTheSupervisorRunsEveryWebServerOfThePage has each of them started, restarted by its signal and hard, taken over by another
// supervisor, and stopped, while clients ask.
func TestTheSupervisorRunsEveryWebServerOfThePage(t *testing.T) {
	for _, s := range []struct {
		name, need, command string

		restarts string // what a restart says
		moves    bool   // the main process is another one after a restart
		lost     func(testkit.LoadReport) bool
	}{
		{name: "Puma", need: "puma", command: "puma -e $RACK_ENV -w 2 -b unix://SOCKET --pidfile PIDFILE", restarts: "2 of 2 workers serve", lost: func(r testkit.LoadReport) bool {
			return r.Failed > r.Resets() || r.Resets() > 3 // it closes a connection now and then that it has just accepted
		}},
		{name: "Unicorn", need: "unicorn", command: "unicorn -E $RACK_ENV -c unicorn.rb", restarts: "the new master loads the app", moves: true},
		{name: "Thin", need: "thin", command: "thin -e $RACK_ENV -S SOCKET -P PIDFILE start", restarts: "it is stopped and started", moves: true, lost: func(testkit.LoadReport) bool {
			return false // nobody listens in between
		}},
		{name: "Serval", need: "ruby", command: "BINARY -e $RACK_ENV -w 2 -b unix://SOCKET --pidfile PIDFILE", restarts: "new workers serve"},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			testkit.Need(t, s.need)
			a := newSupervisedBy(t, strings.Replace(s.command, "BINARY", testkit.Binary(t), 1))
			supervisor := a.supervise()
			if got := a.get(); got != "one hello" {
				t.Errorf("the app answers %q", got)
			}
			first := a.states()["web"]

			load := testkit.StartLoad(testkit.LoadConfig{URL: "unix://" + a.socket, Rate: 50})
			a.write("release", "two")
			if out := a.does("restart", "web"); !strings.Contains(out, s.restarts) || !strings.Contains(out, " in ") {
				t.Error(out)
			}
			if got := a.get(); got != "two hello" {
				t.Errorf("after the restart the app answers %q", got)
			}
			second := a.states()["web"]
			if moved := second.PID != first.PID; moved != s.moves || second.State != "running" || second.Restarts != 0 {
				t.Errorf("%+v after %+v", second, first)
			}

			supervisor.Process.Kill()
			supervisor.Wait()
			a.supervise()
			if now := a.states()["web"]; now.PID != second.PID || now.Restarts != 0 {
				t.Errorf("%+v after %+v", now, second)
			}
			a.write("release", "three")
			a.does("restart", "web")
			if got := a.get(); got != "three hello" {
				t.Errorf("under the next supervisor, after a restart the app answers %q", got)
			}
			if r := load.Stop(); s.lost == nil && r.Failed > 0 || s.lost != nil && s.lost(r) || r.Sent == 0 {
				t.Errorf("of the requests, %s", r)
			}

			a.write("env", "GREETING=bye\nPATH="+os.Getenv("PATH")+"\n")
			a.does("restart", "web", "--hard")
			if got := a.get(); got != "three bye" {
				t.Errorf("after the hard restart the app answers %q", got)
			}
			last := a.states()["web"]
			a.does("stop", "web")
			if now := a.states()["web"]; now.State != "stopped" || stillThere(last.PID) {
				t.Errorf("it is stopped: %+v", now)
			}
		})
	}
}
