package backend

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"serval/internal/installation"
)

// heard are lines of logs.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) line(service, line string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, service+": "+line)
	return nil
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

func (h *heard) await(t *testing.T, lines ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if slices.Equal(h.all(), lines) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the lines are\n%s\nin place of\n%s", strings.Join(h.all(), "\n"), strings.Join(lines, "\n"))
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestTheLastLinesOfEachLogAreWrittenOrTheJournals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	services := []installation.Service{{Name: "web", Log: dir + "/web"}, {Name: "worker.1", Log: dir + "/worker"}, {Name: "other.1", Log: dir + "/nowhere"}}
	write(t, dir+"/web", "one\ntwo\nthree\nno end")
	write(t, dir+"/worker", "")
	var h heard
	journal := func(ctx context.Context, s installation.Service, follow bool, lines int) *exec.Cmd {
		return exec.CommandContext(ctx, "echo", fmt.Sprintf("journal %v %d", follow, lines))
	}
	if err := WriteLogs(t.Context(), services, false, 2, journal, h.line); err != nil {
		t.Fatal(err)
	}
	h.await(t, "web: three", "web: no end", "worker.1: journal false 2", "other.1: journal false 2")
}

func TestLogsAreFollowedThroughRotations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	write(t, path, "old\nlast\n")
	ctx, cancel := context.WithCancel(t.Context())
	var h heard
	done := make(chan error, 1)
	services := []installation.Service{{Name: "a", Log: path}, {Name: "b", Log: dir + "/later"}}
	go func() { done <- WriteLogs(ctx, services, true, 1, nil, h.line) }()
	want := []string{"a: last"}
	says := func(path, text, line string) {
		t.Helper()
		write(t, path, text)
		want = append(want, line)
		h.await(t, want...)
	}
	h.await(t, want...)
	says(path, "hello\nhalf a ", "a: hello")
	says(path, "line\n", "a: half a line")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	says(path+".1", "into the old one\n", "a: into the old one")
	says(path, "moved\n", "a: moved")
	if err := os.Truncate(path, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	time.Sleep(2 * logInterval) // or nobody could tell that it was shorter for a while
	says(path, "cut\n", "a: cut")
	says(dir+"/later", "came\n", "b: came")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAWriterThatFailsEndsTheLogs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "line\n")
	err := WriteLogs(t.Context(), []installation.Service{{Name: "a", Log: path}}, true, 1, nil, func(string, string) error { return os.ErrClosed })
	if err != os.ErrClosed {
		t.Errorf("the error is %v", err)
	}
}
