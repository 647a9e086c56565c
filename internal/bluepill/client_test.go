package bluepill

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"serval/internal/testkit"
)

// dirs is a client of a base directory without daemons.
func dirs(t *testing.T) Client {
	t.Helper()
	c := Client{BaseDir: testkit.ShortDir(t), Timeout: testkit.Patience, Attempts: 1, Say: t.Logf}
	for _, dir := range []string{"socks", "pids"} {
		if err := os.Mkdir(filepath.Join(c.BaseDir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestDaemonsOfBluepillsOwnAreKnownByTheirTitle(t *testing.T) {
	t.Parallel()
	c := dirs(t)
	cmd := exec.Command("ruby", "-e", `trap("TERM") { exit! }; trap("INT") { exit! }; $0 = "bluepilld: blog"; sleep`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	testkit.WaitFor(t, "it has its title", func() bool { return titled(cmd.Process.Pid, "blog") })
	write(t, pid(c.BaseDir, "blog"), strconv.Itoa(cmd.Process.Pid))
	write(t, pid(c.BaseDir, "shop"), strconv.Itoa(cmd.Process.Pid)) // the number of a daemon that is gone
	other := stranger(t)
	write(t, pid(c.BaseDir, "news"), strconv.Itoa(other.PID))
	for _, name := range []string{"shop", "news", "none"} {
		if id, err := c.Daemon(name); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%v is taken for the daemon of %s", id, name)
		}
		if _, err := c.Quit(name); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("the daemon of %s is ended: %v", name, err)
		}
		if err := c.Replace(t.Context(), Application{Name: name}, func(format string, args ...any) { t.Errorf(format, args...) }); err != nil {
			t.Error(err)
		}
	}
	if id, err := c.Daemon("blog"); err != nil || id.PID != cmd.Process.Pid {
		t.Errorf("%v, %v", id, err)
	}
	if err := c.Replace(t.Context(), Application{Name: "blog", Patience: testkit.Patience}, t.Logf); err != nil {
		t.Error(err)
	}
	<-exited
	if !other.Alive() {
		t.Error("a stranger was ended")
	}
}

func TestWhatSpeaksAnotherLanguageIsSaid(t *testing.T) {
	t.Parallel()
	c := dirs(t)
	listener, err := net.Listen("unix", sock(c.BaseDir, "blog"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 100))
			conn.Write([]byte("\x04\b[\x06I\"\bup\x06:\x06ET")) // Ruby's Marshal
			conn.Close()
		}
	}()
	var server ServerError
	if _, err := c.Ask("blog", "status", ""); !errors.As(err, &server) {
		t.Errorf("%v", err)
	}
}

func TestSocketsThatNobodyListensOnAreTakenAway(t *testing.T) {
	t.Parallel()
	c := dirs(t)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: sock(c.BaseDir, "old"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	write(t, pid(c.BaseDir, "old"), "1")
	if found := c.Running(); len(found) > 0 {
		t.Errorf("%q run", found)
	}
	for _, path := range []string{sock(c.BaseDir, "old"), pid(c.BaseDir, "old")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestTheBaseDirectory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		root bool
		want string
	}{
		{map[string]string{"BLUEPILL_BASE_DIR": "/x", "HOME": "/home/a"}, true, "/x"},
		{map[string]string{"HOME": "/root"}, true, "/var/run/bluepill"},
		{map[string]string{"HOME": "/home/a"}, false, "/home/a/.bluepill"},
	} {
		if got := BaseDir(func(name string) string { return c.env[name] }, c.root); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

// lines takes what is written, line by line.
type lines chan string

func (l lines) Write(text []byte) (int, error) {
	l <- string(text)
	return len(text), nil
}

func TestALogIsFollowedWhateverBecomesOfTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	text := "I, [1] : [blog:too:old] a\n"
	for range tailed {
		text += "I, [1] : [blog:web] b\n"
	}
	write(t, path, text)
	ctx, cancel := context.WithCancel(t.Context())
	shown, over := make(lines), make(chan error, 1)
	go func() { over <- Follow(ctx, path, "blog", "", shown) }()
	next := func() string {
		select {
		case line := <-shown:
			return line
		case <-time.After(testkit.Patience):
			t.Fatal("nothing comes")
		}
		return ""
	}
	for range tailed {
		if line := next(); line != "I, [1] : [blog:web] b\n" {
			t.Fatal(line)
		}
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString("[shop:web] no\n[blog:web] appended")
	file.WriteString(" in two\n")
	if line := next(); line != "[blog:web] appended in two\n" {
		t.Error(line)
	}
	file.Close()
	os.Rename(path, path+".1")
	write(t, path, "[blog:web] in a new file\n")
	if line := next(); line != "[blog:web] in a new file\n" {
		t.Error(line)
	}
	write(t, path, "[blog] cut\n")
	if line := next(); line != "[blog] cut\n" {
		t.Error(line)
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if err := Follow(t.Context(), path+".none", "blog", "", shown); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestWhatLeavingBluepillChanges(t *testing.T) {
	t.Parallel()
	_, p, services := blog()
	e := evaluator(t)
	path := filepath.Join(t.TempDir(), "shop.pill")
	write(t, path, `Bluepill.application("shop") do |app|
  app.working_dir = "/srv/blog"
  app.process("web") do |q|
    q.start_command = "bundle exec puma --pidfile /tmp/web_server.pid"
    q.uid = "root"
    q.restart_command = "kill -s HUP {{PID}}"
    q.stop_command = "kill -INT {{PID}}"
    q.checks :mem_usage, every: 5, below: 300.megabytes
    q.pre_start_command = "true"
  end
  app.process("worker_2") { |q| q.start_command = "x"; q.environment = { "A" => "other", "NEW" => "x" } }
  app.process("clock") { |q| q.start_command = "ruby clock.rb" }
end
`)
	files, found, err := e.Files(t.Context(), filepath.Dir(path))
	if err != nil || len(found) > 0 || len(files) != 1 {
		t.Fatal(files, found, err)
	}
	app := files[0].Applications[0]
	if !app.About("/srv/blog") || !app.About("/srv") || app.About("/srv/blo") || app.About("/srv/blog/x") {
		t.Error("it is not clear which app it is about")
	}
	l := &Leaver{Plan: p, Services: services}
	l.Compare(app)
	var said []string
	for _, f := range l.Found {
		f.File = filepath.Base(f.File)
		said = append(said, string(f.Level)+" "+f.Error())
	}
	want := []string{
		"warning shop.pill:7: systemd does not run the stop_command of web, but sends quit, 30, term, 11, kill: write a stop_sequence into procfile_metadata of the manifest",
		"warning shop.pill:6: web is restarted by hup, and serval restart web would send usr2: write restart_signal: hup for web into procfile_metadata of the manifest",
		"warning shop.pill:9: systemd does not run the pre_start_command of web: have the Procfile's command do it first",
		"warning shop.pill:5: web runs as root, and would as deploy: say --user root",
		"warning shop.pill:3: systemd does not know the check mem_usage of web: write memory_limit: 314572800 for web into procfile_metadata of the manifest",
		"error shop.pill:11: worker_2 would not get NEW, which only this file sets: write them into an environment file, and name it by --env-file",
		"warning shop.pill:11: worker_2 would get other values of A: see which value is the right one",
		"error shop.pill:12: no line of the Procfile runs clock, so systemd would not run it: write it into the Procfile, or take it out of the file",
	}
	if !slices.Equal(said, want) {
		for _, line := range said {
			t.Error(line)
		}
	}
	if len(l.Changes) != 2 || l.Changes[0].Unit != "cloud66_web_server.service" || l.Changes[1].Unit != "cloud66_process_worker@2.service" {
		t.Errorf("%+v", l.Changes)
	}
}
