package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// pageShell carries out a page as a reader would: it writes the page's files, types its commands and compares what they
// print. docs/README.md tells how pages are written for it.
type pageShell struct {
	t       *testing.T
	top     string   // stands for the root of the reader's machine
	dir     string   // the current directory
	bin     string   // goes first in PATH
	swaps   []string // what a page says → what is true here: ports and directories
	port80  string   // the port that stands for 80
	servers []*terminal
}

// swappedDirs are directories of the reader's machine that the test has its own of.
var swappedDirs = []string{"/etc/", "/run/", "/srv/", "/usr/local/bin/", "/var/log/", "/var/spool/"}

// swappedPorts are the ports that pages may use.
var swappedPorts = []string{"9292", "3000", "8080"}

func newPageShell(t *testing.T) *pageShell {
	s := &pageShell{t: t, top: testkit.ShortDir(t)}
	for _, dir := range swappedDirs {
		s.swaps = append(s.swaps, dir, s.top+dir)
		s.mkdir(dir)
	}
	ports := map[string]string{}
	for _, port := range swappedPorts {
		ports[port] = freePort(t)
		s.swaps = append(s.swaps, port, ports[port])
	}
	s.port80 = freePort(t)
	s.swaps = append(s.swaps, "listen 80;", "listen 127.0.0.1:"+s.port80+";", "http://localhost/", "http://127.0.0.1:"+s.port80+"/")
	s.dir, s.bin = filepath.Join(s.top, "work"), filepath.Join(s.top, "usr/local/bin")
	s.mkdir("work")
	// Pages rely on the default port, and tests must not meet on it.
	wrapper := fmt.Sprintf("#!/bin/bash\n[[ $1 =~ ^(ctl|analyze|nginx|install|uninstall|diff|up|supervise|start|stop|restart|reload|status|logs|scale)$ ]] && exec %s \"$@\"\nfor arg; do [[ $arg == -[pb]* || $arg == --port* || $arg == --bind* ]] && exec %[1]s \"$@\"; done\nexec %[1]s -p %[2]s \"$@\"\n",
		testkit.Binary(t), ports["9292"])
	s.write(filepath.Join(s.bin, "serval"), wrapper, 0o755)
	s.write(filepath.Join(s.top, "home", ".curlrc"), "no-progress-meter\n", 0o644) // as on a terminal
	t.Cleanup(s.close)
	return s
}

// freePort returns a port that nobody uses. It is below those that the kernel gives to who asks for any
// (ip_local_port_range), so nobody gets it by chance before the page uses it.
func freePort(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 10000 {
		port := 20000 + (os.Getpid()*61+ports.next)%10000
		ports.next++
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			l.Close()
			return fmt.Sprint(port)
		}
	}
	t.Fatal("no port is free")
	return ""
}

var ports struct {
	sync.Mutex
	next int
}

func (s *pageShell) mkdir(dir string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Join(s.top, dir), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *pageShell) write(path, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

// here puts what is true here in place of what the page says.
func (s *pageShell) here(text string) string { return strings.NewReplacer(s.swaps...).Replace(text) }

// carryOut does what a block says.
func (s *pageShell) carryOut(b pageBlock) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("that was the block at line %d", b.line)
		}
	}()
	switch {
	case b.note != "":
		s.note(b.note)
	case b.file() != "":
		path := s.here(b.file())
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.dir, path)
		}
		s.write(path, s.here(b.text), 0o644)
	case b.lang == "sh":
		for _, command := range commandLines(b.text) {
			s.run(command, nil)
		}
	case b.lang == "console":
		s.converse(b.text)
	}
}

// note does what a note to the tests says.
func (s *pageShell) note(note string) {
	s.t.Helper()
	verb, object, _ := strings.Cut(note, " ")
	switch verb {
	case "in": // a copy of a directory of the repository
		s.dir = filepath.Join(s.top, "srv", filepath.Base(object))
		if err := os.CopyFS(s.dir, os.DirFS(filepath.Join(testkit.Root(s.t), object))); err != nil {
			s.t.Fatal(err)
		}
	case "nginx": // with what the page put into conf.d
		s.startNginx()
	default:
		s.t.Fatalf("the tests do not know what to do for the note %q", note)
	}
}

// commandLines splits a block into commands: a backslash at a line's end goes on in the next.
func commandLines(text string) (commands []string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "\\\x00")) {
		line = strings.ReplaceAll(strings.TrimSpace(line), "\x00", "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			commands = append(commands, strings.TrimPrefix(line, "$ "))
		}
	}
	return commands
}

// converse types the commands of a block, those after "$ ", and compares what they print. Lines before the first command
// are what the server that was started last prints next; ^C is a Ctrl-C for it.
func (s *pageShell) converse(text string) {
	s.t.Helper()
	text = strings.ReplaceAll(text, "\\\n", "\\\x00")
	command, shown := "", []string{}
	flush := func() {
		switch {
		case command != "":
			s.run(strings.ReplaceAll(command, "\x00", "\n"), shown)
		case len(shown) > 0:
			s.await(s.latest(), shown)
		}
		command, shown = "", []string{}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if next, isCommand := strings.CutPrefix(line, "$ "); isCommand {
			flush()
			command = next
			continue
		}
		if rest, isInterrupt := strings.CutPrefix(line, "^C"); isInterrupt {
			flush()
			s.latest().interrupt()
			line = rest
		}
		shown = append(shown, line)
	}
	flush()
}

func (s *pageShell) latest() *terminal {
	s.t.Helper()
	if len(s.servers) == 0 {
		s.t.Fatal("no server was started")
	}
	return s.servers[len(s.servers)-1]
}

// run types one command and waits until it has ended or, being a server, listens. shown is what it must print; nil: anything,
// but it must succeed.
func (s *pageShell) run(command string, shown []string) {
	s.t.Helper()
	cwd := filepath.Join(s.top, "cwd")
	os.Remove(cwd)
	// The next command goes on in the directory where this one ended.
	term := startTerminal(s.t, "bash", "-c", s.here(command)+"\nstatus=$?; pwd >"+cwd+"; exit $status")
	term.cmd.Dir = s.dir
	term.cmd.Env = s.environment()
	if err := term.start(); err != nil {
		s.t.Fatal(err)
	}
	s.servers = append(s.servers, term) // if it is one: what has ended is taken out again
	if !term.settled() {
		s.t.Fatalf("%s does not end\n%s", command, term.text())
	}
	if !term.ended() {
		s.await(term, shown)
		return
	}
	s.servers = s.servers[:len(s.servers)-1]
	if dir, err := os.ReadFile(cwd); err == nil {
		s.dir = strings.TrimSpace(string(dir))
	}
	if len(shown) > 0 && !matches(s.here(strings.Join(shown, "\n"))+"\n", term.text(), `\z`) {
		s.t.Fatalf("%s prints\n%s\nthe page shows\n%s", command, term.text(), s.here(strings.Join(shown, "\n")))
	}
	if len(shown) == 0 && !term.cmd.ProcessState.Success() {
		s.t.Fatalf("%s: %s\n%s", command, term.cmd.ProcessState, term.text())
	}
	if shown != nil && len(shown) == 0 && term.text() != "" {
		s.t.Fatalf("%s prints what the page does not show:\n%s", command, term.text())
	}
}

func (s *pageShell) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{"PATH", "HOME", "PWD", "RACK_ENV", "RAILS_ENV", "APP_ENV", "WEB_CONCURRENCY", "LANG", "LC_ALL", "TMPDIR"}, name)
	})
	return append(env, "PATH="+s.bin+":"+os.Getenv("PATH"), "HOME="+filepath.Join(s.top, "home"), "LANG=C.UTF-8", "PWD="+s.dir, "SERVAL_STATE_DIR="+filepath.Join(s.top, "var/lib/serval"))
}

// await waits until a server has printed what the page shows, after what it had printed before.
func (s *pageShell) await(server *terminal, shown []string) {
	s.t.Helper()
	if len(shown) == 0 {
		return
	}
	want := s.here(strings.Join(shown, "\n")) + "\n"
	var rest string
	if !server.until(func(text string) bool {
		rest = text[server.seen:]
		return matches(want, rest, "")
	}) {
		s.t.Fatalf("the server prints\n%s\nthe page shows\n%s", rest, want)
	}
	server.seen += matchedBytes(want, rest)
	if strings.Contains(want, "- Goodbye!\n") && !server.until(func(string) bool { return server.ended() }) {
		s.t.Fatalf("the server said goodbye and stays\n%s", server.text())
	}
}

// close ends what the page started and left running.
func (s *pageShell) close() {
	for _, server := range slices.Backward(s.servers) {
		server.interrupt()
		if !server.until(func(string) bool { return server.ended() }) {
			s.t.Errorf("what the page started does not end:\n%s", server.text())
			syscall.Kill(-server.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // gone is as good
		}
	}
}

// matches compares what a page shows with what was printed. In the page, … stands for anything, and alone on a line for any
// lines. Process ids, times and versions are never the same twice, so they count as equal.
func matches(shown, printed, end string) bool {
	return pagePattern(shown, end).MatchString(vary(printed))
}

// matchedBytes is how much of printed was shown. Variable parts may differ in length, so it counts lines.
func matchedBytes(shown, printed string) int {
	lines := strings.Count(pagePattern(shown, "").FindString(vary(printed)), "\n")
	return len(strings.Join(strings.SplitAfter(printed, "\n")[:lines], ""))
}

func pagePattern(shown, end string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(vary(shown))
	pattern = regexp.MustCompile(`(?m)^…\n`).ReplaceAllString(pattern, `(?:.*\n)*?`)
	pattern = strings.ReplaceAll(pattern, "…", `[^\n]*`)
	return regexp.MustCompile(`\A` + pattern + end)
}

var variable = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?m)^\[\d+\] `), "[PID] "},
	{regexp.MustCompile(`(PID:? )\d+`), "${1}N"},
	{regexp.MustCompile(`\d+\.\d+ ?s\b`), "Ns"},
	{regexp.MustCompile(`Serval version: .*`), "Serval version: V"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`), "TIME"},
	{regexp.MustCompile(`\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]`), "[TIME]"},
	{regexp.MustCompile(`(?m)(" \d{3} [\d-]+) \d+\.\d{4}$`), "$1 SECONDS"},
	{regexp.MustCompile(`(?i)(date: ).* GMT`), "${1}DATE"},
}

func vary(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n" // a page cannot show that it is missing
	}
	for _, v := range variable {
		text = v.pattern.ReplaceAllString(text, v.instead)
	}
	return text
}

// terminal is a command that runs, with what it has printed.
type terminal struct {
	t    testing.TB
	cmd  *exec.Cmd
	seen int // bytes that the page has shown
	over chan struct{}

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

func startTerminal(t testing.TB, name string, args ...string) *terminal {
	term := &terminal{t: t, cmd: exec.Command(name, args...), over: make(chan struct{})}
	term.cmd.Stdout, term.cmd.Stderr = term, term
	term.cmd.WaitDelay = time.Second
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does, so that a Ctrl-C reaches all of it
	return term
}

func (term *terminal) start() error {
	if err := term.cmd.Start(); err != nil {
		return err
	}
	go func() {
		term.cmd.Wait() //nolint:errcheck // its state is looked at where it matters
		close(term.over)
	}()
	return nil
}

func (term *terminal) Write(p []byte) (int, error) {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.out.Write(p)
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.out.String()
}

func (term *terminal) ended() bool {
	select {
	case <-term.over:
		return true
	default:
		return false
	}
}

// settled waits until the command has ended or listens.
func (term *terminal) settled() bool {
	return term.until(func(text string) bool { return term.ended() || servesNow.MatchString(text) })
}

// until waits until what it has printed is as wished.
func (term *terminal) until(wish func(text string) bool) bool {
	for deadline := time.Now().Add(testkit.Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		over := term.ended()
		if wish(term.text()) {
			return true
		}
		if over {
			return wish(term.text())
		}
	}
	return false
}

// servesNow is what a server says when it is up, as text or as JSON.
var servesNow = regexp.MustCompile(`Use Ctrl-C to stop("\})?\n`)

// interrupt is a Ctrl-C.
func (term *terminal) interrupt() {
	syscall.Kill(-term.cmd.Process.Pid, syscall.SIGINT) //nolint:errcheck // gone is as good
}
