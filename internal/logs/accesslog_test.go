package logs

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestALoneLineIsWrittenAfterTheFlushInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		l := NewAccessLog(w)
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
		l.Close()
	})
}

func TestManyLinesAreWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		l := NewAccessLog(w)
		start := time.Now()
		for w.String() == "" {
			l.Add(example())
			synctest.Wait()
		}
		if waited := time.Since(start); waited != 0 || w.writes != 1 || len(w.String()) < flushSize {
			t.Errorf("after %v: %d bytes in %d writes", waited, len(w.String()), w.writes)
		}
		l.Close()
	})
}

func TestClosingWritesWhatIsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		l := NewAccessLog(w)
		l.Add(example())
		start := time.Now()
		l.Close()
		l.Close()
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
		l := NewAccessLog(g)
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
		l.Close()
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
	l := NewAccessLog(w)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				l.Add(example())
			}
		})
	}
	all.Wait()
	l.Close()
	if want := strings.Repeat(plainAccess(example()), 16000); w.String() != want {
		t.Errorf("have %d bytes, want %d", len(w.String()), len(want))
	}
}
