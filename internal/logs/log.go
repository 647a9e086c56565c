// Package logs writes what people and their tools read: the event log, in Puma's greppable lines or as JSON, the access
// log, in the common log format or as JSON, and the files that standard output and standard error are redirected to.
package logs

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Format is how lines are written.
type Format int

const (
	Plain Format = iota // text for people, and for tools that know Puma's lines
	JSON                // an object a line
)

// ParseFormat knows "text" and "json"; anything else is text.
func ParseFormat(name string) Format {
	if name == "json" {
		return JSON
	}
	return Plain
}

// Log is the event log. Every line is one write, so lines of several processes on one stream do not mix. It may be
// used by many goroutines. The zero value discards everything.
//
// Its methods take a format and its arguments, and after these, if the line has a name, Fields.
type Log struct {
	mu     sync.Mutex
	out    io.Writer
	err    io.Writer
	prefix string
	format Format

	outJournal, errJournal bool // the stream goes to the journal
}

// Fields are what a tool should not have to read out of a line's text. They are part of JSON lines only.
type Fields struct {
	event string
	pairs []any
}

// Named returns the fields of a line: the name of its kind, which stays when its words change, and keys with values.
//
//	log.Detail("Worker %d (PID: %d) booted", i, pid, logs.Named("worker_booted", "worker", i, "worker_pid", pid))
func Named(event string, pairs ...any) Fields { return Fields{event, pairs} }

// New makes a log that writes events to out and errors to err. With prefix each line of text begins with this process's
// id, as Puma's cluster mode does: "[4711] * Listening on …".
func New(out, err io.Writer, prefix bool) *Log {
	l := &Log{out: out, err: err}
	if prefix {
		l.prefix = fmt.Sprintf("[%d] ", os.Getpid())
	}
	return l
}

// As has lines written in this format from now on.
func (l *Log) As(f Format) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.format = f
}

// ToJournal says which of the two streams go to systemd's journal: each of their lines begins with its priority from now
// on, which the journal takes off and files the line by (sd-daemon(3)).
func (l *Log) ToJournal(out, err bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outJournal, l.errJournal = out, err
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

func (l *Log) write(to *io.Writer, mark, format string, args []any) {
	fields, args := cutFields(args)
	text := strings.TrimRight(Text(format, args...), "\n")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case *to == nil:
	case l.format == JSON:
		(*to).Write(appendEvent([]byte(l.priority(to, mark)), time.Now(), mark, text, fields)) //nolint:errcheck // there is no other place to say it
	default:
		io.WriteString(*to, l.lines(l.priority(to, mark), mark+text)) //nolint:errcheck // as above
	}
}

// priority is what a line for the journal begins with, and nothing for others. mu is held.
func (l *Log) priority(to *io.Writer, mark string) string {
	switch {
	case to == &l.out && !l.outJournal, to == &l.err && !l.errJournal:
		return ""
	case mark == "ERROR: ":
		return "<3>"
	case mark == "! ":
		return "<4>"
	}
	return "<6>"
}

// Text is what a line says for people: fmt.Sprintf without the fields.
func Text(format string, args ...any) string {
	if _, args = cutFields(args); len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// cutFields takes the fields off the end of the arguments.
func cutFields(args []any) (Fields, []any) {
	if n := len(args); n > 0 {
		if fields, ok := args[n-1].(Fields); ok {
			return fields, args[:n-1]
		}
	}
	return Fields{}, args
}

// lines puts the priority and the prefix before every line of the text, so that a backtrace can be told from its
// neighbours and stays with its error in the journal.
func (l *Log) lines(priority, text string) string {
	if start := priority + l.prefix; start != "" {
		text = start + strings.ReplaceAll(text, "\n", "\n"+start)
	}
	return text + "\n"
}
