package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// TestMain is the sentinel, too, as this program's main.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{sentinelWord}) {
		main()
		return
	}
	os.Exit(testkit.Main(m))
}

// aBench measures a Serval built from this source.
func aBench(t *testing.T) *bench {
	t.Helper()
	testkit.Need(t, "ruby")
	program := testkit.Binary(t)
	t.Chdir(testkit.Root(t))
	return &bench{Options: Options{Serval: program, Workers: 2, Threads: 2, WrkThreads: 1, Seconds: 1, Warmup: 1, Rounds: 1}, log: io.Discard}
}

func TestEveryServerStartsAnswersAndStops(t *testing.T) {
	b := aBench(t)
	for _, p := range peers {
		if !p.ours && p.name != "passenger" {
			continue // those are not installed
		}
		name := p.name
		t.Run(name, func(t *testing.T) {
			if name != "serval" {
				testkit.Need(t, name)
			}
			srv, err := b.start(t.Context(), name, setup{app: "bench/apps/hello.ru", workers: 2, threads: 2, patient: true}, "/")
			if err != nil {
				t.Fatal(err)
			}
			if workers := descendants(srv.front()); len(workers) < 2 {
				t.Errorf("it has the processes %v, want two workers", workers)
			}
			if strings.Contains(srv.command, port(srv.address)) || !strings.Contains(srv.command, "PORT") {
				t.Errorf("its command line is %s", srv.command)
			}
			all := srv.processes()
			srv.stop()
			if _, err := get(t.Context(), srv.address, "/"); err == nil {
				t.Error("it answers after its end")
			}
			if left := slices.DeleteFunc(all, func(pid int) bool { return !alive(pid) }); len(left) > 0 {
				t.Errorf("its processes %v are left", left)
			}
		})
	}
}

func TestAnAppThatDoesNotLoadIsTold(t *testing.T) {
	b := aBench(t)
	srv, err := b.start(t.Context(), "serval", setup{app: "test/apps/boot_error.ru", workers: 1, threads: 1}, "/")
	if err == nil {
		srv.stop()
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), "NoSuchApp") {
		t.Errorf("the reason is not in %v", err)
	}
}

func TestAServerThatIsNotThereIsTold(t *testing.T) {
	b := &bench{Options: Options{Serval: filepath.Join(t.TempDir(), "serval")}, log: io.Discard}
	_, err := b.start(t.Context(), "serval", setup{app: "bench/apps/hello.ru", workers: 1, threads: 1}, "/")
	if err == nil || !strings.Contains(err.Error(), "cannot start serval") {
		t.Errorf("got %v", err)
	}
}

func TestStartingEndsWithItsContext(t *testing.T) {
	b := aBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if srv, err := b.start(ctx, "serval", setup{app: "bench/apps/hello.ru", workers: 1, threads: 1}, "/"); err == nil {
		srv.stop()
		t.Error("it started all the same")
	}
}
