package server

import (
	"bytes"
	"time"

	"serval/internal/http1"
	"serval/internal/logs"
)

// logAccess writes the access log line of the response that is complete. mu is held.
func (c *conn) logAccess() {
	if c.srv.config().Access == nil {
		return
	}
	method, target, _ := bytes.Cut(c.work.req.Line, []byte(" "))
	status := c.status
	if !c.began {
		status = statusClientGone
	}
	now := time.Now()
	c.srv.config().Access(&logs.Access{
		Remote: string(c.remote), Method: method, Target: target, Proto: protocol(c.minor),
		Status: status, Bytes: c.sent, End: now, Duration: now.Sub(c.started),
	})
}

// statusClientGone is what the log says of a request whose client left before its response began; nginx's number.
const statusClientGone = 499

// logRefused writes the access log line of a request that was refused. What of it could be read is named.
func (c *conn) logRefused(status int) {
	if c.srv.config().Access == nil {
		return
	}
	a := logs.Access{Remote: string(c.remote), Method: []byte("-"), Target: []byte("-"), Proto: protocol(1), Status: status, Bytes: -1, End: time.Now()}
	if w := c.work; w != nil {
		var line http1.Request
		line = w.head
		if method := line.Method.In(w.in); len(method) > 0 {
			a.Method = method
		}
		if target := line.Target.In(w.in); len(target) > 0 {
			a.Target = target
		}
	}
	c.srv.config().Access(&a)
}

func protocol(minor int) string {
	if minor == 0 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}
