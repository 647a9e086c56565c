package server

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// write sends bytes, in order. What the socket does not take at once is kept, and a goroutine writes it as the client
// reads: the caller, who reads a worker's answers, never waits for a client. mu is held.
func (c *conn) write(a, b []byte) {
	if c.broken || len(a)+len(b) == 0 {
		return
	}
	if !c.draining {
		n, err := c.try(a, b)
		if err != nil {
			c.breakOff()
			return
		}
		if n >= len(a) {
			b = b[n-len(a):]
			a = nil
		} else {
			a = a[n:]
		}
		if len(a)+len(b) == 0 {
			return
		}
	}
	for _, data := range [][]byte{a, b} {
		if len(data) == 0 {
			continue
		}
		if err := c.backlog.add(data, c.srv.cfg.SpoolDir); err != nil {
			// Bounded: what comes without asking is at most a frame of the worker's (docs/reference/wire.md).
			c.backlog.keep(data)
		}
	}
	c.startDraining()
}

// try writes once, without waiting.
func (c *conn) try(a, b []byte) (int, error) {
	c.outA, c.outB = a, b
	err := c.raw.Write(c.writeFn)
	c.outA, c.outB = nil, nil
	if err != nil {
		return 0, err
	}
	if c.wroteErr == syscall.EAGAIN {
		return 0, nil
	}
	return max(c.wrote, 0), c.wroteErr
}

// writeReady is called by the runtime's poller; it always says that it is done, since nobody here may wait.
func (c *conn) writeReady(fd uintptr) bool {
	for {
		if len(c.outB) == 0 {
			c.wrote, c.wroteErr = syscall.Write(int(fd), c.outA)
		} else {
			c.wrote, c.wroteErr = writev(int(fd), c.outA, c.outB)
		}
		if c.wroteErr != syscall.EINTR {
			return true
		}
	}
}

func (c *conn) startDraining() {
	if c.draining || c.broken {
		return
	}
	c.draining = true
	c.wroteAt.Store(c.srv.now.Load())
	c.srv.running.Go(c.drain)
}

// drain writes the backlog as the client takes it.
func (c *conn) drain() {
	for {
		c.mu.Lock()
		data, err := c.backlog.next()
		if err == nil && data == nil && c.backlog.file == nil || c.broken {
			c.drained()
			c.mu.Unlock()
			return
		}
		file := c.backlog.file
		c.mu.Unlock()
		if err == nil {
			if data != nil {
				_, err = c.nc.Write(data)
			} else {
				err = c.sendFile(file)
			}
		}
		c.wroteAt.Store(c.srv.now.Load())
		if err != nil {
			c.mu.Lock()
			c.breakOff()
			c.mu.Unlock()
		}
	}
}

// drained ends draining. mu is held.
func (c *conn) drained() {
	c.draining = false
	c.wroteAt.Store(0)
	c.backlog.discard()
	c.wakeRoom()
	if c.finished && c.source == nil {
		c.complete()
	}
}

// filePiece is how much of a file is sent between two looks at the clock.
const filePiece = 1 << 20

// sendFile sends the next piece of the app's file, by sendfile(2) where the connection is TCP.
func (c *conn) sendFile(f *os.File) error {
	c.mu.Lock()
	at, left := c.backlog.fileAt, c.backlog.fileLeft
	c.mu.Unlock()
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(c.nc, io.LimitReader(f, min(left, filePiece)))
	if err == nil && n < min(left, filePiece) {
		err = errors.New("the file became shorter while it was sent")
		c.srv.cfg.Log.Error("%s: %v; the connection was cut", c.work.req.Line, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backlog.fileAt += n
	c.backlog.fileLeft -= n
	if c.backlog.fileLeft == 0 && c.backlog.file != nil {
		c.backlog.file.Close()
		c.backlog.file = nil
	}
	return err
}
