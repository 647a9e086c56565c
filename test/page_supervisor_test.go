package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// overseen is an app of the page whose web server the built-in supervisor looks after.
type overseen struct {
	supervised
	server     pageServer
	supervisor *exec.Cmd
	release    int
}

// newOverseen installs an app for the supervisor and starts that. The page's /tmp is a directory of the test's own.
func newOverseen(t *testing.T, server pageServer) *overseen {
	t.Helper()
	top := testkit.ShortDir(t)
	a := &overseen{server: server, supervised: supervised{t: t, dir: filepath.Join(top, "app"), socket: filepath.Join(top, "web_server.sock")}}
	a.env = append(os.Environ(), "SERVAL_STATE_DIR="+filepath.Join(top, "state"))
	a.write("config.ru", pageApp)
	a.write("env", "PATH="+filepath.Dir(testkit.Binary(t))+":"+os.Getenv("PATH")+"\n")
	for name, text := range server.files {
		a.write(name, strings.ReplaceAll(text, "/tmp/", top+"/"))
	}
	a.deploy()
	a.does("install", "--backend", "supervisor", "--env-file", "env")
	t.Cleanup(func() { // of a test that fails while there is no supervisor
		if web := a.states()["web"]; web.PID > 0 {
			syscall.Kill(web.PID, syscall.SIGTERM)
		}
	})
	a.supervisor = a.supervise()
	return a
}

// deploy makes another release, which answers with its number.
func (a *overseen) deploy() {
	a.t.Helper()
	a.release++
	a.write("release", a.latest())
}

func (a *overseen) latest() string { return fmt.Sprintf("release %d", a.release) }

// serves checks that the latest release answers, whichever worker is asked.
func (a *overseen) serves(after string) {
	a.t.Helper()
	for range 8 {
		if got := a.get(); got != a.latest() {
			a.t.Errorf("after %s the app answers %q in place of %q", after, got, a.latest())
			return
		}
	}
}

// under does something while requests come in, and returns how they fared.
func (a *overseen) under(what func()) testkit.LoadReport {
	a.t.Helper()
	load := testkit.StartLoad(testkit.LoadConfig{URL: "unix://" + a.socket, Rate: 40})
	served := func() {
		a.t.Helper()
		first := load.Served()
		if !testkit.Waited(func() bool { return load.Served() > first+3 }) {
			a.t.Fatalf("clients are not served: %s", load.Stop())
		}
	}
	served()
	what()
	served()
	return load.Stop()
}

// restarts deploys a release and has the web server restarted by a signal of the manifest.
func (a *overseen) restarts(signal string) {
	a.t.Helper()
	a.write(".cloud66/manifest.yml", "production:\n  procfile_metadata:\n    web:\n      restart_signal: "+strings.ToLower(signal)+"\n")
	a.does("install", "--backend", "supervisor")
	a.deploy()
	report := a.under(func() {
		if said := a.does("restart", "web"); !strings.Contains(said, "restarting by "+strings.ToLower(signal)) || !strings.Contains(said, "new workers serve") {
			a.t.Errorf("a restart by %s says\n%s", signal, said)
		}
		a.serves(signal)
	})
	a.t.Logf("%s: %s", signal, report)
	if report.Failed > a.loses(report) {
		a.t.Errorf("restarted by %s: %s", signal, report)
	}
	a.isWell()
}

// loses is how many requests the web server itself may lose when it restarts: Puma, and Unicorn's workers that are told to end,
// close a connection now and then that they have just accepted.
func (a *overseen) loses(report testkit.LoadReport) int {
	if a.server.software == "serval " {
		return 0
	}
	return min(report.Resets(), 3)
}

// isWell checks that the supervisor knows the process of the pid file, and had to start none by itself. Thin in the foreground
// writes no pid file.
func (a *overseen) isWell() {
	a.t.Helper()
	pidFile := strings.TrimSuffix(a.socket, ".sock") + ".pid"
	testkit.WaitFor(a.t, "the supervisor looks after the process of the pid file", func() bool {
		named, _ := os.ReadFile(pidFile)
		web := a.states()["web"]
		is := a.server.name == "Thin" || fmt.Sprint(web.PID) == strings.TrimSpace(string(named))
		return is && web.State == "running" && web.Why == ""
	})
	if web := a.states()["web"]; web.Restarts != 0 {
		a.t.Errorf("the supervisor has restarted it by itself: %+v", web)
	}
}

// isTakenOver kills the supervisor, and has the next one find the web server as it was.
func (a *overseen) isTakenOver() {
	a.t.Helper()
	before := a.states()["web"]
	report := a.under(func() {
		a.supervisor.Process.Kill()
		a.supervisor.Wait()
		a.serves("the supervisor's end")
		a.supervisor = a.supervise()
	})
	if report.Failed > 0 {
		a.t.Errorf("the supervisor is killed and started: %s", report)
	}
	if now := a.states()["web"]; now.PID != before.PID || now.State != "running" {
		a.t.Errorf("it was %+v and is %+v", before, now)
	}
	a.serves("the next supervisor's start")
}

// isRestartedHard stops and starts the web server. In between nobody listens; a server's own clients are answered all the same.
func (a *overseen) isRestartedHard() {
	a.t.Helper()
	before := a.states()["web"]
	a.deploy()
	report := a.under(func() { a.does("restart", "web", "--hard") })
	a.t.Logf("--hard: %s", report)
	if a.server.software == "serval " && report.Resets() > 0 {
		a.t.Errorf("restarted hard: %s", report)
	}
	a.serves("--hard")
	a.isWell()
	if now := a.states()["web"]; now.PID == before.PID {
		a.t.Errorf("it was %+v and is %+v", before, now)
	}
}

// isStopped carries out the stop sequence, which leaves nothing, and has everything started again and end with the supervisor.
func (a *overseen) isStopped() {
	a.t.Helper()
	a.leavesNothing(func() { a.does("stop", "web") })
	a.does("start", "web")
	a.serves("a start")
	a.leavesNothing(func() {
		a.supervisor.Process.Signal(syscall.SIGTERM)
		if err := a.supervisor.Wait(); err != nil {
			a.t.Error(err)
		}
	})
}

// leavesNothing checks that nothing is left of a web server after something that stops it.
func (a *overseen) leavesNothing(stop func()) {
	a.t.Helper()
	main := a.states()["web"].PID
	family := append(testkit.Descendants(main), testkit.FindProcess(main))
	stop()
	for _, p := range family {
		if p.Alive() {
			a.t.Errorf("%s is left", p)
		}
	}
	if web := a.states()["web"]; web.State != "stopped" {
		a.t.Errorf("it is stopped, and is %+v", web)
	}
}

func TestEveryWebServerOfThePageIsControlledByTheSupervisor(t *testing.T) {
	for _, s := range pageServers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			testkit.Need(t, s.need)
			testkit.Need(t, "bundle")
			testkit.Need(t, "curl")
			a := newOverseen(t, s)
			a.isWell()
			a.serves("the start")
			for _, signal := range s.signals {
				a.restarts(signal)
			}
			a.isTakenOver()
			if s.signals != nil { // once more, of a server that is nobody's child
				a.restarts(s.signals[0])
			} else {
				a.isStoppedInPlaceOfASignal()
			}
			a.isRestartedHard()
			a.isStopped()
		})
	}
}

// isStoppedInPlaceOfASignal restarts a web server whose signal would be its end.
func (a *overseen) isStoppedInPlaceOfASignal() {
	a.t.Helper()
	a.deploy()
	if said := a.does("restart", "web"); !strings.Contains(said, "it is stopped and started") {
		a.t.Errorf("a restart says\n%s", said)
	}
	a.serves("a restart")
	a.isWell()
}
