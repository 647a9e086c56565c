package generation

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"serval/internal/config"
	"serval/internal/wire"
	"serval/internal/worker"
	"serval/ruby"
)

// silent takes what a worker says and keeps nothing of it.
type silent struct{}

func (silent) Frame(_ *wire.Frame, file *os.File) error {
	if file != nil {
		file.Close()
	}
	return nil
}
func (silent) Answers([]wire.Frame) error { return nil }
func (silent) Deliver()                   {}
func (silent) RetireAsked()               {}

// app makes a directory with a config.ru that notes, in the file notes, who loaded it and where.
func app(t *testing.T, dir string) (notes string) {
	t.Helper()
	notes = filepath.Join(t.TempDir(), "notes")
	text := fmt.Sprintf("File.write(%q, \"#{Process.pid} #{Dir.pwd} #{ENV['PWD']} #{__FILE__}\\n\", mode: 'a')\nrun ->(_) { [200, {}, []] }\n", notes)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return notes
}

func load(t *testing.T, dir string, change func(*config.Config)) config.Config {
	t.Helper()
	cfg, err := config.Load([]config.Arg{{Name: "dir", Value: dir}, {Name: "workers", Value: "2"}}, "", os.Environ(), nil)
	if err != nil {
		t.Fatal(err)
	}
	change(&cfg)
	return cfg
}

func newGeneration(t *testing.T, cfg config.Config) *Generation {
	t.Helper()
	lib, err := fs.Sub(ruby.Lib, "lib")
	if err != nil {
		t.Fatal(err)
	}
	code, err := worker.NewRuntime(lib)
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(0, cfg, code, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Retire)
	return g
}

// launch starts a worker, which ends with the test, and waits until it is ready.
func launch(t *testing.T, g *Generation, index int) *worker.Worker {
	t.Helper()
	w, err := g.Launch(index, silent{})
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
	return w
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestWithPreloadTheMoldLoadsTheAppForAllWorkers(t *testing.T) {
	dir := t.TempDir()
	notes := app(t, dir)
	g := newGeneration(t, load(t, dir, func(c *config.Config) { c.Preload = true }))
	if err := g.Boot(nil); err != nil {
		t.Fatal(err)
	}
	first, second := launch(t, g, 0), launch(t, g, 1)
	if first.PID() == second.PID() || first.PID() == g.Mold().PID() {
		t.Errorf("the processes are %d, %d and %d", g.Mold().PID(), first.PID(), second.PID())
	}
	if got := lines(t, notes); len(got) != 1 || !strings.HasPrefix(got[0], fmt.Sprint(g.Mold().PID(), " ")) {
		t.Errorf("the app was loaded by %q, the mold is %d", got, g.Mold().PID())
	}
}

func TestAMoldThatDiedIsReplacedWhenAWorkerIsWanted(t *testing.T) {
	dir := t.TempDir()
	app(t, dir)
	g := newGeneration(t, load(t, dir, func(c *config.Config) { c.Preload = true }))
	if err := g.Boot(nil); err != nil {
		t.Fatal(err)
	}
	mold, before := g.Mold(), launch(t, g, 0)
	mold.Kill()
	<-mold.Exited()
	if g.Mold() != nil {
		t.Error("a dead mold is shown")
	}
	launch(t, g, 1)
	if before.Dead() {
		t.Error("the worker of the dead mold is dead, too")
	}
}

func TestAMoldThatDiedIsReplacedThoughNoWorkerIsWanted(t *testing.T) {
	dir := t.TempDir()
	app(t, dir)
	g := newGeneration(t, load(t, dir, func(c *config.Config) { c.Preload = true }))
	if err := g.Boot(nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mold := g.Mold()
		mold.Kill()
		<-mold.Exited()
		for deadline := time.Now().Add(time.Minute); g.Mold() == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("there is no new mold")
			}
		}
		if g.Mold() == mold {
			t.Error("it is the old one")
		}
	}
}

func TestAnAppThatDoesNotLoadFailsTheGenerationNotTheWorkers(t *testing.T) {
	dir := t.TempDir()
	app(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte("raise 'no luck today'"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGeneration(t, load(t, dir, func(c *config.Config) { c.Preload = true }))
	if err := g.Boot(nil); err == nil || !strings.Contains(err.Error(), "no luck today") {
		t.Errorf("got %v", err)
	}
}

func TestABootCanBeEnded(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte("sleep"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGeneration(t, load(t, dir, func(c *config.Config) { c.Preload = true }))
	stop, over := make(chan struct{}), make(chan error)
	go func() { over <- g.Boot(stop) }()
	close(stop)
	if err := <-over; err == nil {
		t.Error("the app that sleeps has booted")
	}
}

func TestWorkersStayInTheirReleaseWhenTheLinkMovesOn(t *testing.T) {
	root := t.TempDir()
	current := filepath.Join(root, "current")
	notes := app(t, filepath.Join(root, "one"))
	link(t, "one", current)
	g := newGeneration(t, load(t, current, func(*config.Config) {}))
	launch(t, g, 0)
	newer := app(t, filepath.Join(root, "two"))
	link(t, "two", current)
	launch(t, g, 1)
	one, two := filepath.Join(root, "one"), filepath.Join(root, "two")
	for i, line := range lines(t, notes) {
		pwd := []string{current, one}[i]
		if want := []string{one, pwd, one + "/config.ru"}; !slices.Equal(strings.Fields(line)[1:], want) {
			t.Errorf("worker %d: %q, want %q", i, line, want)
		}
	}
	next, err := g.Next()
	if err != nil {
		t.Fatal(err)
	}
	launch(t, next, 0)
	if line := lines(t, newer)[0]; !slices.Equal(strings.Fields(line)[1:], []string{two, current, two + "/config.ru"}) {
		t.Errorf("the next generation's worker: %q", line)
	}
	// A release that was deleted is no reason to have no worker.
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	launch(t, g, 2)
	if got := lines(t, newer); len(got) != 2 {
		t.Errorf("the newer release was loaded %d times: %q", len(got), got)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	os.Remove(name)
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestAReforkSharesWhatTheWarmWorkerHasLoaded(t *testing.T) {
	dir := t.TempDir()
	notes := app(t, dir)
	g := newGeneration(t, load(t, dir, func(c *config.Config) { c.ForkWorker = 0 }))
	if err := g.Boot(nil); err != nil {
		t.Fatal(err)
	}
	warm := launch(t, g, 0)
	next, err := g.Refork(warm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Retire)
	launch(t, next, 1)
	if got := lines(t, notes); len(got) != 1 {
		t.Errorf("the app was loaded %d times: %q", len(got), got)
	}
	if warm.Dead() {
		t.Error("the warm worker is gone")
	}
}

func TestManyMayAskForWorkersAtOnce(t *testing.T) {
	dir := t.TempDir()
	notes := app(t, dir)
	g := newGeneration(t, load(t, dir, func(c *config.Config) { c.Preload = true }))
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 4 {
		all.Go(func() {
			w, err := g.Launch(i, silent{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := w.Boot(30*time.Second, ctx.Done()); err != nil {
				t.Error(err)
			}
			w.Kill()
			<-w.Exited()
		})
	}
	all.Wait()
	if got := lines(t, notes); len(got) != 1 {
		t.Errorf("%d molds loaded the app", len(got))
	}
}
