package test

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

func TestItListensOnAllItsAddresses(t *testing.T) {
	t.Parallel()
	dir := testkit.ShortDir(t)
	abstract := "unix://@serval-test-" + strconv.Itoa(os.Getpid())
	s := testkit.Start(t, "echo", "-b", "tcp://127.0.0.1:0", "-b", "unix://"+dir+"/one", "-b", "unix://"+dir+"/two", "-b", abstract, "-p", "0")
	if len(s.URLs) != 5 {
		t.Fatalf("it listens on %v", s.URLs)
	}
	for _, url := range s.URLs {
		c := testkit.DialURL(t, strings.Replace(url, "[::]", "127.0.0.1", 1))
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Status != 200 || object(t, r)["REMOTE_ADDR"] != "127.0.0.1" {
			t.Errorf("%s: got %+v", url, r)
		}
	}
}

func TestLocalhostIsEveryLoopbackAddress(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "-b", "tcp://localhost:0")
	_, port, _ := net.SplitHostPort(s.Addr())
	hosts := []string{"127.0.0.1"}
	if six, err := net.Listen("tcp", "[::1]:0"); err == nil {
		six.Close()
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		c := testkit.DialURL(t, "http://"+net.JoinHostPort(host, port))
		c.Send(testkit.Request("GET", "/", ""))
		if have := object(t, c.Response("GET"))["REMOTE_ADDR"]; have != host {
			t.Errorf("a client of %s has the address %v", host, have)
		}
	}
}

func TestAUnixSocketHasTheModeItIsGiven(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]fs.FileMode{"": 0o777, "?umask=0117": 0o660, "?mode=0600": 0o600} {
		path := testkit.ShortDir(t) + "/socket"
		testkit.Start(t, "hello", "-b", "unix://"+path+params)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: the mode is %v, %v, want %v", params, info.Mode(), err, want)
		}
	}
}

func TestASocketThatNobodyServesIsReplacedAndALiveOneIsNot(t *testing.T) {
	t.Parallel()
	path := testkit.ShortDir(t) + "/socket"
	bind := "unix://" + path
	killed := testkit.Start(t, "hello", "-b", bind)
	killed.Signal(syscall.SIGKILL)
	killed.Exit()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("a killed server should leave its socket: %v", err)
	}
	live := testkit.Start(t, "hello", "-b", bind)
	second := testkit.Command{App: "hello", Flags: []string{"-b", bind}}.Launch(t)
	if status := second.Exit(); status.ExitStatus() != 1 || !strings.Contains(second.Err.String(), "another server is answering there") {
		t.Errorf("a second server ended with %v, saying %q", status, second.Err)
	}
	if r := live.Get("/"); r.Status != 200 {
		t.Errorf("the first server got %+v", r)
	}
	live.Stop()

	file := filepath.Join(t.TempDir(), "notes")
	write(t, file, "precious")
	third := testkit.Command{App: "hello", Flags: []string{"-b", "unix://" + file}}.Launch(t)
	if status := third.Exit(); status.ExitStatus() != 1 {
		t.Errorf("a server in a file's place ended with %v", status)
	}
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file became %q, %v", text, err)
	}
}

func TestATakenPortIsSaidBeforeTheAppIsLoaded(t *testing.T) {
	t.Parallel()
	first := testkit.Start(t, "hello")
	second := testkit.Command{App: "boot_slow", Flags: []string{"-b", "tcp://" + first.Addr()}, Env: []string{"BOOT_SLEEP=1000"}}.Launch(t)
	if status := second.Exit(); status.ExitStatus() != 1 {
		t.Errorf("it ended with %v", status)
	}
	if want := fmt.Sprintf("the port is taken by PID %d", first.PID); !strings.Contains(second.Err.String(), want) {
		t.Errorf("standard error does not say %q but %q", want, second.Err)
	}
}

func TestThePidfileIsThereWhileTheServerIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	s := testkit.Start(t, "hello", "--pidfile", path)
	if text, err := os.ReadFile(path); strings.TrimSpace(string(text)) != strconv.Itoa(s.PID) {
		t.Errorf("the pidfile says %q, %v; the server is %d", text, err, s.PID)
	}
	s.Stop()
	if _, err := os.Stat(path); err == nil {
		t.Error("the pidfile is still there")
	}
}

func TestTheAppIsFoundFromItsDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.ru"), `run ->(_) { [200, {}, ["config.ru in #{Dir.pwd}, #{ENV["PWD"]}"]] }`)
	write(t, filepath.Join(dir, "other.ru"), `run ->(_) { [200, {}, ["other.ru in #{Dir.pwd}, #{ENV["PWD"]}"]] }`)
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]testkit.Command{
		"config.ru in " + real + ", " + dir:  {Flags: []string{"--dir", dir}},
		"other.ru in " + real + ", " + dir:   {Flags: []string{"--dir", dir, "other.ru"}},
		"config.ru in " + real + ", " + link: {Flags: []string{"--dir", link}},
	} {
		if have := c.Start(t).Get("/").Body; have != want {
			t.Errorf("%v: the app says %q, want %q", c.Flags, have, want)
		}
	}
	s := testkit.Command{Dir: t.TempDir()}.Launch(t)
	if status := s.Exit(); status.ExitStatus() != 1 || !strings.Contains(s.Err.String(), "cannot find config.ru in") {
		t.Errorf("without an app it ended with %v, saying %q", status, s.Err)
	}
}

func TestDirectoriesOfIncludeComeFirstOnRubysPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "greeting.rb"), `GREETING = "from the first"`)
	other := t.TempDir()
	write(t, filepath.Join(other, "greeting.rb"), `GREETING = "from the second"`)
	rackup := filepath.Join(t.TempDir(), "config.ru")
	write(t, rackup, `require "greeting"; run ->(_) { [200, {}, [GREETING]] }`)
	s := testkit.Start(t, rackup, "-I", dir+":"+other)
	if r := s.Get("/"); r.Body != "from the first" {
		t.Errorf("got %+v", r)
	}
}

func TestTheEnvironmentSetsWhatFlagsDoNot(t *testing.T) {
	t.Parallel()
	env := []string{"WEB_CONCURRENCY=2", "PUMA_MAX_THREADS=3"}
	s := testkit.Command{App: "echo", Env: env}.Start(t)
	if len(s.Workers()) != 2 {
		t.Errorf("there are %d workers", len(s.Workers()))
	}
	s.AwaitLog("Threads: 3 each")
	s = testkit.Command{App: "echo", Env: env, Flags: []string{"-w", "1", "-t", "4"}}.Start(t)
	if len(s.Workers()) != 1 {
		t.Errorf("there are %d workers", len(s.Workers()))
	}
	s.AwaitLog("Threads: 4 each")
}

func TestProcessesAreNamed(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hello", "-w", "2", "--tag", "shop")
	var names []string
	for _, w := range s.Workers() {
		name := w.String()
		names = append(names, name[strings.Index(name, "(")+1:strings.LastIndex(name, ")")])
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"serval: worker 0 [shop]", "serval: worker 1 [shop]"}) {
		t.Errorf("the workers are called %q", names)
	}
}

func TestASilentServerWritesOnlyErrors(t *testing.T) {
	t.Parallel()
	path := testkit.ShortDir(t) + "/socket"
	s := testkit.Command{App: "errors", Flags: []string{"-s", "-b", "unix://" + path}}.Launch(t)
	s.URLs = []string{"unix://" + path}
	testkit.WaitFor(t, "it listens", func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if r := s.Get("/raise"); r.Status != 500 {
		t.Errorf("got %+v", r)
	}
	s.AwaitLog("before the response")
	s.Stop()
	if s.Out.String() != "" {
		t.Errorf("it wrote %q", s.Out)
	}
}

func TestTheAccessLogHasALineForEachRequest(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies", "-v")
	s.Get("/one?a=b")
	s.Do("HEAD", "/string?kb=1", "")
	s.Get("/generate?mb=1")
	c := s.Dial()
	c.Send("nonsense\r\n\r\n")
	c.Rest()
	s.Get("/\"quoted\"")
	s.Stop()
	for _, want := range []string{
		`"GET /one\?a=b HTTP/1\.1" 200 9 \d+\.\d+`,
		`"HEAD /string\?kb=1 HTTP/1\.1" 200 0 \d+\.\d+`,
		`"GET /generate\?mb=1 HTTP/1\.1" 200 1048576 \d+\.\d+`,
		`"- - HTTP/1\.1" 400 `,
		`"GET /\\x22quoted\\x22 HTTP/1\.1" 404 `,
	} {
		line := regexp.MustCompile(`(?m)^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] ` + want)
		if found := line.FindAllString(s.Out.String(), -1); len(found) != 1 {
			t.Errorf("the log has %d lines like %s:\n%s", len(found), want, s.Out)
		}
	}
}

func TestALogReaderThatIsGoneIsNoReasonToDie(t *testing.T) {
	t.Parallel()
	path := testkit.ShortDir(t) + "/socket"
	cmd := exec.Command(testkit.Binary(t), "-v", "-w", "1", "-b", "unix://"+path, testkit.App(t, "hello"))
	log, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for lines := bufio.NewScanner(log); lines.Scan() && !strings.Contains(lines.Text(), "Use Ctrl-C"); {
	}
	log.Close()
	c := testkit.DialURL(t, "unix://"+path)
	for range 5 {
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
	}
}

func TestMistakesOnTheCommandLineEndIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flags  []string
		status int
		says   string
	}{
		{[]string{"--prot", "80"}, 2, "unknown flag --prot: did you mean --port?"},
		{[]string{"-p", "http"}, 2, "--port \"http\""},
		{[]string{"-b", "127.0.0.1:80"}, 2, "write tcp://127.0.0.1:80"},
		{[]string{"-t", "5:1"}, 2, "write 1:5"},
		{[]string{"--ruby", "/nonexistent/ruby"}, 1, "/nonexistent/ruby"},
		{[]string{"--dir", "/nonexistent"}, 1, "cannot enter /nonexistent"},
		{[]string{"-b", "tcp://192.0.2.1:0"}, 1, "is not an address of this machine"},
	} {
		s := testkit.Command{App: "hello", Flags: tt.flags}.Launch(t)
		if status := s.Exit(); status.ExitStatus() != tt.status || !strings.Contains(s.Err.String(), tt.says) || s.Out.String() != "" && tt.status == 2 {
			t.Errorf("%v: it ended with %v and %q, want %d and %q", tt.flags, status, s.Err, tt.status, tt.says)
		}
	}
}
