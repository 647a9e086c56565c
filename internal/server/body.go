package server

import (
	"errors"
	"fmt"
	"os"
	"time"

	"serval/internal/http1"
	"serval/internal/logs"
	"serval/internal/wire"
)

// errSpool is the reason to refuse a request whose body could not be kept.
var errSpool = errors.New("the request body could not be written to disk")

var continueLine = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// body gathers a request's body: in memory while it fits into a frame, in a nameless file after that. The app gets it
// when it is complete, so that a slow sender never holds a Ruby thread.
type body struct {
	memory []byte
	file   *os.File
	size   int64
}

func (b *body) add(data []byte, dir string) error {
	b.size += int64(len(data))
	if b.file == nil && len(b.memory)+len(data) <= wire.InlineBody {
		b.memory = append(b.memory, data...)
		return nil
	}
	if b.file == nil {
		f, err := spoolFile(dir)
		if err != nil {
			return fmt.Errorf("%w: %w", errSpool, err)
		}
		b.file = f
		if _, err := f.Write(b.memory); err != nil {
			return fmt.Errorf("%w: %w", errSpool, err)
		}
		b.memory = b.memory[:0]
	}
	if _, err := b.file.Write(data); err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	return nil
}

func (b *body) reset() {
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
	b.memory, b.size = b.memory[:0], 0
}

// readBody reads the body of the request whose head stands at the start of the input, and leaves the input with what
// comes after it. It reports false when the connection is of no use any more; the client has its answer then.
func (c *conn) readBody() bool {
	w := c.work
	h := &w.head
	w.meta.bodySize, w.meta.bodyWait = -1, 0
	w.meta.file, w.meta.body = false, nil
	w.bodyStart = h.Size
	if !h.Chunked && h.ContentLength < 0 {
		return true
	}
	began := time.Now()
	c.enterBody()
	if h.ExpectContinue && h.Minor == 1 && h.HasBody() && len(w.in) == h.Size {
		c.writeNow(continueLine)
	}
	var err error
	if h.Chunked {
		err = c.readChunked()
	} else {
		err = c.readCounted(h.ContentLength)
	}
	if err != nil {
		c.bodyFailed(err)
		return false
	}
	w.meta.bodySize, w.meta.bodyWait = w.body.size, time.Since(began)
	if w.body.file != nil {
		if _, err := w.body.file.Seek(0, 0); err != nil {
			c.bodyFailed(fmt.Errorf("%w: %w", errSpool, err))
			return false
		}
		w.meta.file = true
	} else {
		w.meta.body = w.body.memory
	}
	return true
}

func (c *conn) readCounted(length int64) error {
	w := c.work
	for {
		have := w.in[w.bodyStart:]
		if int64(len(have)) > length-w.body.size {
			have = have[:length-w.body.size]
		}
		if err := w.body.add(have, c.srv.config().SpoolDir); err != nil {
			return err
		}
		w.dropBody(len(have))
		if w.body.size == length {
			return nil
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

func (c *conn) readChunked() error {
	w := c.work
	w.chunked.Reset()
	for {
		out, used, done, err := w.chunked.Decode(w.piece[:0], w.in[w.bodyStart:], &c.srv.config().Limits)
		w.piece = out
		if err != nil {
			return err
		}
		if err := w.body.add(out, c.srv.config().SpoolDir); err != nil {
			return err
		}
		w.dropBody(used)
		if done {
			return nil
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// dropBody removes the first n bytes of what follows the head in the input. The head stays: it is still to be encoded.
func (w *work) dropBody(n int) {
	if n == 0 {
		return
	}
	rest := copy(w.in[w.bodyStart:], w.in[w.bodyStart+n:])
	w.in = w.in[:w.bodyStart+rest]
}

// bodyFailed answers for a body that did not arrive.
func (c *conn) bodyFailed(err error) {
	c.work.body.reset()
	var refused *http1.Error
	switch {
	case errors.As(err, &refused):
		c.refuse(refused.Status, refused.Reason)
	case errors.Is(err, errSpool):
		c.srv.config().Log.Error("%v; the client got 503", err, logs.Named("body_not_spooled"))
		c.refuse(503, "")
	case c.late():
		c.refuse(408, "the request body did not arrive in time")
	}
}
