package testkit

import (
	"io"
	"os"
	"strings"
	"sync"
)

// output collects what a process and its children write to a stream.
type output struct {
	write *os.File      // the end that the process gets
	ended chan struct{} // closed when nobody holds that end any more

	mu   sync.Mutex // guards text
	text strings.Builder
}

// newOutput starts collecting. It is a pipe of our own, and not exec's, to know when the last process has let go.
func newOutput() (*output, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{write: write, ended: make(chan struct{})}
	go func() {
		io.Copy(o, read) //nolint:errcheck // the end of the pipe is all that is waited for
		read.Close()
		close(o.ended)
	}()
	return o, nil
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// line returns the first whole line that contains text.
func (o *output) line(text string) (string, bool) {
	for line := range strings.Lines(o.String()) {
		if strings.HasSuffix(line, "\n") && strings.Contains(line, text) {
			return strings.TrimSuffix(line, "\n"), true
		}
	}
	return "", false
}
