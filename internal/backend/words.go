package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"serval/internal/installation"
	"serval/internal/restart"
)

// lastLines is how many lines of a log an error has.
const lastLines = 10

// failure is the error about a service that is to blame itself: why, how its process ended, and what its log says of that, as
// far as it was written since the log had its mark.
func (s *Systemd) failure(ctx context.Context, service installation.Service, mark int64, began time.Time, cause error) error {
	var told *restart.Told
	if ctx.Err() != nil || errors.As(cause, &told) {
		return fmt.Errorf("%s: %w", service.Name, cause)
	}
	text := cause.Error()
	if u, err := s.unit(ctx, service); err == nil && u.state() != Running {
		if why := u.why(); why != "" {
			text = why
		}
	}
	return &Failure{service.Name, text, cause, Telling(s.said(ctx, service, mark, began), lastLines)}
}

// Failure is the error about a service that is to blame itself.
type Failure struct {
	Service   string
	Why       string
	Cause     error
	LastWords []string // of its log
}

// Error has the last lines of the log below the sentence.
func (f *Failure) Error() string {
	text := f.Service + ": " + f.Why
	if len(f.LastWords) == 0 {
		return text + "; its log says nothing"
	}
	return text + ". Its log says:\n    " + strings.Join(f.LastWords, "\n    ")
}

func (f *Failure) Unwrap() error { return f.Cause }

// said is the end of what a service's log has after a mark, else its journal since a time.
func (s *Systemd) said(ctx context.Context, service installation.Service, mark int64, since time.Time) []string {
	if lines := tail(service.Log, mark, lookedAt); len(lines) > 0 {
		return lines
	}
	args := []string{"--unit=" + service.Unit, "--lines=" + strconv.Itoa(lookedAt)}
	if !since.IsZero() {
		args = append(args, fmt.Sprintf("--since=@%d", since.Unix()))
	}
	out, err := journalctl(ctx, args...).Output()
	if err != nil {
		return nil
	}
	return lines(out, lookedAt)
}

// lookedAt is how many lines are looked at for those that tell why something failed.
const lookedAt = 200

var mistake = regexp.MustCompile(`(?i)error|exception|unable|cannot|failed|fatal`)

// Telling are the lines that tell why a service failed, of those that it has written since it was asked for something: the first
// that sounds like it, as what follows is often the same again, and those after it; the last lines where none sounds like it.
func Telling(lines []string, count int) []string {
	return telling(lines, slices.IndexFunc(lines, mistake.MatchString), count)
}

// lastWords are those of a service that has failed at some time: as Telling, but from the last line on that sounds like it.
func lastWords(lines []string, count int) []string {
	last := -1
	for n, line := range lines {
		if mistake.MatchString(line) {
			last = n
		}
	}
	return telling(lines, last, count)
}

func telling(lines []string, from, count int) []string {
	if from < 0 {
		from = max(len(lines)-count, 0)
	}
	return lines[from:min(from+count, len(lines))]
}

// journalctl reads the system's journal: the messages alone.
func journalctl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "journalctl", append([]string{"--quiet", "--no-pager", "--output=cat"}, args...)...)
}

// logEnd is how long a log is.
func logEnd(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// tailSize is how much of a log's end is looked at for its last lines.
const tailSize = 64 << 10

// tail are the last lines of a file, from a byte on. A file that is shorter than that has been rotated, and counts from its
// beginning.
func tail(path string, from int64, count int) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	if from > info.Size() {
		from = 0
	}
	return tailOf(file, from, info.Size(), count)
}

// tailOf are the last lines between two bytes of a file.
func tailOf(file io.ReaderAt, from, to int64, count int) []string {
	begin := max(from, to-tailSize)
	text, err := io.ReadAll(io.NewSectionReader(file, begin, to-begin))
	if err != nil {
		return nil
	}
	if begin > from { // the first line is not whole
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return lines(text, count)
}

// lines are the last lines of a text, without its end.
func lines(text []byte, count int) []string {
	trimmed := strings.TrimRight(string(text), "\n")
	if trimmed == "" {
		return nil
	}
	all := strings.Split(trimmed, "\n")
	return all[max(0, len(all)-count):]
}
