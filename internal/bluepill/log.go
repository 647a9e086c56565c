package bluepill

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// level is how urgent a line of the log is.
type level int

const (
	debug level = iota
	info
	warning
	failure
)

// Names of the levels in Ruby's Logger, which writes Bluepill's files, and in syslog's order.
var levels = [...]struct{ letter, file, syslog string }{{"D", "DEBUG", "debug"}, {"I", "INFO", "info"}, {"W", "WARN", "warning"}, {"E", "ERROR", "err"}}

// log is a daemon's log: a file as Ruby's Logger writes them, or syslog's local6.
type log struct {
	path string    // empty: syslog
	echo io.Writer // of a daemon in the foreground; nil: none

	mu     sync.Mutex
	file   *os.File
	syslog *syslog.Writer
}

// openLog opens a log. Without a syslog on this host nothing is kept.
func openLog(path string, echo io.Writer) (*log, error) {
	l := &log{path: path, echo: echo}
	return l, l.reopen()
}

// reopen begins anew with a file that somebody has moved away.
func (l *log) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path == "" {
		if l.syslog == nil {
			l.syslog, _ = syslog.New(syslog.LOG_LOCAL6|syslog.LOG_INFO, "bluepilld") //nolint:errcheck // there is none
		}
		return nil
	}
	// It may be in a directory of the app's user, who is not to have root write elsewhere.
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open the log: %w", err)
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file = file
	return nil
}

// write writes a line about what the prefix names: application, group and process.
func (l *log) write(at level, prefix []string, format string, args ...any) {
	text := fmt.Sprintf("[%s] %s", strings.Join(prefix, ":"), fmt.Sprintf(format, args...))
	text = strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	name := levels[at]
	if l.echo != nil {
		fmt.Fprintf(l.echo, "[%s]: %s\n", name.syslog, text)
	}
	switch {
	case l.file != nil:
		now := time.Now().Format("2006-01-02T15:04:05.000000")
		fmt.Fprintf(l.file, "%s, [%s #%d] %5s -- : %s\n", name.letter, now, os.Getpid(), name.file, text)
	case l.syslog != nil:
		say := [...]func(string) error{l.syslog.Debug, l.syslog.Info, l.syslog.Warning, l.syslog.Err}[at]
		say(text) //nolint:errcheck // there is no other place to say it
	}
}
