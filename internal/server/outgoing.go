package server

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"serval/internal/logs"
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
			if c.tunnel != nil && c.tunnel.waiting() > 0 {
				c.startDraining()
			}
			return
		}
	}
	for _, data := range [][]byte{a, b} {
		if len(data) == 0 {
			continue
		}
		if err := c.backlog.add(data, c.srv.config().SpoolDir); err != nil {
			c.srv.warnOnce("response_not_spooled", "a response for a slow reader cannot be kept on disk: %v; it is kept in memory, and the app waits where it can; this is said once", err)
		}
	}
	c.startDraining()
}

// try writes once, without waiting.
func (c *conn) try(a, b []byte) (int, error) {
	if c.tunnel != nil {
		return c.trySealed(a, b)
	}
	return c.tryRaw(a, b)
}

func (c *conn) tryRaw(a, b []byte) (int, error) {
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
		switch {
		case len(c.outB) > 0:
			c.wrote, c.wroteErr = writev(int(fd), c.outA, c.outB)
		case c.last:
			c.wrote, c.wroteErr = writeLast(int(fd), c.outA)
		default:
			c.wrote, c.wroteErr = syscall.Write(int(fd), c.outA)
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
	c.hear()
	c.tookAt.Store(c.srv.now.Load())
	c.srv.running.Go(c.drain)
}

// drain writes the backlog as the client takes it.
func (c *conn) drain() {
	for {
		c.mu.Lock()
		data, err := c.backlog.next()
		file, at, left := c.backlog.file, c.backlog.fileAt, c.backlog.fileLeft
		sealed := c.tunnel != nil && c.tunnel.waiting() > 0
		if c.broken || err == nil && data == nil && file == nil && !sealed {
			c.drained()
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		switch {
		case err != nil:
			c.srv.config().Log.Error("cannot read back a response that waits for a slow reader: %v; the connection was cut", err, logs.Named("response_cut"))
		case data != nil || file == nil:
			err = c.push(data)
		default:
			err = c.sendFile(file, at, left)
		}
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
	c.tookAt.Store(0)
	c.backlog.discard()
	c.wakeRoom()
	if c.finished && c.source == nil {
		c.complete()
	}
}

// push writes all of data, as the client takes it.
func (c *conn) push(data []byte) error {
	if c.tunnel != nil {
		return c.pushSealed(data)
	}
	return c.pushRaw(data)
}

func (c *conn) pushRaw(data []byte) error {
	for len(data) > 0 {
		n, err := c.offer(func(fd int) (int, error) { return syscall.Write(fd, data) })
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// sendFile sends the next piece of the app's file.
func (c *conn) sendFile(f *os.File, at, left int64) error {
	send := c.sendFileRaw
	if c.tunnel != nil {
		send = c.sendFileSealed
	}
	n, err := send(f, at, left)
	if err == nil && n == 0 {
		err = errors.New("the file became shorter while it was sent")
		c.srv.config().Log.Error("%s: %v; the connection was cut", c.work.req.Line, err, logs.Named("response_cut"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backlog.sent(int64(n))
	return err
}

// sendFileRaw does it by sendfile(2).
func (c *conn) sendFileRaw(f *os.File, at, left int64) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	return c.offer(func(fd int) (n int, err error) {
		// Inside Control the file cannot be closed by another goroutine, so its number cannot come to mean another file.
		controlErr := raw.Control(func(from uintptr) {
			offset := at
			n, err = syscall.Sendfile(fd, int(from), &offset, int(min(left, 1<<30)))
		})
		if controlErr != nil {
			return 0, controlErr
		}
		return n, err
	})
}

// offer waits until the client takes something, which write then writes.
func (c *conn) offer(write func(fd int) (int, error)) (n int, err error) {
	closed := c.raw.Write(func(fd uintptr) bool {
		for {
			if n, err = write(int(fd)); err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	})
	if closed != nil {
		return 0, closed
	}
	if err != nil {
		return 0, err
	}
	c.given.Add(int64(n))
	return n, nil
}

// taken is how much of what was offered has left the socket's buffer as well, from an arbitrary start. That buffer may
// hold megabytes: by what can be written to it, a slow client seems to stand still for minutes.
func (c *conn) taken() int64 {
	var inBuffer int
	c.raw.Control(func(fd uintptr) { //nolint:errcheck // a closed connection is looked at no more
		inBuffer, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	})
	return c.given.Load() - int64(inBuffer)
}
