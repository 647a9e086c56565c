package logs

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	flushInterval = 100 * time.Millisecond // the longest a line that was added waits in memory
	flushSize     = 32 << 10               // bytes that are worth a write of their own
	maxWaiting    = 4 << 20                // bytes that may wait for a reader that does not keep up
	patience      = 100 * time.Millisecond // how long a line that is written holds up its writer
)

// Formatter is the app's own log_formatter or custom_logger, which lives in a Ruby process.
type Formatter interface {
	// Format hands over one line with its newline, or several that belong together. It returns false, without much
	// delay, when nobody takes it: the caller then writes it as it is.
	Format(line []byte) bool
}

// Stream writes lines to a log without ever stopping the server for it: a pipe that nobody empties, a full disk and a
// closed file cost lines and nothing else. Past maxWaiting lines are dropped, and a later line says how many. It may be
// used by many goroutines.
type Stream struct {
	w        io.Writer
	complain io.Writer
	wake     chan struct{} // holds one token while there is reason to flush at once
	stop     chan struct{}
	done     chan struct{}
	failed   bool // it was said that w takes nothing; the goroutine's own

	mu        sync.Mutex // guards what follows
	as        Format
	waiting   []byte
	ends      []int  // where lines that belong together end in waiting; kept only for a formatter
	spare     []byte // the buffer written last, to be used again
	dropped   int
	urgent    []chan struct{} // closed when all that is waiting now has been written
	stalled   bool            // the last one to wait did so in vain
	formatter Formatter
	closed    bool
}

// NewStream starts the goroutine that writes to w. Close ends it. complain, which may be nil, is told once when w takes
// no more.
func NewStream(w, complain io.Writer, as Format) *Stream {
	s := &Stream{
		w: w, complain: complain, as: as,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go s.run()
	return s
}

// As has lines written in this format from now on.
func (s *Stream) As(f Format) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.as = f
}

// FormatBy has lines go through f from now on. nil: no more.
func (s *Stream) FormatBy(f Formatter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.formatter = f
	s.ends = s.ends[:0]
	if f != nil && len(s.waiting) > 0 {
		s.ends = append(s.ends, len(s.waiting))
	}
}

// Write takes lines that belong together, and waits until they are written, but only for a moment: not at all when the
// last one waited in vain. It returns no error: who writes could do nothing about it.
func (s *Stream) Write(line []byte) (int, error) {
	s.mu.Lock()
	if s.closed || len(s.waiting) >= maxWaiting {
		s.drop()
		s.mu.Unlock()
		return len(line), nil
	}
	s.waiting = append(s.waiting, line...)
	s.mark()
	written := make(chan struct{})
	s.urgent = append(s.urgent, written)
	stalled := s.stalled
	s.mu.Unlock()
	s.signal()
	if !stalled {
		s.await(written)
	}
	return len(line), nil
}

func (s *Stream) await(written chan struct{}) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-written:
	case <-timer.C:
		s.mu.Lock()
		s.stalled = true
		s.mu.Unlock()
	}
}

// Add has line append one line in the stream's format. It is written with others before long.
func (s *Stream) Add(line func(dst []byte, as Format) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.waiting) >= maxWaiting {
		s.drop()
		return
	}
	before := len(s.waiting)
	s.waiting = line(s.waiting, s.as)
	s.mark()
	if before == 0 || before < flushSize && len(s.waiting) >= flushSize {
		s.signal()
	}
}

// drop counts a line that is not taken. mu is held.
func (s *Stream) drop() {
	if !s.closed {
		s.dropped++
	}
}

// mark notes the end of a line. mu is held.
func (s *Stream) mark() {
	if s.formatter != nil {
		s.ends = append(s.ends, len(s.waiting))
	}
}

// Close writes what is waiting and ends the goroutine. A writer that takes nothing is not waited for beyond a moment.
func (s *Stream) Close() {
	s.mu.Lock()
	wasClosed := s.closed
	s.closed = true
	s.mu.Unlock()
	if !wasClosed {
		close(s.stop)
	}
	timer := time.NewTimer(10 * patience)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	}
}

func (s *Stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run sleeps until there is a first line, gives others flushInterval to join it, and writes them all. Lines that
// somebody waits for are written at once. An idle server has no timer running.
func (s *Stream) run() {
	defer close(s.done)
	timer := time.NewTimer(flushInterval)
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			s.flush()
			return
		}
		if !s.due() {
			timer.Reset(flushInterval)
			select {
			case <-timer.C:
			case <-s.wake:
			case <-s.stop:
			}
		}
		s.flush()
	}
}

func (s *Stream) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) >= flushSize || len(s.urgent) > 0
}

// flush writes outside the lock, so that others go on meanwhile.
func (s *Stream) flush() {
	s.mu.Lock()
	out, ends, dropped, urgent, formatter := s.waiting, s.ends, s.dropped, s.urgent, s.formatter
	s.waiting, s.spare, s.ends, s.dropped, s.urgent = s.spare[:0], nil, nil, 0, nil
	s.mu.Unlock()
	if dropped > 0 {
		out = s.note(out, "! ", fmt.Sprintf("%d lines were dropped: whoever reads this log does not keep up", dropped), Named("lines_dropped", "lines", dropped))
	}
	switch {
	case len(out) == 0:
	case formatter == nil:
		s.write(out)
	default:
		s.format(formatter, out, ends)
	}
	for _, written := range urgent {
		close(written)
	}
	s.mu.Lock()
	s.stalled = false
	if cap(out) <= 2*flushSize { // what a stall made large goes back to the system
		s.spare = out
	}
	s.mu.Unlock()
}

// format hands over line by line, and writes those that are not taken.
func (s *Stream) format(f Formatter, out []byte, ends []int) {
	from := 0
	for _, end := range append(ends, len(out)) {
		if from < end && !f.Format(out[from:end]) {
			s.write(out[from:end])
		}
		from = end
	}
}

// write says once that nothing can be written. What comes later may be taken again: a disk is emptied, a file reopened.
func (s *Stream) write(out []byte) {
	_, err := s.w.Write(out)
	if err == nil || s.failed || s.complain == nil {
		return
	}
	s.failed = true
	s.complain.Write(s.note(nil, "ERROR: ", fmt.Sprintf("cannot write the log: %v; what it does not take is lost, requests are served; this is said once", reason(err)), Named("log_failed"))) //nolint:errcheck // there is no other place to say it
}

// note appends a line of the stream's own.
func (s *Stream) note(dst []byte, mark, text string, fields Fields) []byte {
	s.mu.Lock()
	as := s.as
	s.mu.Unlock()
	if as == JSON {
		return appendEvent(dst, time.Now(), mark, text, fields)
	}
	return append(dst, mark+text+"\n"...)
}
