package worker

import (
	"sync"
	"syscall"

	"serval/internal/loop"
)

// sender combines the frames of many goroutines into few writes: whoever finds no flush under way flushes for all.
//
// flush never blocks. When the socket takes no more (a worker that does not read), a goroutine of its own writes the
// rest. This matters because flush is called by the goroutine that reads the same worker's responses: were it to wait
// for a worker which itself waits for its responses to be read, both would wait for ever.
type sender struct {
	conn  *loop.Socket
	write func(fd int) // bound once: a closure per flush would be an allocation per flush

	mu      sync.Mutex // guards following
	out     []byte     // to be written
	spare   []byte     // the other buffer, empty, reused
	busy    bool       // a flush is under way
	ending  bool       // nothing more will be added
	defined [1 << 16 / 64]uint64

	// Of the flush under way.
	flushing []byte
	wrote    int
	wroteErr error

	waiting sync.WaitGroup // the goroutines that write rests
}

// add appends frame to what is to be written. define is the DEFINE frame of its shape, sent before its first use.
func (s *sender) add(shape uint16, define, frame []byte) {
	s.mu.Lock()
	if bit := uint64(1) << (shape % 64); shape != 0 && s.defined[shape/64]&bit == 0 {
		s.defined[shape/64] |= bit
		s.out = append(s.out, define...)
	}
	s.out = append(s.out, frame...)
	s.mu.Unlock()
}

// flush writes what was added, unless another goroutine is doing so already: then that one writes it.
func (s *sender) flush() {
	s.mu.Lock()
	for !s.busy && len(s.out) > 0 {
		s.busy = true
		buf := s.out
		s.out, s.spare = s.spare[:0], nil
		s.mu.Unlock()

		n, err := s.try(buf)
		if err == nil && n < len(buf) {
			s.waiting.Add(1)
			go s.finish(buf, n)
			return
		}
		s.done(buf)
	}
	if s.ending && !s.busy {
		s.conn.CloseWrite() //nolint:errcheck // already closed is as good
	}
	s.mu.Unlock()
}

// end shuts the socket for writing once everything that was added has been written.
func (s *sender) end() {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	s.flush()
}

// ended says whether the worker was told that no more comes.
func (s *sender) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// done ends a flush; it returns with mu held. Errors need no care here: a broken socket is a dead worker, and that is
// noticed where its end is awaited.
func (s *sender) done(buf []byte) {
	s.mu.Lock()
	s.busy = false
	if cap(buf) <= 1<<20 { // one burst of large bodies should not be kept for ever
		s.spare = buf[:0]
	}
}

func (s *sender) finish(buf []byte, n int) {
	defer s.waiting.Done()
	s.conn.Write(buf[n:]) //nolint:errcheck // see done
	s.done(buf)
	s.mu.Unlock()
	s.flush()
}

// try writes once without waiting and says how much the socket took.
func (s *sender) try(buf []byte) (int, error) {
	s.flushing = buf
	err := s.conn.Try(s.write)
	s.flushing = nil
	if err != nil {
		return 0, err
	}
	if s.wroteErr == syscall.EAGAIN || s.wroteErr == syscall.EINTR {
		return 0, nil
	}
	return max(s.wrote, 0), s.wroteErr
}

func (s *sender) writeNow(fd int) { s.wrote, s.wroteErr = syscall.Write(fd, s.flushing) }
