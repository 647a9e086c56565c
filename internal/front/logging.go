package front

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"serval/internal/config"
	"serval/internal/logs"
	"serval/internal/systemd"
)

// logging is where the front's lines go: events and requests, on streams that never stop the server.
type logging struct {
	*logs.Log
	access   *logs.AccessLog
	out, err *logs.Stream
}

func newLogging(cfg config.Config, out, err io.Writer) *logging {
	l := &logging{}
	l.err = logs.NewStream(err, nil, logs.Plain)
	l.out = logs.NewStream(out, l.err, logs.Plain)
	l.Log = logs.New(l.out, l.err, cfg.Cluster() && !cfg.LogFormatter) // as Puma: whoever formats puts the process id where he likes
	l.access = logs.NewAccessLog(l.out)
	l.configure(cfg)
	if cfg.Silent {
		l.Silence()
	}
	return l
}

// configure has lines written as cfg says from now on.
func (l *logging) configure(cfg config.Config) {
	format := logs.ParseFormat(cfg.LogFormat)
	l.As(format)
	l.out.As(format)
	l.err.As(format)
	if !cfg.LogFormatter && !cfg.CustomLogger { // these write lines as they want them
		l.ToJournal(systemd.Journal(unix.Stdout, os.Environ()), systemd.Journal(unix.Stderr, os.Environ()))
	}
}

// formatBy has lines go through Ruby if the configuration has something there for them; errors go straight out, since it may be
// Ruby that is out of order. nil: no more.
func (l *logging) formatBy(cfg config.Config, f logs.Formatter) {
	if !cfg.LogFormatter && !cfg.CustomLogger {
		f = nil
	}
	l.out.FormatBy(f)
}

// close writes what is left.
func (l *logging) close() {
	l.out.Close()
	l.err.Close()
}
