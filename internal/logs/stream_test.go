package logs

import (
	"errors"
	"io"
	"os"
	"serval/internal/testkit"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestALoneLineIsWrittenAfterTheFlushInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		s := NewStream(w, nil, Plain)
		l := NewAccessLog(s)
		time.Sleep(time.Hour) // nothing to do for long does no harm
		want := ""
		for range 2 {
			l.Add(example())
			time.Sleep(flushInterval - 1)
			synctest.Wait()
			if w.String() != want {
				t.Errorf("written early: %q", w.String())
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if want += plainAccess(example()); w.String() != want {
				t.Errorf("have %q, want %q", w.String(), want)
			}
		}
		s.Close()
	})
}

func TestManyLinesAreWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		s := NewStream(w, nil, Plain)
		l := NewAccessLog(s)
		start := time.Now()
		for w.String() == "" {
			l.Add(example())
			synctest.Wait()
		}
		if waited := time.Since(start); waited != 0 || w.writes != 1 || len(w.String()) < flushSize {
			t.Errorf("after %v: %d bytes in %d writes", waited, len(w.String()), w.writes)
		}
		s.Close()
	})
}

func TestClosingWritesWhatIsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		s := NewStream(w, nil, Plain)
		l := NewAccessLog(s)
		l.Add(example())
		start := time.Now()
		s.Close()
		s.Close()
		l.Add(example())
		if want := plainAccess(example()); w.String() != want || time.Since(start) != 0 {
			t.Errorf("have %q after %v", w.String(), time.Since(start))
		}
	})
}

// gate is a writer that takes nothing until it is opened.
type gate struct {
	open chan struct{}
	recorder
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.recorder.Write(p)
}

func TestALogNobodyReadsDropsLinesAndSaysHowMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		s := NewStream(g, nil, Plain)
		l := NewAccessLog(s)
		line := len(plainAccess(example()))
		const more = 1000
		added := 2*maxWaiting/line + more // one buffer is being written, the other fills
		l.Add(example())
		time.Sleep(flushInterval)
		synctest.Wait()
		for range added {
			l.Add(example()) // and none of them waits
		}
		close(g.open)
		s.Close()
		text := g.String()
		kept := strings.Count(text, plainAccess(example()))
		var dropped int
		for _, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, "! ") {
				dropped += atoi(t, strings.Fields(l)[1])
			}
		}
		if dropped == 0 || kept+dropped != added+1 {
			t.Errorf("%d lines were added, %d kept and %d dropped", added+1, kept, dropped)
		}
		if len(text) > maxWaiting+2*line+200 {
			t.Errorf("%d bytes were held", len(text))
		}
	})
}

func atoi(t *testing.T, digits string) (n int) {
	t.Helper()
	for _, c := range digits {
		if c < '0' || c > '9' {
			t.Fatalf("%q is no number", digits)
		}
		n = 10*n + int(c-'0')
	}
	return n
}

func TestLinesOfManyGoroutinesStayWhole(t *testing.T) {
	w := &recorder{}
	s := NewStream(w, nil, Plain)
	l := NewAccessLog(s)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				l.Add(example())
			}
		})
	}
	all.Wait()
	s.Close()
	if want := strings.Repeat(plainAccess(example()), 16000); w.String() != want {
		t.Errorf("have %d bytes, want %d", len(w.String()), len(want))
	}
}

func TestAWrittenLineTakesTheOthersAlongAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		s := NewStream(w, nil, Plain)
		NewAccessLog(s).Add(example())
		start := time.Now()
		io.WriteString(s, "an event\n")
		if want := plainAccess(example()) + "an event\n"; w.String() != want || time.Since(start) != 0 {
			t.Errorf("have %q after %v", w.String(), time.Since(start))
		}
		s.Close()
	})
}

func TestALogNobodyReadsHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		s := NewStream(g, nil, Plain)
		start := time.Now()
		for range 100 {
			io.WriteString(s, "line\n")
		}
		if waited := time.Since(start); waited != patience {
			t.Errorf("100 lines held their writer up for %v", waited)
		}
		s.Close()
		if waited := time.Since(start); waited != patience+10*patience {
			t.Errorf("after closing it was %v", waited)
		}
		close(g.open)
		<-s.done
		if g.String() != strings.Repeat("line\n", 100) {
			t.Errorf("have %q", g.String())
		}
	})
}

func TestAFullDiskIsSaidOnce(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for format, want := range map[Format]string{
		Plain: "ERROR: cannot write the log: no space left on device; what it does not take is lost, requests are served; this is said once\n",
		JSON:  `"event":"log_failed","message":"cannot write the log: no space left on device;`,
	} {
		said := &recorder{}
		s := NewStream(full, said, format)
		for range 10 {
			io.WriteString(s, "line\n")
		}
		s.Close()
		if said.writes != 1 || !strings.Contains(said.String(), want) {
			t.Errorf("it said %q in %d writes", said.String(), said.writes)
		}
	}
}

func TestAClosedFileIsSaidOnce(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	write.Close()
	said := &recorder{}
	s := NewStream(write, said, Plain)
	io.WriteString(s, "a\n")
	io.WriteString(s, "b\n")
	s.Close()
	if said.writes != 1 || !strings.Contains(said.String(), "file already closed") {
		t.Errorf("it said %q", said.String())
	}
}

// A writer that fails and recovers loses what it failed on, nothing else.
type flaky struct {
	recorder
	broken bool
}

func (f *flaky) Write(p []byte) (int, error) {
	if f.broken {
		return 0, errors.New("broken")
	}
	return f.recorder.Write(p)
}

func TestALogThatWorksAgainIsWrittenAgain(t *testing.T) {
	w := &flaky{}
	s := NewStream(w, nil, Plain)
	for i, line := range []string{"a\n", "b\n", "c\n"} {
		w.broken = i == 1
		io.WriteString(s, line)
	}
	s.Close()
	if w.String() != "a\nc\n" {
		t.Errorf("have %q", w.String())
	}
}

// reader is a formatter that takes what it is told to take.
type reader struct {
	recorder
	takes bool
}

func (r *reader) Format(line []byte) bool {
	if r.takes {
		r.Write(line)
	}
	return r.takes
}

func TestLinesGoThroughTheFormatterOneByOne(t *testing.T) {
	w, f := &recorder{}, &reader{takes: true}
	s := NewStream(w, nil, Plain)
	io.WriteString(s, "early\n")
	s.FormatBy(f)
	access := NewAccessLog(s)
	access.Add(example())
	access.Add(example())
	io.WriteString(s, "two\nlines\n")
	f.takes = false
	io.WriteString(s, "not taken\n")
	f.takes = true
	io.WriteString(s, "taken\n")
	s.FormatBy(nil)
	io.WriteString(s, "late\n")
	s.Close()
	if want := plainAccess(example()) + plainAccess(example()) + "two\nlines\ntaken\n"; f.String() != want || f.writes != 4 {
		t.Errorf("the formatter got %q in %d pieces", f.String(), f.writes)
	}
	if want := "early\nnot taken\nlate\n"; w.String() != want {
		t.Errorf("have %q, want %q", w.String(), want)
	}
}

func TestAddingALineAllocatesNothing(t *testing.T) {
	testkit.NeedNoRace(t)
	s := NewStream(io.Discard, nil, Plain)
	defer s.Close()
	for _, format := range []Format{Plain, JSON} {
		s.As(format)
		l, a := NewAccessLog(s), fullExample()
		for range 1000 {
			l.Add(a)
		}
		if n := testing.AllocsPerRun(1000, func() { l.Add(a) }); n > 0.1 { // a buffer now and then
			t.Errorf("format %d: %v allocations", format, n)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	for name, format := range map[string]Format{"text": Plain, "json": JSON} {
		b.Run(name, func(b *testing.B) {
			s := NewStream(io.Discard, nil, format)
			defer s.Close()
			s.As(format)
			l, a := NewAccessLog(s), fullExample()
			b.ReportAllocs()
			for b.Loop() {
				l.Add(a)
			}
		})
	}
}
