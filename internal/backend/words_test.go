package backend

import (
	"slices"
	"strings"
	"testing"
)

func TestAnErrorHasTheLinesThatTellWhy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ log, first, last string }{
		{"", "", ""},
		{"a|b|c|d", "c d", "c d"},
		{"boot|RuntimeError: one|at x|boot|RuntimeError: two|at y|at z", "RuntimeError: one at x", "RuntimeError: two at y"},
		{"! Unable to start worker", "! Unable to start worker", "! Unable to start worker"},
	} {
		lines := lines([]byte(strings.ReplaceAll(c.log, "|", "\n")+"\n"), 100)
		if got := strings.Join(Telling(lines, 2), " "); got != c.first {
			t.Errorf("of %q, %q is told", c.log, got)
		}
		if got := strings.Join(lastWords(lines, 2), " "); got != c.last {
			t.Errorf("of %q, the last words are %q", c.log, got)
		}
	}
}

func TestTheEndOfALogIsReadFromAMark(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	write(t, path, "before\n")
	mark := logEnd(path)
	write(t, path, "after\nall\n")
	if got := tail(path, mark, 10); !slices.Equal(got, []string{"after", "all"}) {
		t.Errorf("after the mark there is %q", got)
	}
	if got := tail(path, 1<<20, 1); !slices.Equal(got, []string{"all"}) {
		t.Errorf("of a log that was rotated there is %q", got)
	}
	write(t, path, strings.Repeat("x", tailSize)+"\nend\n")
	if got := tail(path, 0, 10); !slices.Equal(got, []string{"end"}) {
		t.Errorf("of a long line, %d bytes are shown", len(strings.Join(got, "")))
	}
	if tail(path+".none", 0, 1) != nil || logEnd(path+".none") != 0 {
		t.Error("a log that is not there has an end")
	}
}
