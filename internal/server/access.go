package server

import (
	"bytes"
	"time"

	"serval/internal/logs"
)

// statusClientGone is what the log says of a request whose client left before its response began; nginx's number.
const statusClientGone = 499

// logAccess writes the access log line of the response that is complete. mu is held.
func (c *conn) logAccess() {
	cfg := c.srv.config()
	if cfg.Access == nil || c.started.IsZero() {
		return
	}
	w, now := c.work, time.Now()
	method, target, _ := bytes.Cut(w.req.Line, []byte(" "))
	a := &w.access // of the work, because whoever takes it is not known here: a new one would be an allocation
	*a = logs.Access{
		Remote: c.remote, Method: method, Target: target, Proto: protocol(c.minor),
		Status: c.status, Bytes: c.sent, End: now, Duration: now.Sub(c.started), Hijacked: c.hijacked,
	}
	if !c.began && !c.hijacked {
		a.Status = statusClientGone
	}
	if cfg.Details {
		a.Details = w.noted.details()
		a.Queue = w.req.Waited(now)
		a.Worker, a.WorkerPID = w.req.Worker()
		a.Aborted = c.short || a.Status == statusClientGone
	}
	cfg.Access(a)
}

// logRefused writes the access log line of a request that was refused. What of it could be read is named.
func (c *conn) logRefused(status int) {
	cfg := c.srv.config()
	if cfg.Access == nil {
		return
	}
	a := logs.Access{Remote: c.remote, Method: []byte("-"), Target: []byte("-"), Proto: protocol(1), Status: status, Bytes: -1, End: time.Now()}
	a.Proxy = -1
	if w := c.work; w != nil {
		if method := w.head.Method.In(w.in); len(method) > 0 {
			a.Method = method
		}
		if target := w.head.Target.In(w.in); len(target) > 0 {
			a.Target = target
		}
	}
	cfg.Access(&a)
}

func protocol(minor int) string {
	if minor == 0 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}
