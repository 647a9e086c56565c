package server

import (
	"io"
	"net"
	"os"
)

func (c *conn) Stream(rest *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.going() || c.broken || c.source != nil {
		rest.Close()
		return
	}
	c.startCopying(rest, rest)
}

// startCopying passes the rest of a body on, which is read from source by way of body. mu is held.
func (c *conn) startCopying(source *os.File, body io.Reader) {
	c.source = source
	c.srv.running.Go(func() {
		defer source.Close()
		c.copyStream(body)
	})
}

// copyStream passes the rest of a body on, to its end. It reads no further while more than the spool's limit waits for the
// client, or while there is no disk to spool on: that is what makes the app wait.
func (c *conn) copyStream(rest io.Reader) {
	buf := make([]byte, 64<<10)
	var failed error
	for {
		n, err := rest.Read(buf)
		if n > 0 && !c.pass(buf[:n]) {
			failed = net.ErrClosed
			break
		}
		if err != nil {
			if err != io.EOF {
				failed = err
			}
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = nil
	switch {
	case c.finished:
		if !c.draining {
			c.complete()
		}
	case c.ended || failed != nil:
		c.finish(failed == nil && c.endedOK)
	}
}

// pass writes a piece of a streamed body, waiting as long as it must.
func (c *conn) pass(data []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.backlog.full(c.srv.config().SpoolLimit) && c.going() && !c.broken {
		c.awaitRoom()
	}
	if !c.going() || c.broken {
		return false
	}
	c.writeBody(data)
	return !c.broken
}

// awaitRoom waits until the backlog is empty or the connection broken. mu is held, and let go meanwhile.
func (c *conn) awaitRoom() {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	room := c.room
	c.mu.Unlock()
	<-room
	c.mu.Lock()
}

func (c *conn) wakeRoom() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}
