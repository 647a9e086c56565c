package backend

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"serval/internal/installation"
)

// Journal is another place where a service's lines may be, for when its log file has none: the last ones, and with follow
// those that come. nil: there is none.
type Journal func(ctx context.Context, service installation.Service, follow bool, lines int) *exec.Cmd

// WriteLogs writes the last lines of each service's log file, or of its journal where there is nothing in the file. With
// follow it goes on until ctx is over, which is no error then: it follows files that are rotated or not there yet.
func WriteLogs(ctx context.Context, services []installation.Service, follow bool, lines int, journal Journal, w LogWriter) error {
	o := &logOutput{write: w}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.cancel = cancel
	var all sync.WaitGroup
	for _, service := range services {
		file := openLog(service.Log)
		for _, line := range file.tail(lines) {
			o.line(service.Name, line)
		}
		if journal != nil && file.size == 0 {
			said := journal(ctx, service, follow, lines)
			if follow {
				all.Go(func() { o.run(service.Name, said) })
			} else {
				o.run(service.Name, said)
			}
		}
		if follow {
			all.Go(func() { file.follow(ctx, func(line string) { o.line(service.Name, line) }) })
		} else {
			file.close()
		}
	}
	all.Wait()
	return o.err
}

// logOutput is where the lines of all logs go. When it fails, all of them end.
type logOutput struct {
	mu     sync.Mutex
	write  LogWriter
	err    error
	cancel func()
}

func (o *logOutput) line(service, line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	if o.err = o.write(service, line); o.err != nil {
		o.cancel()
	}
}

// run writes what a command says.
func (o *logOutput) run(service string, cmd *exec.Cmd) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return
	}
	if err := cmd.Start(); err != nil {
		return // without a journal the file is all there is
	}
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if line = trimEnd(line); line != "" {
			o.line(service, line)
		}
		if err != nil {
			cmd.Wait() //nolint:errcheck // it was ended
			return
		}
	}
}

// log is a log file that is read as it grows.
type log struct {
	path string
	file *os.File // nil: it is not there
	size int64    // of what was there when it was opened
	rest []byte   // of a line that has no end yet
}

// logInterval is how often files are looked at for more.
const logInterval = 200 * time.Millisecond

// openLog opens a log file and goes to its end.
func openLog(path string) *log {
	l := &log{path: path}
	if file, err := os.Open(path); err == nil {
		l.file = file
		l.size, _ = file.Seek(0, io.SeekEnd) //nolint:errcheck // 0 then
	}
	return l
}

// tail are the last lines of what was there when it was opened.
func (l *log) tail(lines int) []string {
	if l.file == nil {
		return nil
	}
	return tailOf(l.file, 0, l.size, lines)
}

func (l *log) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// follow takes what is written from now on, line by line.
func (l *log) follow(ctx context.Context, take func(line string)) {
	defer l.close()
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	for {
		l.read(take)
		if l.rotated() {
			l.read(take) // what was written between the two
			l.close()
			l.rest = nil
			l.file, _ = os.Open(l.path) //nolint:errcheck // it comes
			l.read(take)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// rotated reports whether another file is in the log's place, or it has been emptied.
func (l *log) rotated() bool {
	there, err := os.Stat(l.path)
	if err != nil {
		return false // the next one is still to come, and somebody may write to the old one until then
	}
	if l.file == nil {
		return true
	}
	open, err := l.file.Stat()
	at, seekErr := l.file.Seek(0, io.SeekCurrent)
	return err != nil || seekErr != nil || !os.SameFile(there, open) || open.Size() < at
}

// read takes the whole lines that are there.
func (l *log) read(take func(line string)) {
	if l.file == nil {
		return
	}
	chunk := make([]byte, 64<<10)
	for {
		n, err := l.file.Read(chunk)
		l.rest = append(l.rest, chunk[:n]...)
		for {
			line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
			if !whole {
				break
			}
			take(string(bytes.TrimSuffix(line, []byte("\r"))))
			l.rest = rest
		}
		if err != nil || n == 0 {
			return
		}
	}
}

func trimEnd(line string) string { return string(bytes.TrimRight([]byte(line), "\r\n")) }

// Logs reads the log files, and the journal where there is nothing in them.
func (s *Systemd) Logs(ctx context.Context, services []installation.Service, follow bool, lines int, w LogWriter) error {
	journal := func(ctx context.Context, service installation.Service, follow bool, lines int) *exec.Cmd {
		args := []string{"--unit=" + service.Unit, "--lines=" + strconv.Itoa(lines)}
		if follow {
			args = append(args, "--follow")
		}
		cmd := journalctl(ctx, args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		return cmd
	}
	err := WriteLogs(ctx, services, follow, lines, journal, w)
	if errors.Is(err, context.Canceled) && follow {
		return nil
	}
	return err
}
