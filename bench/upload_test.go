package main

import (
	"io"
	"net/http"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheWholeBodyIsPosted(t *testing.T) {
	var size, declared int64
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		declared = r.ContentLength
		size, _ = io.Copy(io.Discard, r.Body)
	})
	sent, took, err := post(t.Context(), address, 3)
	if err != nil {
		t.Fatal(err)
	}
	if size != 3<<20 || declared != 3<<20 {
		t.Errorf("%d bytes of %d arrived, want %d", size, declared, 3<<20)
	}
	if sent <= 0 || took < sent {
		t.Errorf("sent in %v, answered in %v", sent, took)
	}
}

func TestAWatcherSeesAProcessGrow(t *testing.T) {
	w, err := newWatcher(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	// Straight from the kernel: what the Go heap hands out may have been touched before.
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < size; i += 4096 {
		block[i] = 1 // memory counts once it is touched
	}
	g := w.finish()
	unix.Munmap(block) //nolint:errcheck // it ends with the process at the latest
	if grown := g.growth(); grown < size/1024*9/10 {
		t.Errorf("it grew by %v KiB, want about %d", grown, size/1024)
	}
	if g.Before < 1024 || g.Sampled <= 0 {
		t.Errorf("it was %v KiB large, and %v at most", g.Before, g.Sampled)
	}
}

func TestNobodyCanWatchAProcessThatIsGone(t *testing.T) {
	if _, err := newWatcher(1 << 30); err == nil {
		t.Error("there is no such process, and nobody says so")
	}
}
