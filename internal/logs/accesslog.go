package logs

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	flushInterval = 100 * time.Millisecond // the longest a line waits in memory
	flushSize     = 32 << 10               // bytes that are worth a write of their own
	maxWaiting    = 4 << 20                // bytes that may wait for a reader that does not keep up
)

// AccessLog writes access lines in batches. Adding a line never waits for the writer: a log pipe that nobody empties
// must not stop the server, so past maxWaiting lines are dropped, and a later line says how many.
type AccessLog struct {
	w    io.Writer
	wake chan struct{} // holds one token while there is reason to flush at once
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex // guards what follows
	waiting []byte
	spare   []byte // the buffer written last, to be used again
	dropped int
	closed  bool
}

// NewAccessLog starts the goroutine that writes to w. Close ends it.
func NewAccessLog(w io.Writer) *AccessLog {
	l := &AccessLog{
		w:    w,
		wake: make(chan struct{}, 1),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	go l.run()
	return l
}

// Add takes one line. It may be called by many goroutines, and does nothing after Close.
func (l *AccessLog) Add(a *Access) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return
	case len(l.waiting) >= maxWaiting:
		l.dropped++
		return
	}
	before := len(l.waiting)
	l.waiting = AppendAccess(l.waiting, a)
	if before == 0 || before < flushSize && len(l.waiting) >= flushSize {
		l.signal()
	}
}

// Close writes what is waiting, as far as the writer takes it, and returns when the goroutine has ended.
func (l *AccessLog) Close() {
	l.mu.Lock()
	wasClosed := l.closed
	l.closed = true
	l.mu.Unlock()
	if !wasClosed {
		close(l.stop)
	}
	<-l.done
}

func (l *AccessLog) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run sleeps until there is a first line, gives others flushInterval to join it, and writes them all. An idle server
// has no timer running.
func (l *AccessLog) run() {
	defer close(l.done)
	timer := time.NewTimer(flushInterval)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-l.stop:
			l.flush()
			return
		}
		if !l.full() {
			timer.Reset(flushInterval)
			select {
			case <-timer.C:
			case <-l.wake:
			case <-l.stop:
			}
		}
		l.flush()
	}
}

func (l *AccessLog) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) >= flushSize
}

// flush writes outside the lock, so that Add goes on meanwhile.
func (l *AccessLog) flush() {
	l.mu.Lock()
	out, dropped := l.waiting, l.dropped
	l.waiting, l.spare, l.dropped = l.spare[:0], nil, 0
	l.mu.Unlock()
	if dropped > 0 {
		out = fmt.Appendf(out, "! %d access lines were dropped: whoever reads this log does not keep up\n", dropped)
	}
	if len(out) > 0 {
		l.w.Write(out)
	}
	l.mu.Lock()
	if cap(out) <= 2*flushSize { // what a stall made large goes back to the system
		l.spare = out
	}
	l.mu.Unlock()
}
