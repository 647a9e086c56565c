package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/wire"
	"serval/ruby"

	"golang.org/x/sys/unix"
)

// molded is a mold, booted, whose app is the text of a config.ru.
func molded(t *testing.T, app string, preload bool) (*Mold, string) {
	t.Helper()
	m, dir := startedMold(t, app, preload)
	if err := m.Boot(30*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	return m, dir
}

func startedMold(t *testing.T, app string, preload bool) (*Mold, string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "config.ru", app)
	return moldIn(t, dir, preload, nil), dir
}

// moldIn is a mold of the app in dir, with the configuration of its puma.rb if there is one.
func moldIn(t *testing.T, dir string, preload bool, h MoldHandler) *Mold {
	t.Helper()
	m, err := StartMold(MoldConfig{
		Ruby: "ruby", Script: runtimeFile(t, "serval/mold.rb"), Dir: dir, Env: os.Environ(), Preload: preload,
		Settings: settings(dir), Stdout: os.Stdout, Stderr: os.Stderr,
	}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Kill()
		<-m.Exited()
	})
	return m
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func settings(dir string) []string {
	lines := []string{"threads=2", "workers=2", "rackup=" + filepath.Join(dir, "config.ru")}
	if config := filepath.Join(dir, "puma.rb"); exists(config) {
		lines = append(lines, "config="+config)
	}
	return lines
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// runtimeFile is a file of the real runtime.
func runtimeFile(t *testing.T, name string) string {
	t.Helper()
	lib, err := fs.Sub(ruby.Lib, "lib")
	if err != nil {
		t.Fatal(err)
	}
	code, err := NewRuntime(lib)
	if err != nil {
		t.Fatal(err)
	}
	path, err := code.Script(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// forked is a worker of a mold, booted.
func forked(t *testing.T, m *Mold, dir string, index int) (*Worker, *heard) {
	t.Helper()
	h := &heard{files: map[uint32]string{}}
	w, err := m.Fork(index, append(settings(dir), fmt.Sprint("index=", index)), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Kill()
		<-w.Exited()
	})
	if err := w.Boot(30*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	return w, h
}

// get sends a request and returns the body of its response.
func get(t *testing.T, w *Worker, h *heard, path string) string {
	t.Helper()
	before := h.count()
	head := ""
	for name, value := range map[string]string{
		"REQUEST_METHOD": "GET", "REQUEST_URI": path, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
		"SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": "127.0.0.1", "rack.url_scheme": "http",
	} {
		head += name + "\x00" + value + "\x00"
	}
	w.Add(wire.Append(nil, &wire.Frame{Type: wire.Request, ID: uint32(before + 1), Head: []byte(head)}), nil)
	w.Flush()
	eventually(t, "a response comes", func() bool { return h.count() > before })
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.frames[before].Body)
}

const whoAmI = `
LOADED_BY = Process.pid
CACHE = {}
run ->(env) { CACHE[env["PATH_INFO"]] = true; [200, {}, ["#{LOADED_BY} #{Process.pid} #{Process.ppid} #{CACHE.keys.join(",")}"]] }
`

func TestAMoldForksWorkersThatShareItsApp(t *testing.T) {
	m, dir := molded(t, whoAmI, true)
	for index := range 2 {
		w, h := forked(t, m, dir, index)
		if w.String() != fmt.Sprint("worker ", index) || w.PID() == m.PID() {
			t.Errorf("%s has PID %d, the mold %d", w, w.PID(), m.PID())
		}
		want := fmt.Sprintf("%d %d %d /a", m.PID(), w.PID(), os.Getpid())
		if got := get(t, w, h, "/a"); got != want {
			t.Errorf("loaded by, PID and parent are %s instead of %s", got, want)
		}
		w.Finish()
		if exit := awaitExit(t, w); !exit.Clean() {
			t.Errorf("it %s", exit)
		}
	}
}

func TestTheWorkersOfABareMoldLoadTheAppThemselves(t *testing.T) {
	m, dir := molded(t, whoAmI, false)
	w, h := forked(t, m, dir, 0)
	want := fmt.Sprintf("%d %d %d /", w.PID(), w.PID(), os.Getpid())
	if got := get(t, w, h, "/"); got != want {
		t.Errorf("loaded by, PID and parent are %s instead of %s", got, want)
	}
}

func TestAMoldWhoseAppDoesNotLoadSaysWhy(t *testing.T) {
	m, _ := startedMold(t, "raise 'not today'", true)
	err := m.Boot(30*time.Second, nil)
	var boot *ErrBoot
	if !errors.As(err, &boot) || !strings.Contains(err.Error(), "not today") || !strings.Contains(err.Error(), "config.ru:1") {
		t.Errorf("the error is %v", err)
	}
}

// A broken app must not look different because a mold was in between.
func TestAForkedWorkerWhoseAppDoesNotLoadSaysWhy(t *testing.T) {
	m, dir := molded(t, "raise 'not today'", false)
	w, err := m.Fork(0, settings(dir), &heard{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Boot(30*time.Second, nil); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("the error is %v", err)
	}
	if exit := awaitExit(t, w); exit.Status.ExitStatus() != 1 {
		t.Errorf("it %s", exit)
	}
}

func TestWorkersOutliveTheirMold(t *testing.T) {
	m, dir := molded(t, whoAmI, true)
	w, h := forked(t, m, dir, 0)
	m.Kill()
	<-m.Exited()
	if text := m.Exit().String(); text != "was killed by SIGKILL" {
		t.Errorf("the mold %s", text)
	}
	if _, err := m.Fork(1, settings(dir), &heard{}); err == nil || !strings.Contains(err.Error(), "worker 1") {
		t.Errorf("a fork from a dead mold: %v", err)
	}
	if got := get(t, w, h, "/x"); !strings.HasSuffix(got, "/x") {
		t.Errorf("the worker says %q", got)
	}
	syscall.Kill(w.PID(), syscall.SIGKILL)
	if exit := awaitExit(t, w); exit.String() != "was killed by SIGKILL" {
		t.Errorf("the worker %s", exit)
	}
}

func TestManyForksLeaveNothingBehind(t *testing.T) {
	m, dir := molded(t, whoAmI, true)
	inMold := func() int { return inProcess(t, m.PID()) }
	var ours, theirs int
	for i := range 12 {
		w, _ := forked(t, m, dir, i)
		w.Finish()
		awaitExit(t, w)
		switch {
		case i == 0:
			ours, theirs = descriptors(t), inMold()
		case descriptors(t) != ours || inMold() != theirs:
			t.Fatalf("after %d forks the front has %d descriptors and the mold %d; after one %d and %d", i+1, descriptors(t), inMold(), ours, theirs)
		}
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", m.PID()))
	if err != nil || len(strings.TrimSpace(string(children))) != 0 {
		t.Errorf("the mold has the children %q (%v)", children, err)
	}
}

func TestAMoldLeavesWhenItIsTold(t *testing.T) {
	m, dir := molded(t, `at_exit { File.write("left", "") }`+whoAmI, true)
	m.Signal(syscall.SIGTERM) // is not for it to decide
	if m.LastCheckIn().After(time.Now()) {
		t.Error("it checked in in the future")
	}
	before := m.LastCheckIn()
	m.CheckIn()
	eventually(t, "it checks in", func() bool { return m.LastCheckIn().After(before) })
	m.Finish()
	<-m.Exited()
	if !m.Exit().Clean() {
		t.Errorf("it %s", m.Exit())
	}
	if _, err := os.Stat(filepath.Join(dir, "left")); err != nil {
		t.Errorf("its exit handlers did not run: %v", err)
	}
}

// What requests have put into a worker's caches is there in the workers that are forked from it.
func TestAWarmWorkerBecomesTheMold(t *testing.T) {
	first, dir := molded(t, whoAmI, true)
	w, h := forked(t, first, dir, 0)
	get(t, w, h, "/warm")
	m := promoted(t, w, dir)
	if got := get(t, w, h, "/after"); got != fmt.Sprintf("%d %d %d /warm,/after", first.PID(), w.PID(), os.Getpid()) {
		t.Errorf("the worker that was promoted says %s", got)
	}
	next, heard := forked(t, m, dir, 1)
	if got := get(t, next, heard, "/new"); got != fmt.Sprintf("%d %d %d /warm,/new", first.PID(), next.PID(), os.Getpid()) {
		t.Errorf("its offspring says %s", got)
	}
	w.Finish()
	if exit := awaitExit(t, w); !exit.Clean() {
		t.Errorf("the worker %s", exit)
	}
	third, heard := forked(t, m, dir, 2)
	if got := get(t, third, heard, "/"); !strings.HasSuffix(got, "/warm,/") {
		t.Errorf("the next one says %s", got)
	}
}

func TestQuestionsAreAnsweredByWorkersAndMolds(t *testing.T) {
	m, dir := molded(t, whoAmI, true)
	w, h := forked(t, m, dir, 0)
	get(t, w, h, "/")
	for what, want := range map[string]string{
		"gc": `"status": "ok"`, "gc-stats": `"total_allocated_objects":`, "backtraces": `"backtrace":[`, "stats": `"requests_count":1`,
	} {
		if got, err := w.Ask(what, 20*time.Second); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s of a worker: %s, %v", what, got, err)
		}
		if what == "stats" {
			continue
		}
		if got, err := m.Ask(what, 20*time.Second); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s of a mold: %s, %v", what, got, err)
		}
	}
	if _, err := w.Ask("the time", 20*time.Second); err == nil || !strings.Contains(err.Error(), strconv.Itoa(w.PID())) {
		t.Errorf("an unknown question: %v", err)
	}
	before := w.LastCheckIn()
	w.CheckIn()
	eventually(t, "the worker checks in", func() bool { return w.LastCheckIn().After(before) })
}

// noting is a puma.rb with a block of every kind, which write down what runs where.
const noting = `
$note = ->(text) { File.write("notes", "#{text}\n", mode: "a") }
$where = ->(text) { $note.call("#{Process.pid} #{text}") }
%i[before_fork before_worker_fork after_worker_fork before_worker_boot before_worker_shutdown before_refork after_refork
   after_booted after_stopped before_thread_start].each do |name|
  public_send(name) { |*args| $where.call([name, *args.compact].join(" ")) }
end
before_restart { |launcher| $where.call("before_restart #{launcher.respond_to?(:restart)}") }
after_worker_shutdown do |h|
  $where.call("after_worker_shutdown #{h.index} #{h.pid} #{h.phase} #{h.process_status.exitstatus} #{h.started_at.to_i} #{h.last_status[:running]}")
end
`

const notingApp = `
$where.call("load")
run ->(env) { [200, {}, ["hello"]] }
`

func notes(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "notes"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// hooked is the story of a mold and one worker from start to end, as its hooks tell it.
func hooked(t *testing.T, preload bool) (m *Mold, w *Worker, story []string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "puma.rb", noting)
	write(t, dir, "config.ru", notingApp)
	m = moldIn(t, dir, preload, nil)
	if err := m.Boot(30*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	w, h := forked(t, m, dir, 1)
	get(t, w, h, "/")
	if err := m.Hook("after_booted"); err != nil {
		t.Fatal(err)
	}
	w.Finish()
	awaitExit(t, w)
	err := m.Hook("after_worker_shutdown", "1", strconv.Itoa(w.PID()), "3", strconv.Itoa(int(w.Exit().Status)), "1700000000", `{"running":2}`)
	if err = errors.Join(err, m.Hook("before_restart"), m.Hook("after_stopped")); err != nil {
		t.Fatal(err)
	}
	return m, w, notes(t, dir)
}

func TestHooksRunWhereAndWhenPumaRunsThem(t *testing.T) {
	for _, preload := range []bool{true, false} {
		m, w, story := hooked(t, preload)
		mold, worker := fmt.Sprint(m.PID(), " "), fmt.Sprint(w.PID(), " ")
		want := []string{mold + "before_fork", mold + "before_worker_fork 1", worker + "before_worker_boot 1"}
		if preload {
			want = append([]string{mold + "load"}, want...)
		} else {
			want = append(want, worker+"load")
		}
		want = append(want, mold+"after_booted", worker+"before_worker_shutdown 1",
			mold+fmt.Sprintf("after_worker_shutdown 1 %d 3 0 1700000000 2", w.PID()), mold+"before_restart true", mold+"after_stopped")
		// What runs beside the worker's main thread may come at any time.
		for note, times := range map[string]int{mold + "after_worker_fork 1": 1, worker + "before_thread_start": 2} {
			before := len(story)
			story = slices.DeleteFunc(story, func(other string) bool { return other == note })
			if before-len(story) != times {
				t.Errorf("%s is %d times among the notes", note, before-len(story))
			}
		}
		if !slices.Equal(story, want) {
			t.Errorf("preload %v: the hooks ran as\n%s\ninstead of\n%s", preload, strings.Join(story, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestHooksOfARefork(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "puma.rb", noting)
	write(t, dir, "config.ru", notingApp)
	first := moldIn(t, dir, true, nil)
	if err := first.Boot(30*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	w, _ := forked(t, first, dir, 0)
	m := promoted(t, w, dir)
	forked(t, m, dir, 1)
	if err := m.Hook("after_refork"); err != nil {
		t.Fatal(err)
	}
	story := strings.Join(notes(t, dir), "\n")
	at := 0
	for _, note := range []string{"before_refork", "before_worker_fork 1", "after_worker_fork 1", "after_refork"} {
		found := strings.Index(story[at:], fmt.Sprint(m.PID(), " ", note, "\n"))
		if note == "after_refork" {
			found = strings.Index(story[at:], fmt.Sprint(m.PID(), " ", note))
		}
		if found < 0 {
			t.Fatalf("%s of the mold (PID %d) is missing, or out of order, in\n%s", note, m.PID(), story)
		}
		at += found
	}
}

// wishes is a handler that takes down what a mold wants.
type wishes struct{ commands chan string }

func (w *wishes) Command(name string) { w.commands <- name }

func (w *wishes) Stats() string { return `{"workers":2,"phase":7}` }

func TestPluginsReachTheFrontThroughTheLauncher(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "config.ru", notingApp)
	write(t, dir, "puma.rb", `
before_restart do |launcher|
  Thread.new { File.write("stats", launcher.stats.inspect); launcher.phased_restart }
end
$where = ->(text) {}
`)
	h := &wishes{make(chan string, 1)}
	m := moldIn(t, dir, true, h)
	if err := errors.Join(m.Boot(30*time.Second, nil), m.Hook("before_restart")); err != nil {
		t.Fatal(err)
	}
	select {
	case command := <-h.commands:
		if command != "phased_restart" {
			t.Errorf("it asks for %s", command)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it asks for nothing")
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "stats")); string(text) != "{:workers=>2, :phase=>7}" && string(text) != "{workers: 2, phase: 7}" {
		t.Errorf("the statistics are %s", text)
	}
}

// Neither a mold nor a worker may go on without a front: nobody would ever end it.
func TestTheEndOfTheFrontEndsTheMold(t *testing.T) {
	m, dir := molded(t, whoAmI, true)
	w, _ := forked(t, m, dir, 0)
	m.control.conn.CloseWrite()
	w.control.conn.CloseWrite()
	select {
	case <-m.Exited():
	case <-time.After(20 * time.Second):
		t.Error("the mold goes on")
	}
	awaitExit(t, w)
}

// A worker forks while requests run and clients' sockets are with the app, and neither notices.
func TestAPromotionDisturbsNobody(t *testing.T) {
	first, dir := molded(t, `
SOCKETS = []
run ->(env) {
  case env["PATH_INFO"]
  when "/slow" then sleep 0.3
  when "/take" then SOCKETS << env["rack.hijack"].call; next [200, {}, []]
  when "/kept" then next [200, {}, [SOCKETS.map(&:closed?).inspect]]
  end
  [200, {}, ["done"]]
}`, true)
	w, h := forked(t, first, dir, 0)
	client := take(t, w, h)
	before := inProcess(t, w.PID())
	slow := make(chan string, 1)
	go func() { slow <- get(t, w, h, "/slow") }()
	m := promoted(t, w, dir)
	if got := <-slow; got != "done" {
		t.Errorf("the request that ran says %q", got)
	}
	eventually(t, "the worker holds nothing for the mold", func() bool { return inProcess(t, w.PID()) <= before+1 })
	next, heard := forked(t, m, dir, 1)
	if got := get(t, next, heard, "/kept"); got != "[true]" {
		t.Errorf("of the clients' sockets the new worker has %s", got)
	}
	if got := get(t, w, h, "/kept"); got != "[false]" {
		t.Errorf("of the clients' sockets the old worker has %s", got)
	}
	w.Finish()
	awaitExit(t, w)
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the client's connection is still open after the worker's end: %v", err)
	}
}

// take has the app hijack a client's connection, and returns the client's end.
func take(t *testing.T, w *Worker, h *heard) *net.UnixConn {
	t.Helper()
	client, theirs, err := socketpair(unix.SOCK_STREAM, "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	defer theirs.Close()
	if err := w.SendSocket(uint32(h.count()+1), theirs, nil); err != nil {
		t.Fatal(err)
	}
	get(t, w, h, "/take")
	eventually(t, "the thread is free", func() bool { return h.count() == 2 })
	return client
}

func promoted(t *testing.T, w *Worker, dir string) *Mold {
	t.Helper()
	m, err := w.Promote(MoldConfig{Settings: settings(dir)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Kill()
		<-m.Exited()
	})
	if err := m.Boot(30*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	return m
}

// inProcess is how many descriptors a process has open.
func inProcess(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Each mold comes from a worker of the mold before.
func TestReforksOfReforksLeaveNothingBehind(t *testing.T) {
	m, dir := molded(t, whoAmI, true)
	var open []int
	for i := range 5 {
		w, h := forked(t, m, dir, i)
		get(t, w, h, fmt.Sprint("/", i))
		next := promoted(t, w, dir)
		m.Finish()
		<-m.Exited()
		w.Finish()
		awaitExit(t, w)
		m = next
		open = append(open, inProcess(t, m.PID()))
	}
	if open[4] != open[1] {
		t.Errorf("the molds have %v descriptors open", open)
	}
	w, h := forked(t, m, dir, 5)
	if got := get(t, w, h, "/last"); !strings.HasSuffix(got, " /0,/1,/2,/3,/4,/last") {
		t.Errorf("after five reforks, a worker says %s", got)
	}
}

// A process that is forked must not carry the stack of all its ancestors.
func TestReforksDoNotGrowTheStack(t *testing.T) {
	m, dir := molded(t, `run ->(env) { [200, {}, [Thread.main.backtrace.size.to_s]] }`, true)
	w, h := forked(t, m, dir, 0)
	first, _ := strconv.Atoi(get(t, w, h, "/"))
	for range 3 {
		w, h = forked(t, promoted(t, w, dir), dir, 0)
	}
	if got, _ := strconv.Atoi(get(t, w, h, "/")); got > first+3 {
		t.Errorf("after three reforks, the main thread is %d calls deep, at first %d", got, first)
	}
}
