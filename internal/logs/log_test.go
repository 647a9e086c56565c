package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
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

func TestLinesForTheJournalBeginWithTheirPriority(t *testing.T) {
	var out, errs bytes.Buffer
	l := New(&out, &errs, true)
	l.ToJournal(true, true)
	l.Event("one")
	l.Warn("two")
	l.Error("three\nfour")
	pid := fmt.Sprintf("[%d] ", os.Getpid())
	if want := "<6>" + pid + "* one\n<4>" + pid + "! two\n"; out.String() != want {
		t.Errorf("have %q\nwant %q", out.String(), want)
	}
	if want := "<3>" + pid + "ERROR: three\n<3>" + pid + "four\n"; errs.String() != want {
		t.Errorf("have %q\nwant %q", errs.String(), want)
	}

	out.Reset()
	errs.Reset()
	l.As(JSON)
	l.ToJournal(false, true) // standard output was redirected to a file
	l.Warn("two")
	l.Error("three")
	if !strings.HasPrefix(out.String(), "{") || !strings.HasPrefix(errs.String(), "<3>{") {
		t.Errorf("have %q and %q", out.String(), errs.String())
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

func TestLinesOfJSONAreObjects(t *testing.T) {
	var out, errs bytes.Buffer
	l := New(&out, &errs, true)
	l.As(JSON)
	l.Event("        PID: %d", 7)
	l.Line("- Goodbye!")
	l.Detail("Worker %d (PID: %d) booted", 0, 4711, Named("worker_booted", "worker", 0, "worker_pid", int64(4711), "took_ms", 1500*time.Microsecond, "again", false))
	l.Warn("100% sure", Named("sure"))
	l.Error("it \"failed\": %v\n    a.rb:1\n    b.rb:2\n", errors.New("no\x1b"), Named("failed", "error", errors.New("no")))
	for i, want := range []string{
		`"level":"info","pid":%d,"message":"PID: 7"}`,
		`"level":"info","pid":%d,"message":"Goodbye!"}`,
		`"level":"info","pid":%d,"event":"worker_booted","message":"Worker 0 (PID: 4711) booted","worker":0,"worker_pid":4711,"took_ms":1.500,"again":false}`,
		`"level":"warn","pid":%d,"event":"sure","message":"100%% sure"}`,
		`"level":"error","pid":%d,"event":"failed","message":"it \"failed\": no\u001b","details":"    a.rb:1\n    b.rb:2","error":"no"}`,
	} {
		line, _, _ := strings.Cut(strings.Split(out.String()+errs.String(), "\n")[i], "\n")
		stamp, rest, _ := strings.Cut(strings.TrimPrefix(line, `{"time":"`), `",`)
		if at, err := time.Parse("2006-01-02T15:04:05.000Z07:00", stamp); err != nil || time.Since(at).Abs() > time.Hour {
			t.Errorf("the time is %q: %v", stamp, err)
		}
		if rest != fmt.Sprintf(want, os.Getpid()) {
			t.Errorf("have %s\nwant "+want, rest, os.Getpid())
		}
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestFieldsAreNoPartOfText(t *testing.T) {
	var out bytes.Buffer
	New(&out, &out, false).Event("all of %d", 3, Named("all", "count", 3))
	if out.String() != "* all of 3\n" {
		t.Errorf("have %q", out.String())
	}
}
