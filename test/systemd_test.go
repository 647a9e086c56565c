package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// unitApp waits as long as the file "boot" says before it is loaded, and answers with what the file "release" said then.
const unitApp = `
$stdout.sync = true
sleep File.read("boot").to_f if File.exist?("boot")
RELEASE = File.read("release")
raise "this release is broken" if RELEASE == "broken"
run ->(env) {
  case env["PATH_INFO"]
  when "/env" then [200, {}, [env["QUERY_STRING"].split(",").map { |name| "#{name}=#{ENV[name]}" }.join("\n")]]
  when "/fds" then [200, {}, [Dir.children("/proc/#{Process.ppid}/fd").size.to_s]]
  when "/spin" then nil until File.exist?("enough"); [200, {}, ["spun"]]
  when "/slow" then puts "slow request runs"; sleep env["QUERY_STRING"].to_f; [200, {}, ["slow"]]
  else [200, {}, [RELEASE + env["rack.input"].read]]
  end
}
`

// service is a Serval that is a unit of a real systemd, web.service, for the app above.
type service struct {
	*testkit.Sandbox
	t    *testing.T
	dir  string // the app's, outside
	port string
}

const web = "web.service"

// newService boots a machine with web.service, of Type=notify, and does not start it. It listens on port 3000 and on
// /run/web/serval.sock unless flags say otherwise. settings are lines for the [Service] section, which win.
func newService(t *testing.T, flags string, settings ...string) *service {
	t.Helper()
	t.Parallel()
	s := &service{Sandbox: testkit.NewSandbox(t), t: t, port: "3000"}
	s.dir = s.Path(s.Top + "/app")
	s.write("config.ru", unitApp)
	s.write("release", "one")
	if !strings.Contains(flags, "-b") {
		flags += " -b tcp://0.0.0.0:3000 -b unix:///run/web/serval.sock"
	}
	s.Unit(web, fmt.Sprintf(`[Service]
Type=notify
WorkingDirectory=%[1]s/app
RuntimeDirectory=web
ExecStart=%[2]s -e production %[3]s
ExecReload=%[2]s ctl -p $MAINPID restart
KillMode=mixed
%[4]s
`, s.Top, s.Serval, flags, strings.Join(settings, "\n")))
	return s
}

// write writes a file of the app's.
func (s *service) write(name, text string) {
	s.t.Helper()
	s.Write(s.Top+"/app/"+name, text)
}

func (s *service) tcp() string  { return "http://" + s.IP() + ":" + s.port }
func (s *service) unix() string { return "unix://" + s.Path("/run/web/serval.sock") }

// get asks for a path and returns the body of the response.
func (s *service) get(path string) string {
	s.t.Helper()
	c := testkit.DialURL(s.t, s.unix())
	defer c.Close()
	c.Send(testkit.Request("GET", path, "", "Connection: close"))
	return c.Response("GET").Body
}

// mainPID is the front's process, as the machine numbers it.
func (s *service) mainPID() string {
	s.t.Helper()
	pid := s.Show(web, "MainPID")
	if n, err := strconv.Atoi(pid); err != nil || n <= 1 {
		s.t.Fatalf("%s has the main process %q", web, pid)
	}
	return pid
}

func TestAUnitIsStartedWhenItsAppServes(t *testing.T) {
	// The app takes longer than the unit allows, and serval asks for the time.
	s := newService(t, "-w 2 -t 3", "TimeoutStartSec=1", "WatchdogSec=30")
	s.write("boot", "2.5")
	s.Do("systemctl", "start", web)
	if body := s.get("/"); body != "one" {
		t.Errorf("right after its start, it answers %q", body)
	}
	if pid := s.mainPID(); strings.TrimSpace(s.Do("cat", "/proc/"+pid+"/comm")) != "serval" {
		t.Errorf("the main process is not the front but %s", s.Do("ps", "-fp", pid))
	}
	status := s.Show(web, "StatusText")
	if want := "cluster: 2/2, worker_status: [{ 0: 3/3 threads, 3 available }, { 1: 3/3 threads, 3 available }], 0 backlog, phase: 0"; !strings.HasSuffix(status, want) {
		t.Errorf("its status is %q and does not end in %q", status, want)
	}
	if env := s.get("/env?NOTIFY_SOCKET,WATCHDOG_USEC,WATCHDOG_PID,RACK_ENV"); env != "NOTIFY_SOCKET=\nWATCHDOG_USEC=\nWATCHDOG_PID=\nRACK_ENV=production" {
		t.Errorf("the app has %q in its environment", env)
	}
}

func TestAUnitWhoseAppDoesNotLoadFails(t *testing.T) {
	s := newService(t, "")
	s.write("release", "broken")
	said, status := s.Run("systemctl", "start", web)
	if status != 1 || s.Show(web, "Result") != "exit-code" || s.Show(web, "ExecMainStatus") != "1" {
		t.Errorf("systemctl start ended with status %d (%s), the unit with %s", status, said, s.Do("systemctl", "show", web))
	}
	if text := s.Show(web, "StatusText"); text != "the app did not boot: RuntimeError: this release is broken" {
		t.Errorf("the status says %q", text)
	}
	s.AwaitJournal(web, "this release is broken")
	if text := s.JournalBy(web, "err"); strings.Contains(text, "Stopping") {
		t.Errorf("these are no errors: %s", text)
	}
}

func TestStoppingAUnitLetsRequestsEndWhateverItsTimeout(t *testing.T) {
	s := newService(t, "--shutdown-timeout 30", "TimeoutStopSec=1", "ExecStopPost=/bin/sh -c 'echo ended: $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS'")
	s.Do("systemctl", "start", web)
	c := testkit.DialURL(t, s.unix())
	c.Send(testkit.Request("GET", "/slow?3", ""))
	s.AwaitJournal(web, "slow request runs")
	s.Do("systemctl", "stop", web)
	if r := c.Response("GET"); r.Body != "slow" {
		t.Errorf("the request under way got %+v", r)
	}
	if result := s.Show(web, "Result"); result != "success" {
		t.Errorf("the unit ended with %q", result)
	}
	s.AwaitJournal(web, "ended: success killed TERM")
	if !strings.Contains(s.Journal(web), "Goodbye!") {
		t.Errorf("it was not let end:\n%s", s.Journal(web))
	}
}

func TestRestartsUnderSystemdKeepTheMainProcessAndEveryRequest(t *testing.T) {
	s := newService(t, "-w 2 -t 3", "NotifyAccess=main")
	s.write("boot", "0.5")
	s.Do("systemctl", "start", web)
	pid := s.mainPID()
	load := testkit.StartLoad(testkit.LoadConfig{URL: s.unix(), Rate: 100, KeepAlive: true, Method: "POST"})
	for i, restart := range [][]string{
		{"systemctl", "kill", "--signal=USR1", "--kill-whom=main", web},
		{"systemctl", "--no-block", "reload", web},
	} {
		release := fmt.Sprint("release ", i)
		s.write("release", release)
		s.Do(restart...)
		testkit.WaitFor(t, "systemd hears of the restart", func() bool { return strings.Contains(s.Show(web, "StatusText"), "restart under way") })
		if state := s.Show(web, "ActiveState"); state != "reloading" {
			t.Errorf("the unit is %q during a restart", state)
		}
		s.AwaitShow(web, "ActiveState", "active")
		if body := s.get("/"); body != release {
			t.Errorf("after %q it answers %q", restart, body)
		}
	}

	s.write("release", "release 2")
	s.Do("systemctl", "reload", web)
	if body := s.get("/"); body != "release 2" {
		t.Errorf("right after a reload it answers %q", body)
	}

	s.write("release", "broken")
	if said, status := s.Run("systemctl", "reload", web); status == 0 {
		t.Errorf("a reload with a release that does not load succeeds: %s", said)
	}
	if status := s.Show(web, "StatusText"); !strings.Contains(status, "the hot restart failed: ") {
		t.Errorf("after a restart that failed the status is %q", status)
	}
	if state := s.Show(web, "ActiveState"); state != "active" {
		t.Errorf("after a restart that failed the unit is %q", state)
	}
	if body := s.get("/"); body != "release 2" {
		t.Errorf("after a restart that failed it answers %q", body)
	}
	if r := load.Stop(); r.Failed > 0 || r.Sent == 0 {
		t.Errorf("during the restarts, %s", r)
	}
	if s.mainPID() != pid || s.Show(web, "NRestarts") != "0" {
		t.Errorf("the main process was %s and is %s", pid, s.mainPID())
	}
}

func TestTheWatchdogLooksAtTheFrontAndNotAtRuby(t *testing.T) {
	s := newService(t, "-w 2 -t 2", "WatchdogSec=3", "Restart=always", "RestartSec=100ms")
	s.Do("systemctl", "start", web)
	pid := s.mainPID()

	var busy []*testkit.Client
	for range 4 { // every thread there is
		c := testkit.DialURL(t, s.unix())
		c.Send(testkit.Request("GET", "/spin", "", "Connection: close"))
		busy = append(busy, c)
	}
	testkit.WaitFor(t, "all threads are busy", func() bool {
		return strings.Count(s.Show(web, "StatusText"), " 0 available") == 2
	})
	time.Sleep(7 * time.Second) // more than two watchdogs
	if s.mainPID() != pid || s.Show(web, "NRestarts") != "0" {
		t.Error("the watchdog bit because Ruby was busy")
	}
	s.write("enough", "")
	for _, c := range busy {
		if r := c.Response("GET"); r.Body != "spun" {
			t.Errorf("a busy thread answered %+v", r)
		}
	}

	s.Do("kill", "-STOP", pid)
	s.AwaitShow(web, "NRestarts", "1")
	s.AwaitShow(web, "ActiveState", "active")
	if s.mainPID() == pid || !strings.Contains(s.journalOfSystemd(), "Watchdog timeout") {
		t.Errorf("a front that is stopped was not replaced:\n%s", s.journalOfSystemd())
	}
	if body := s.get("/"); body != "one" {
		t.Errorf("it answers %q", body)
	}
}

// journalOfSystemd is what systemd has to say about the unit.
func (s *service) journalOfSystemd() string {
	s.t.Helper()
	return s.Do("journalctl", "--no-pager", "--quiet", "--output=cat", "UNIT="+web)
}

func TestLinesInTheJournalHaveTheirPriority(t *testing.T) {
	s := newService(t, "")
	s.Do("systemctl", "start", web)
	s.write("release", "broken")
	s.Do("systemctl", "kill", "--signal=USR1", "--kill-whom=main", web)
	s.AwaitJournal(web, "the phased restart failed")
	for priority, want := range map[string]string{"info": "* Listening on unix:///run/web/serval.sock\n", "err": "ERROR: the phased restart failed"} {
		if text := s.JournalBy(web, priority); !strings.Contains(text, want) {
			t.Errorf("what has priority %s does not include %q:\n%s", priority, want, text)
		}
	}
	if text := s.Journal(web); strings.Contains(text, "<3>") || strings.Contains(text, "<6>") {
		t.Errorf("priorities are part of the lines:\n%s", text)
	}
}

// activate writes web.socket, which has the same addresses as the unit, and starts it.
func (s *service) activate() {
	s.t.Helper()
	s.Unit("web.socket", "[Socket]\nListenStream=3000\nListenStream=/run/web.sock\nFileDescriptorName=front-door\n")
	s.Do("systemctl", "start", "web.socket")
}

func TestSocketsOfSystemdLoseNoRequestWhateverBecomesOfTheUnit(t *testing.T) {
	s := newService(t, "-w 2 -t 3 -b tcp://0.0.0.0:3000 -b unix:///run/web.sock")
	s.activate()
	file, err := os.Stat(s.Path("/run/web.sock"))
	if err != nil {
		t.Fatal(err)
	}
	tcp := testkit.StartLoad(testkit.LoadConfig{URL: s.tcp(), Rate: 50})
	unix := testkit.StartLoad(testkit.LoadConfig{URL: "unix://" + s.Path("/run/web.sock"), Rate: 50, Method: "POST"})
	s.AwaitShow(web, "ActiveState", "active") // the first request started it
	answered := func() {
		t.Helper()
		before, before2 := tcp.Served(), unix.Served()
		testkit.WaitFor(t, "clients are answered", func() bool { return tcp.Served() > before && unix.Served() > before2 })
	}
	answered()
	s.Do("systemctl", "restart", web)
	answered()
	s.Do("systemctl", "reload", web)
	s.AwaitJournal(web, "Finished hot restart")
	answered()
	s.Do("systemctl", "stop", web)
	s.Do("systemctl", "start", web)
	answered()
	pid, _ := strconv.Atoi(s.mainPID())
	s.Do("kill", "-KILL", strconv.Itoa(pid)) // what is in it is lost; who comes then waits for the next one
	s.AwaitShow(web, "ActiveState", "active")
	answered()
	for name, load := range map[string]*testkit.Load{"tcp": tcp, "unix": unix} {
		r := load.Stop()
		if r.Failed > r.Resets() || r.Resets() > 3 { // those inside when it was killed
			t.Errorf("%s: %s", name, r)
		}
	}

	log := s.Journal(web)
	for _, want := range []string{
		"* Activated tcp://0.0.0.0:3000 by systemd (front-door)\n", "* Activated unix:///run/web.sock by systemd (front-door)\n",
		"* Listening on http://[::]:3000\n", "* Listening on unix:///run/web.sock\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	s.Do("systemctl", "stop", "web.socket", web)
	if now, err := os.Stat(s.Path("/run/web.sock")); err == nil && !os.SameFile(file, now) {
		t.Error("the socket's file is not systemd's any more")
	}
}

func TestThoseWhoWaitWhileTheAppBootsAreAllServed(t *testing.T) {
	s := newService(t, "-w 1 -t 1 --queue-limit 2 -b tcp://0.0.0.0:3000 -b unix:///run/web.sock")
	s.activate()
	s.Do("systemctl", "start", web)
	s.write("boot", "1.5")
	load := testkit.StartLoad(testkit.LoadConfig{URL: "unix://" + s.Path("/run/web.sock"), Rate: 50})
	testkit.WaitFor(t, "clients are served", func() bool { return load.Served() > 3 })
	s.Do("systemctl", "restart", web)
	before := load.Served()
	testkit.WaitFor(t, "clients are served", func() bool { return load.Served() > before+60 })
	if r := load.Stop(); r.Failed > 0 {
		t.Error(r)
	}
}

func TestTypeNotifyReloadIsAnswered(t *testing.T) {
	said, err := exec.Command(testkit.Need(t, "systemctl"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	version := 0
	if fmt.Sscanf(string(said), "systemd %d", &version); version < 253 {
		t.Skipf("systemd %d does not know Type=notify-reload, which came with 253", version)
	}
	s := newService(t, "", "Type=notify-reload", "ReloadSignal=SIGUSR2")
	s.write("boot", "1")
	s.Do("systemctl", "start", web)
	s.write("release", "two")
	s.Do("systemctl", "reload", web)
	if body := s.get("/"); body != "two" {
		t.Errorf("right after the reload it answers %q", body)
	}
	s.Unit(web, strings.Replace(s.Do("cat", "/etc/systemd/system/"+web), "ReloadSignal=SIGUSR2", "ReloadSignal=SIGHUP", 1))
	s.Do("systemctl", "reload", web)
}

func TestALogIsOpenedAgainForAUnit(t *testing.T) {
	s := newService(t, "--redirect-stdout out.log --redirect-append")
	s.Do("systemctl", "start", web)
	log, old := s.dir+"/out.log", s.dir+"/old.log"
	if err := os.Rename(log, old); err != nil {
		t.Fatal(err)
	}
	s.Do("systemctl", "kill", "--signal=HUP", "--kill-whom=main", web)
	testkit.WaitFor(t, "there is a new log", func() bool { _, err := os.Stat(log); return err == nil })
	s.AwaitShow(web, "ActiveState", "active")
	text, err := os.ReadFile(old)
	if err != nil || !strings.Contains(string(text), "* Listening on ") || strings.Contains(string(text), "<6>") {
		t.Errorf("the log has %q, %v", text, err)
	}
}

func TestAUnitThatIsIdleStopsAndTheNextRequestStartsIt(t *testing.T) {
	s := newService(t, "--bind-to-activated-sockets=only --idle-timeout 1", "Restart=on-failure")
	s.activate()
	for range 2 {
		c := testkit.DialURL(t, s.tcp())
		c.Send(testkit.Request("GET", "/", "", "Connection: close"))
		if r := c.Response("GET"); r.Body != "one" {
			t.Errorf("it answers %+v", r)
		}
		s.AwaitShow(web, "ActiveState", "inactive")
		if result := s.Show(web, "Result"); result != "success" {
			t.Errorf("it ended with %q", result)
		}
	}
	if log := s.Journal(web); strings.Count(log, "Goodbye!") != 2 {
		t.Errorf("it was not started twice:\n%s", log)
	}
}

func TestAUnitListensOnWhateverSystemdHas(t *testing.T) {
	s := newService(t, "-w 2 --preload --bind-to-activated-sockets=only")
	s.activate()
	s.Do("systemctl", "start", web)
	for _, url := range []string{s.tcp(), "unix://" + s.Path("/run/web.sock")} {
		c := testkit.DialURL(t, url)
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Body != "one" {
			t.Errorf("%s answers %+v", url, r)
		}
		s.write("release", "two")
		s.Do("systemctl", "reload", web)
		c.Send(testkit.Request("GET", "/", "")) // on the same connection
		if r := c.Response("GET"); r.Body != "two" {
			t.Errorf("after a hot restart, %s answers %+v", url, r)
		}
		s.write("release", "one")
		s.Do("systemctl", "reload", web)
	}
	if log := s.Journal(web); strings.Count(log, "Listening on") != 2 {
		t.Errorf("it listens elsewhere, too:\n%s", log)
	}
}

func TestRestartsTakeWhatAnEnvironmentFileSaysThen(t *testing.T) {
	s := newService(t, "-w 2 --env-file /etc/web.env", "EnvironmentFile=/etc/fixed.env")
	s.Write("/etc/fixed.env", "FIXED=at the start\n")
	s.Write("/etc/web.env", "GREETING=\"hello\"\n")
	s.Do("systemctl", "start", web)
	pid := s.mainPID()
	greets := func(greeting string) {
		t.Helper()
		testkit.WaitFor(t, "the app greets with "+greeting, func() bool {
			return s.get("/env?FIXED,GREETING") == "FIXED=at the start\nGREETING="+greeting
		})
	}
	greets("hello")
	s.Write("/etc/fixed.env", "FIXED=too late\n")
	s.Write("/etc/web.env", "GREETING='good evening'\n")
	s.Do("systemctl", "reload", web)
	greets("good evening")
	s.Write("/etc/web.env", "GREETING=goodbye\n")
	s.Do("systemctl", "kill", "--signal=USR1", "--kill-whom=main", web)
	greets("goodbye")
	if s.mainPID() != pid {
		t.Errorf("the main process was %s and is %s", pid, s.mainPID())
	}
}

func TestAChangedProgramIsTheSameUnitWithTheSameSockets(t *testing.T) {
	s := newService(t, "", "WatchdogSec=10", "ExecStart=", "ExecStart=/opt/serval -e production -w 2 -t 3 --bind-to-activated-sockets=only")
	s.activate()
	s.Do("cp", s.Serval, "/opt/serval")
	s.Do("systemctl", "start", web)
	pid, socket := s.mainPID(), "unix://"+s.Path("/run/web.sock")
	load := testkit.StartLoad(testkit.LoadConfig{URL: socket, Rate: 50, KeepAlive: true, Method: "POST"})
	single := testkit.StartLoad(testkit.LoadConfig{URL: s.tcp(), Rate: 50})
	for i, greeting := range []string{"two", "three"} {
		s.Do("sh", "-c", "cp "+s.Serval+" /opt/new && echo "+greeting+" >>/opt/new && mv /opt/new /opt/serval") // another one, which does the same
		s.write("release", greeting)
		s.Do("systemctl", "reload", web)
		c := testkit.DialURL(t, socket)
		c.Send(testkit.Request("GET", "/", "", "Connection: close"))
		if r := c.Response("GET"); r.Body != greeting {
			t.Errorf("right after the reload it answers %+v", r)
		}
		testkit.WaitFor(t, "the restart is over", func() bool {
			return strings.Count(s.Journal(web), "Finished hot restart in ") == i+1
		})
	}
	for name, load := range map[string]*testkit.Load{"unix, kept": load, "tcp": single} {
		if r := load.Stop(); r.Failed > 0 {
			t.Errorf("%s: %s", name, r)
		}
	}
	if s.mainPID() != pid || s.Show(web, "NRestarts") != "0" || s.Show(web, "ActiveState") != "active" {
		t.Errorf("the main process was %s and is %s, the unit is %s", pid, s.mainPID(), s.Show(web, "ActiveState"))
	}
	if path := strings.TrimSpace(s.Do("readlink", "/proc/"+pid+"/exe")); path != "/opt/serval" {
		t.Errorf("the main process runs %s", path)
	}
	s.Do("systemctl", "stop", web)
	if result := s.Show(web, "Result"); result != "success" {
		t.Errorf("it ended with %s", result)
	}
	if _, err := os.Stat(s.Path("/run/web.sock")); err != nil {
		t.Errorf("systemd's socket has no file any more: %v", err)
	}
}

func TestAUnitRunByAShellIsFollowedToTheFront(t *testing.T) {
	s := newService(t, "", "NotifyAccess=all", "KillMode=control-group")
	unit := strings.Replace(s.Do("cat", "/etc/systemd/system/"+web), "ExecStart="+s.Serval, "ExecStart=/bin/bash -c '"+s.Serval, 1)
	unit = strings.Replace(unit, "serval.sock\n", "serval.sock; exit $?'\n", 1)
	s.Unit(web, unit)
	s.Do("systemctl", "start", web)
	if comm := strings.TrimSpace(s.Do("cat", "/proc/"+s.mainPID()+"/comm")); comm != "serval" {
		t.Errorf("the main process is %s", comm)
	}
	s.Do("systemctl", "stop", web)
	if !strings.Contains(s.Journal(web), "Goodbye!") {
		t.Errorf("it did not stop in order:\n%s", s.Journal(web))
	}
}

func TestASystemdThatIsSkippedHearsNothing(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(testkit.ShortDir(t), "notify")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"config.ru": unitApp, "release": "one"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := testkit.Command{Dir: dir, Env: []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=1000000", "PUMA_SKIP_SYSTEMD=1"}}.Start(t)
	if body := s.Get("/env?NOTIFY_SOCKET,WATCHDOG_USEC").Body; body != "NOTIFY_SOCKET="+socket+"\nWATCHDOG_USEC=1000000" {
		t.Errorf("the app, which is to speak itself, has %q", body)
	}
	s.Stop()
	if n, err := syscall.Read(fd, make([]byte, 1000)); err != syscall.EAGAIN {
		t.Errorf("systemd heard something: %d bytes, %v", n, err)
	}
}
