package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"serval/internal/supervisor"
)

const (
	// unfinishedPatience is how long the beginning of a line waits for its end: a prompt, or dots of progress, have none.
	unfinishedPatience = 500 * time.Millisecond

	longestLine = 64 << 10

	// lastOutput is how long what processes have said is waited for when they have ended: something that they started and that
	// is nobody's now may hold their output open.
	lastOutput = time.Second
)

// colours are those of names on a terminal, one after the other.
var colours = []string{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}

// upOutput shows what processes say, a line at a time.
type upOutput struct {
	coloured bool
	width    int
	colour   map[string]string // of a name

	mu      sync.Mutex // lines of processes are not mixed
	out     io.Writer
	ended   map[string]chan struct{} // closed when all that a process has said is shown
	readers sync.WaitGroup
}

func newUpOutput(out io.Writer, specs []supervisor.Spec) *upOutput {
	o := &upOutput{out: out, coloured: isTerminal(out) && coloured(), colour: map[string]string{}, ended: map[string]chan struct{}{}, width: len("serval")}
	types := map[string]string{}
	for _, spec := range specs {
		process, _, _ := strings.Cut(spec.Name, ".")
		if types[process] == "" {
			types[process] = colours[len(types)%len(colours)]
		}
		o.colour[spec.Name] = types[process]
		o.width = max(o.width, len(spec.Name))
	}
	return o
}

// pipe is what a process writes to.
func (o *upOutput) pipe(spec supervisor.Spec) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	o.mu.Lock()
	o.ended[spec.Name] = ended
	o.mu.Unlock()
	o.readers.Go(func() {
		defer close(ended)
		defer r.Close()
		o.copy(spec.Name, r)
	})
	return w, nil
}

// drain waits for the last words of a process that has ended, so that they are shown before how it did.
func (o *upOutput) drain(name string) {
	o.mu.Lock()
	ended := o.ended[name]
	o.mu.Unlock()
	if ended == nil { // it could not be started
		return
	}
	select {
	case <-ended:
	case <-time.After(lastOutput):
	}
}

// copy shows lines until the output ends.
func (o *upOutput) copy(name string, r *os.File) {
	var rest []byte
	chunk := make([]byte, 16<<10)
	for {
		if len(rest) > 0 {
			r.SetReadDeadline(time.Now().Add(unfinishedPatience)) //nolint:errcheck // pipes have deadlines
		} else {
			r.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
		}
		n, err := r.Read(chunk)
		rest = append(rest, chunk[:n]...)
		if end := bytes.LastIndexByte(rest, '\n') + 1; end > 0 {
			o.lines(name, rest[:end])
			rest = append(rest[:0], rest[end:]...)
		}
		if len(rest) > 0 && (err != nil || len(rest) >= longestLine) {
			o.lines(name, rest)
			rest = rest[:0]
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// line shows a line about a process; without a name, about all.
func (o *upOutput) line(name, text string) { o.lines(name, []byte(text)) }

// lines shows whole lines of one process.
func (o *upOutput) lines(name string, text []byte) {
	head := o.head(name)
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		b.WriteString(head)
		b.Write(bytes.TrimRight(line, "\r\n"))
		b.WriteByte('\n')
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Write(b.Bytes()) //nolint:errcheck // who closes the terminal sends a signal, too
}

// head is what a line begins with.
func (o *upOutput) head(name string) string {
	colour := "1" // bold
	if name != "" {
		colour = o.colour[name]
	} else {
		name = "serval"
	}
	head := fmt.Sprintf("%s %-*s | ", time.Now().Format(time.TimeOnly), o.width, name)
	if o.coloured {
		return "\x1b[" + colour + "m" + head + "\x1b[0m"
	}
	return head
}

// close waits for the last words.
func (o *upOutput) close() {
	over := make(chan struct{})
	go func() {
		o.readers.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(lastOutput):
	}
}
