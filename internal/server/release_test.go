package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serval/internal/dispatch"
	"serval/internal/listener"
)

// moving is a server on a listener and its successor, which accepts from the same one.
type moving struct {
	l        *listener.Listener
	from, to *Server
	requests chan *dispatch.Request // what the first one is asked, if it does not answer at once
}

func move(t *testing.T, url string, cfg Config, answer bool) *moving {
	t.Helper()
	l := listening(t, url)
	m := &moving{l: l, requests: make(chan *dispatch.Request, 100)}
	cfg.Log, cfg.SpoolDir, cfg.KeepAliveTimeout = &testLog{}, t.TempDir(), time.Minute
	first := named("old")
	if !answer {
		first.handle = func(r *dispatch.Request) { m.requests <- r }
	}
	m.from, m.to = New(cfg, first), New(cfg, named("new"))
	m.from.Serve(l)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		m.from.Shutdown(ctx)
		m.to.Shutdown(ctx)
	})
	return m
}

// named is an app that answers with its name, and what it was asked.
func named(name string) *app {
	inner := answering()
	return &app{handle: func(r *dispatch.Request) {
		r.Line = append([]byte(name+" "), r.Line...)
		inner.handle(r)
	}}
}

// take is how a connection comes from one process into another: by a second descriptor.
func (m *moving) take(t Transfer) error {
	f, err := t.Conn.(fileMaker).File()
	if err != nil {
		return err
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return err
	}
	return m.to.Adopt(Transfer{Conn: conn, Input: t.Input, Requests: t.Requests, Remote: t.Remote})
}

// release gives everything to the successor, which accepts from then on.
func (m *moving) release(t *testing.T) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- m.from.Release(t.Context(), m.take) }()
	return ended
}

func (c *client) expect(want string) {
	c.t.Helper()
	if res, body := c.response("GET"); body != want || res.StatusCode != 200 {
		c.t.Errorf("the client got %d %q instead of %q", res.StatusCode, body, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestIdleConnectionsGoToTheSuccessorAndStayOpen(t *testing.T) {
	for _, url := range binds(t) {
		t.Run(url, func(t *testing.T) {
			m := move(t, url, Config{}, true)
			var clients []*client
			for i := range 300 {
				c := dialListener(t, m.l)
				if i%3 > 0 { // the others have not sent anything yet
					c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
					c.expect("old GET /1")
				}
				clients = append(clients, c)
			}
			must(t, <-m.release(t))
			if n := m.from.Connections(); n != 0 {
				t.Errorf("%d connections were left", n)
			}
			m.to.Serve(inherit(t, m.l)) // who has not sent anything may not have been accepted yet
			for _, c := range clients {
				c.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
				c.expect("new GET /2")
			}
		})
	}
}

// Every client must be able to tell: a connection that has carried its last request closes after it.
func TestRequestsAreCountedOn(t *testing.T) {
	m := move(t, "tcp://127.0.0.1:0", Config{MaxRequests: 2}, true)
	c := dialListener(t, m.l)
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.expect("old GET /1")
	must(t, <-m.release(t))
	c.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := c.response("GET"); !res.Close {
		t.Error("after as many requests as a connection may carry it stayed open")
	}
}

func TestAHalfReadHeadTravelsAlong(t *testing.T) {
	for _, url := range binds(t) {
		t.Run(url, func(t *testing.T) {
			m := move(t, url, Config{}, true)
			const request = "POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
			var clients []*client
			for at := 1; at < len("POST /half HTTP/1.1\r\nHost: a\r\n"); at++ {
				c := dialListener(t, m.l)
				c.send(request[:at])
				clients = append(clients, c)
			}
			eventually(t, "all has been read", func() bool {
				reading := 0
				for _, c := range m.from.connected() {
					if c.phase() == header {
						reading++
					}
				}
				return reading == len(clients)
			})
			must(t, <-m.release(t))
			for i, c := range clients {
				c.send(request[i+1:])
				c.expect("body")
			}
		})
	}
}

func TestBusyConnectionsGoAfterTheirResponse(t *testing.T) {
	m := move(t, "tcp://127.0.0.1:0", Config{}, false)
	c := dialListener(t, m.l)
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-m.requests
	ended := m.release(t)
	select {
	case err := <-ended:
		t.Fatalf("the release ended with %v while a request ran", err)
	case <-time.After(50 * time.Millisecond):
	}
	r.Responder.Whole(200, nil, []byte("whole"))
	c.expect("whole")
	must(t, <-ended)
	c.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.expect("new GET /2")
}

func TestPipelinedRequestsGoAlong(t *testing.T) {
	m := move(t, "tcp://127.0.0.1:0", Config{}, false)
	c := dialListener(t, m.l)
	var all strings.Builder
	for i := range 50 {
		fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
	}
	c.send(all.String())
	r := <-m.requests
	ended := m.release(t)
	eventually(t, "the server gives away", func() bool { return m.from.releasing.Load() != nil })
	r.Responder.Whole(200, nil, []byte("first"))
	c.expect("first")
	must(t, <-ended)
	for i := 1; i < 50; i++ {
		c.expect(fmt.Sprintf("new GET /%d", i))
	}
}

func TestUploadsUnderWayEndWhereTheyBegan(t *testing.T) {
	m := move(t, "tcp://127.0.0.1:0", Config{}, true)
	c := dialListener(t, m.l)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	eventually(t, "the body is being read", func() bool {
		all := m.from.connected()
		return len(all) == 1 && all[0].phase() == receiving
	})
	ended := m.release(t)
	eventually(t, "the server gives away", func() bool { return m.from.releasing.Load() != nil })
	c.send("3\r\ndef\r\n")
	time.Sleep(20 * time.Millisecond) // so that the first server has something to read, and more to come
	c.send("0\r\n\r\n")
	c.expect("abcdef")
	must(t, <-ended)
	c.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.expect("new GET /2")
}

// When the successor cannot be reached any more, nothing has happened.
func TestAReleaseThatFailsChangesNothing(t *testing.T) {
	for _, url := range binds(t) {
		t.Run(url, func(t *testing.T) {
			m := move(t, url, Config{}, true)
			var clients []*client
			for range 50 {
				c := dialListener(t, m.l)
				c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
				c.expect("old GET /1")
				clients = append(clients, c)
			}
			broken := errors.New("broken pipe")
			if err := m.from.Release(t.Context(), func(Transfer) error { return broken }); err != broken {
				t.Errorf("the release ended with %v", err)
			}
			for _, c := range append(clients, dialListener(t, m.l)) {
				c.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
				c.expect("old GET /2")
			}
			must(t, <-m.release(t)) // and the next one works
			for _, c := range clients {
				c.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
				c.expect("new GET /3")
			}
		})
	}
}

func TestAReleaseThatRunsOutOfTimeLeavesTheRest(t *testing.T) {
	m := move(t, "tcp://127.0.0.1:0", Config{}, false)
	c, idle := dialListener(t, m.l), dialListener(t, m.l)
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-m.requests
	eventually(t, "both are connected", func() bool { return m.from.Connections() == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.from.Release(ctx, m.take); err != context.DeadlineExceeded {
		t.Errorf("the release ended with %v", err)
	}
	idle.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	idle.expect("new GET /2")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.from.Shutdown(context.Background())
	}()
	eventually(t, "the server stops", m.from.draining.Load)
	r.Responder.Whole(200, nil, []byte("whole"))
	c.expect("whole")
	<-ended
}

// Many clients, all the time, from server to server and back: nobody may notice.
func TestClientsDoNotNoticeThatTheyMove(t *testing.T) {
	for _, url := range binds(t) {
		t.Run(url, func(t *testing.T) {
			l := listening(t, url)
			const servers = 6
			current := New(Config{Log: &testLog{}, KeepAliveTimeout: time.Minute}, answering())
			current.Serve(l)
			ctx, cancel := context.WithCancel(t.Context())
			var clients sync.WaitGroup
			var served atomic.Int64
			for i := range 40 {
				clients.Go(func() {
					c := dialListener(t, l)
					for n := 0; ctx.Err() == nil; n++ {
						if i%2 == 0 {
							c.Close()
							c = dialListener(t, l)
						}
						if !converse(c, i, n) {
							return
						}
						served.Add(1)
					}
				})
			}
			for range servers {
				before := served.Load()
				eventually(t, "requests are served", func() bool { return served.Load() > before+100 })
				inherited := inherit(t, l)
				next := New(Config{Log: &testLog{}, KeepAliveTimeout: time.Minute}, answering())
				next.Serve(inherited)
				m := &moving{to: next}
				must(t, current.Release(t.Context(), m.take))
				current.Shutdown(t.Context())
				current = next
			}
			cancel()
			clients.Wait()
			short, stop := context.WithTimeout(context.Background(), 5*time.Second)
			defer stop()
			current.Shutdown(short)
		})
	}
}

// converse sends a request, or three at once, in two pieces, and reports whether all was as it should be.
func converse(c *client, i, n int) bool {
	times := 1 + 2*(n%2)
	text := strings.Repeat(fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n%3d-%3d", i, i, n%1000), times)
	for _, piece := range []string{text[:n%len(text)], text[n%len(text):]} {
		if _, err := c.Conn.Write([]byte(piece)); err != nil {
			c.t.Errorf("client %d cannot send request %d: %v", i, n, err)
			return false
		}
	}
	for range times {
		res, err := http.ReadResponse(c.Reader, nil)
		if err != nil {
			c.t.Errorf("client %d got no response to request %d: %v", i, n, err)
			return false
		}
		body := make([]byte, 7)
		if _, err := res.Body.Read(body); string(body) != fmt.Sprintf("%3d-%3d", i, n%1000) {
			c.t.Errorf("client %d got %q, %v for request %d", i, body, err, n)
			return false
		}
		res.Body.Close()
	}
	return true
}

type fileMaker interface{ File() (*os.File, error) }

// inherit is a second listener on the same socket, as another process would have it.
func inherit(t *testing.T, l *listener.Listener) *listener.Listener {
	t.Helper()
	fd, err := l.Duplicate()
	must(t, err)
	defer syscall.Close(fd)
	other, err := listener.Inherit(l.Pass(), fd)
	must(t, err)
	t.Cleanup(func() { other.Close() })
	return other
}
