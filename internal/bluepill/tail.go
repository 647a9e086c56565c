package bluepill

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"time"
)

// tailed is how many lines of a log are shown before what comes next.
const tailed = 100

// maxTail is how far back these lines are looked for, in bytes.
const maxTail = 1 << 20

// Follow writes those of the last hundred lines of a log that are about an application, or a target in it, and goes on with
// what is written until ctx ends. A file that takes the log's place is followed, too.
func Follow(ctx context.Context, path, application, target string, w io.Writer) error {
	about := application
	if target != "" {
		about += ":" + target
	}
	matching := regexp.MustCompile(`\[.*` + regexp.QuoteMeta(about))
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { file.Close() }()
	rest, err := lastLines(file)
	if err != nil {
		return err
	}
	for {
		if rest, err = writeLines(w, rest, matching); err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(file, maxTail))
		if err != nil {
			return err
		}
		rest = append(rest, text...)
		if len(text) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond): // a file says nothing when it grows
		}
		if next := successor(path, file); next != nil {
			file.Close()
			file = next
		}
	}
}

// lastLines reads the last lines of a file and leaves it at its end.
func lastLines(file *os.File) ([]byte, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	start := max(0, size-maxTail)
	text := make([]byte, size-start)
	n, err := file.ReadAt(text, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	text = text[:n]
	lines := bytes.SplitAfter(text, []byte("\n"))
	if len(lines) > tailed+1 { // the last one is empty, or unfinished
		lines = lines[len(lines)-tailed-1:]
	}
	return bytes.Join(lines, nil), nil
}

// writeLines writes the whole lines that match, and returns what is left.
func writeLines(w io.Writer, text []byte, matching *regexp.Regexp) (rest []byte, err error) {
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return text, nil
		}
		if matching.Match(line) {
			if _, err := w.Write(append(bytes.Clone(line), '\n')); err != nil {
				return nil, err
			}
		}
		text = rest
	}
}

// successor is the file that has taken a log's place, or the log itself when it was cut short; nil if nothing has changed.
func successor(path string, file *os.File) *os.File {
	now, err := os.Stat(path)
	if err != nil {
		return nil
	}
	old, err := file.Stat()
	if err != nil {
		return nil
	}
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil || os.SameFile(now, old) && now.Size() >= at {
		return nil
	}
	next, err := os.Open(path)
	if err != nil {
		return nil
	}
	return next
}
