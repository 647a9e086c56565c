package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/wire"
	"serval/ruby"
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
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := StartMold(MoldConfig{
		Ruby: "ruby", Script: runtimeFile(t, "serval/mold.rb"), Dir: dir, Env: os.Environ(), Preload: preload,
		Settings: settings(dir), Stdout: os.Stdout, Stderr: os.Stderr,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Kill()
		<-m.Exited()
	})
	return m, dir
}

func settings(dir string) []string {
	return []string{"threads=2", "workers=2", "rackup=" + filepath.Join(dir, "config.ru")}
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
	inMold := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", m.PID()))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
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
