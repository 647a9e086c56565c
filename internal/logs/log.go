// Package logs writes what people and their tools read: the event log in Puma's greppable lines, the access log in the
// common log format, and the files that standard output and standard error are redirected to.
package logs

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Log is the event log. Every line is one write, so lines of several processes on one stream do not mix. It may be
// used by many goroutines. The zero value discards everything.
type Log struct {
	mu     sync.Mutex
	out    io.Writer
	err    io.Writer
	prefix string
}

// New makes a log that writes events to out and errors to err. With prefix each line begins with this process's id, as
// Puma's cluster mode does: "[4711] * Listening on …".
func New(out, err io.Writer, prefix bool) *Log {
	l := &Log{out: out, err: err}
	if prefix {
		l.prefix = fmt.Sprintf("[%d] ", os.Getpid())
	}
	return l
}

// Silence discards all further lines except errors.
func (l *Log) Silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = nil
}

// Line writes a line without a mark: "Use Ctrl-C to stop".
func (l *Log) Line(format string, args ...any) { l.write(&l.out, "", format, args) }

// Event writes what happened to Serval as a whole: "* Listening on http://127.0.0.1:9292".
func (l *Log) Event(format string, args ...any) { l.write(&l.out, "* ", format, args) }

// Detail writes what happened to one part: "- Worker 0 (PID: 4712) booted in 0.1s, phase: 0".
func (l *Log) Detail(format string, args ...any) { l.write(&l.out, "- ", format, args) }

// Warn writes what somebody ought to look at: "! config/puma.rb is not read".
func (l *Log) Warn(format string, args ...any) { l.write(&l.out, "! ", format, args) }

// Error writes what went wrong, to the error stream, silenced or not: "ERROR: cannot start worker 3: …".
func (l *Log) Error(format string, args ...any) { l.write(&l.err, "ERROR: ", format, args) }

// write puts the prefix before every line of the text, so that a backtrace can be told from its neighbours.
func (l *Log) write(to *io.Writer, mark, format string, args []any) {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	text = mark + strings.TrimRight(text, "\n")
	if l.prefix != "" {
		text = l.prefix + strings.ReplaceAll(text, "\n", "\n"+l.prefix)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if *to != nil {
		io.WriteString(*to, text+"\n")
	}
}
