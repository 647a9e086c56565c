package server

import (
	"io"
	"os"
	"strconv"
	"time"

	"serval/internal/dispatch"
	"serval/internal/http1"
)

// Whole is part of dispatch.Responder, as are the exported methods after it and Stream.
func (c *conn) Whole(status int, block, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		return
	}
	c.writeHead(status, block, body, int64(len(body)))
	c.finish(true)
}

func (c *conn) Head(status int, block, first []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open() {
		c.streaming = true
		c.hear()
		c.writeHead(status, block, first, -1)
	}
}

func (c *conn) Chunk(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.going() && !c.broken {
		c.writeBody(data)
	}
}

// lastWords is how long a stream that broke off is read.
const lastWords = time.Second

func (c *conn) End(ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.going() {
		return
	}
	if c.source != nil {
		c.ended, c.endedOK = true, ok
		if !ok {
			// What is there is still read, but its end is not awaited: processes that the app forked may hold the other side.
			c.source.SetReadDeadline(time.Now().Add(lastWords)) //nolint:errcheck // a file ends by itself
		}
		return
	}
	c.finish(ok)
}

func (c *conn) File(status int, block []byte, f *os.File, offset, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		f.Close()
		return
	}
	c.writeHead(status, block, nil, size)
	switch {
	case c.framing.AppChunked && !c.framing.NoBody && !c.broken:
		c.ended, c.endedOK = true, true
		c.startCopying(f, io.NewSectionReader(f, offset, size))
		return
	case c.framing.NoBody || size == 0 || c.broken:
		f.Close()
	default:
		c.sent += size
		c.backlog.addFile(f, offset, size)
		c.startDraining()
	}
	c.left = -1
	c.finish(true)
}

func (c *conn) Hints(block []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() || c.minor == 0 { // HTTP/1.0 knows no 1xx (RFC 9110 §15.2)
		return
	}
	if hints := http1.AppendHints(c.work.out[:0], block); len(hints) > 0 {
		c.write(hints, nil)
	}
}

func (c *conn) Hijack(give dispatch.Give) {
	c.mu.Lock()
	if !c.open() {
		c.mu.Unlock()
		give(nil, nil)
		return
	}
	c.giveAway(give)
	c.mu.Unlock()
}

func (c *conn) HijackHead(status int, block, first []byte, give dispatch.Give) {
	c.mu.Lock()
	if !c.open() {
		c.mu.Unlock()
		give(nil, nil)
		return
	}
	w := c.work
	head := http1.Head{Status: status, Block: block, Minor: c.minor, Close: true, BodySize: -1, Raw: true, Date: *c.srv.date.Load(), RequestID: w.meta.id}
	w.out, c.framing = http1.AppendHead(w.out[:0], &head)
	c.began, c.status = true, status
	w.noted.answer(head.RequestID)
	w.out = append(w.out, first...)
	c.write(w.out, nil)
	c.giveAway(give)
	c.mu.Unlock()
}

// giveAway ends the response and has the connection's goroutine hand the socket over, once everything has been written.
// mu is held.
func (c *conn) giveAway(give dispatch.Give) {
	c.give = give
	c.hijacked = true
	c.finished = true
	if !c.draining {
		c.complete()
	}
}

func (c *conn) Fail(status int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		return
	}
	c.srv.complain("request_"+strconv.Itoa(status), "%s got %d: %s", c.work.req.Line, status, reason)
	block := "Content-Type\x00text/plain; charset=utf-8\x00Cache-Control\x00no-store\x00"
	if status == 503 {
		block += "Retry-After\x001\x00"
	}
	text := http1.StatusText(status) + "\n"
	c.writeHead(status, []byte(block), []byte(text), int64(len(text)))
	c.finish(true)
}
