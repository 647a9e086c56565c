package logs

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

func TestLinesHaveTheMarksThatToolsLookFor(t *testing.T) {
	var out, errs bytes.Buffer
	l := New(&out, &errs, false)
	l.Event("Listening on %s", "http://127.0.0.1:9292")
	l.Detail("Worker %d (PID: %d) booted in %.1fs, phase: %d", 0, 4711, 0.123, 0)
	l.Line("Use Ctrl-C to stop")
	l.Warn("100% sure\n")
	l.Error("cannot start worker %d", 3)
	wantOut := "* Listening on http://127.0.0.1:9292\n" +
		"- Worker 0 (PID: 4711) booted in 0.1s, phase: 0\n" +
		"Use Ctrl-C to stop\n" +
		"! 100% sure\n"
	if out.String() != wantOut {
		t.Errorf("have %q\nwant %q", out.String(), wantOut)
	}
	if want := "ERROR: cannot start worker 3\n"; errs.String() != want {
		t.Errorf("have %q, want %q", errs.String(), want)
	}
}

func TestAClusterPutsItsProcessIDBeforeEveryLine(t *testing.T) {
	var out, errs bytes.Buffer
	l := New(&out, &errs, true)
	l.Event("one\ntwo\n")
	l.Error("three")
	pid := fmt.Sprintf("[%d] ", os.Getpid())
	if want := pid + "* one\n" + pid + "two\n"; out.String() != want {
		t.Errorf("have %q, want %q", out.String(), want)
	}
	if want := pid + "ERROR: three\n"; errs.String() != want {
		t.Errorf("have %q, want %q", errs.String(), want)
	}
}

func TestASilencedLogStillHasErrors(t *testing.T) {
	var out, errs bytes.Buffer
	l := New(&out, &errs, false)
	l.Silence()
	l.Event("a")
	l.Detail("b")
	l.Line("c")
	l.Warn("d")
	l.Error("e")
	if out.Len() != 0 || errs.String() != "ERROR: e\n" {
		t.Errorf("have %q and %q", out.String(), errs.String())
	}
}

func TestTheZeroLogDiscardsEverything(t *testing.T) {
	var l Log
	l.Event("a")
	l.Error("b")
}

// recorder keeps what is written to it, and counts the writes.
type recorder struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	return r.text.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func TestEveryLineIsOneWrite(t *testing.T) {
	w := &recorder{}
	l := New(w, w, true)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				if j%2 == 0 {
					l.Event("%d of %d", j, i)
				} else {
					l.Error("%d of %d", j, i)
				}
			}
		})
	}
	all.Wait()
	if w.writes != 400 || strings.Count(w.String(), "\n") != 400 {
		t.Errorf("400 lines were %d writes and %d lines", w.writes, strings.Count(w.String(), "\n"))
	}
}
