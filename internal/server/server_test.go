package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"serval/internal/dispatch"
	"serval/internal/http1"
	"serval/internal/logs"
	"serval/internal/wire"
)

// app is a dispatcher that answers requests by a function, in the goroutine that dispatches them. What the pool and
// real workers do is tested where they are; here it is the front that is asked.
type app struct {
	mu        sync.Mutex
	handle    func(*dispatch.Request)
	cancelled int
	waiting   []*dispatch.Request
}

func (a *app) Dispatch(r *dispatch.Request) { a.handle(r) }

func (a *app) Withdraw(r *dispatch.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, waits := range a.waiting {
		if waits == r {
			a.waiting = append(a.waiting[:i], a.waiting[i+1:]...)
			a.cancelled++
			return true
		}
	}
	return false
}

func (a *app) Cancel(r *dispatch.Request) {
	if !a.Withdraw(r) {
		a.mu.Lock()
		a.cancelled++
		a.mu.Unlock()
	}
}

func (a *app) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cancelled
}

// answering returns an app whose response is the request's body, or its request line when it has none.
func answering() *app {
	return &app{handle: func(r *dispatch.Request) {
		body := []byte(r.Line)
		if r.Body != nil {
			body, _ = io.ReadAll(r.Body)
		} else if f := frame(r); len(f.Body) > 0 {
			body = f.Body
		}
		r.Responder.Whole(200, []byte("content-type\x00text/plain\x00"), body)
	}}
}

func frame(r *dispatch.Request) (f wire.Frame) {
	if err := wire.Decode(r.Frame, &f); err != nil {
		panic(err)
	}
	return f
}

// testLog collects what is logged.
type testLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *testLog) Warn(format string, args ...any)  { l.add(format, args) }
func (l *testLog) Error(format string, args ...any) { l.add(format, args) }

func (l *testLog) add(format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, logs.Text(format, args...))
}

func (l *testLog) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.lines, "\n"), text)
}

// serving starts a server on a free port and stops it when the test ends.
func serving(t testing.TB, cfg Config, d Dispatcher) (s *Server, addr string, log *testLog) {
	t.Helper()
	log = &testLog{}
	cfg.Log = log
	if cfg.SpoolDir == "" {
		cfg.SpoolDir = t.TempDir()
	}
	if cfg.KeepAliveTimeout == 0 {
		cfg.KeepAliveTimeout = time.Minute
	}
	l, addr := listen(t)
	s = New(cfg, d)
	s.Serve(l)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		l.Close()
	})
	return s, addr, log
}

func listen(t testing.TB) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if inTunnel {
		return secureListener{l.(*net.TCPListener), testTLS()}, l.Addr().String()
	}
	return l, l.Addr().String()
}

// client is a connection on which a test says exactly what it wants.
type client struct {
	t testing.TB
	net.Conn
	*bufio.Reader
}

func dial(t testing.TB, addr string) *client { return dialNetwork(t, "tcp", addr) }

func dialNetwork(t testing.TB, network, addr string) *client {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if network == "tcp" {
		conn = tunneled(t, conn)
	}
	return &client{t, conn, bufio.NewReader(conn)}
}

// socket is the client's TCP socket.
func (c *client) socket() *net.TCPConn { return tcp(c.Conn) }

func (c *client) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// response reads one response whole.
func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("the response broke off after %q: %v", body, err)
	}
	return res, string(body)
}

// closed waits for the server to close.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.Reader); err != nil || len(rest) > 0 {
		c.t.Errorf("instead of the end came %q, %v", rest, err)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for wait, deadline := time.Millisecond, time.Now().Add(20*time.Second); !holds(); wait *= 2 {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("it did not come about that %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(min(wait, 100*time.Millisecond))
	}
}

func TestAConnectionServesOneRequestAfterTheOther(t *testing.T) {
	_, addr, _ := serving(t, Config{}, answering())
	c := dial(t, addr)
	for i := range 3 {
		c.send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i))
		res, body := c.response("GET")
		if want := fmt.Sprintf("GET /%d", i); body != want || res.StatusCode != 200 || res.Close {
			t.Fatalf("request %d got %d %q, close %v", i, res.StatusCode, body, res.Close)
		}
		if res.Header.Get("Date") == "" {
			t.Error("a response has no Date")
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	// Answers come late and from other goroutines, the first one last.
	a := &app{}
	a.handle = func(r *dispatch.Request) {
		line := string(r.Line)
		go func() {
			time.Sleep(time.Millisecond)
			r.Responder.Whole(200, nil, []byte(line))
		}()
	}
	_, addr, _ := serving(t, Config{}, a)
	c := dial(t, addr)
	var all strings.Builder
	for i := range 50 {
		fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}
	c.send(all.String())
	for i := range 50 {
		if _, body := c.response("GET"); body != fmt.Sprintf("GET /%d", i) {
			t.Fatalf("response %d is %q", i, body)
		}
	}
}

func TestBytesMaySplitAnywhere(t *testing.T) {
	_, addr, _ := serving(t, Config{}, answering())
	stream := "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" +
		"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n" +
		"GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	want := []string{"hello", "abc0123456789", "GET /c"}
	for at := range len(stream) {
		c := dial(t, addr)
		c.send(stream[:at])
		time.Sleep(200 * time.Microsecond) // so that it mostly arrives in two pieces
		c.send(stream[at:])
		for i := range want {
			if _, body := c.response("GET"); body != want[i] {
				t.Fatalf("split at %d, response %d is %q instead of %q", at, i, body, want[i])
			}
		}
		c.closed()
		c.Close()
	}
}

func TestRefusalsHaveAStatusAndClose(t *testing.T) {
	a := answering()
	var dispatched int
	inner := a.handle
	a.handle = func(r *dispatch.Request) { dispatched++; inner(r) }
	_, addr, _ := serving(t, Config{Limits: http1.Limits{BodyBytes: 10, HeaderBytes: 1000, TargetBytes: 100}}, a)
	for text, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
		"GET / HTTP/1.1\r\n\r\n":                       400,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n":                         400,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n":                                       413,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n":                         413,
		"GET /" + strings.Repeat("a", 200) + " HTTP/1.1\r\n":                                             414,
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("b", 2000):                                   431,
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n":                                               417,
		"BREW / HTTP/1.1\r\nHost: a\r\n\r\n":                                                             501,
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                                              505,
	} {
		c := dial(t, addr)
		c.send(text)
		res, _ := c.response("GET")
		if res.StatusCode != want || !res.Close {
			t.Errorf("%.60q got %d, close %v; want %d and close", text, res.StatusCode, res.Close, want)
		}
		c.closed()
	}
	if dispatched != 0 {
		t.Errorf("%d of the refused requests reached the app", dispatched)
	}
}

func TestContinueIsSaidBeforeTheBodyIsAwaited(t *testing.T) {
	_, addr, _ := serving(t, Config{}, answering())
	c := dial(t, addr)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if line, err := c.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("instead of 100 came %q, %v", line, err)
	}
	c.ReadString('\n')
	c.send("ok")
	if _, body := c.response("POST"); body != "ok" {
		t.Errorf("the body came back as %q", body)
	}
}

func TestALargeBodyTravelsAsAFile(t *testing.T) {
	files := make(chan bool, 2)
	a := &app{handle: func(r *dispatch.Request) {
		files <- r.Body != nil
		n := int64(len(frame(r).Body))
		if r.Body != nil {
			n, _ = io.Copy(io.Discard, r.Body)
		}
		r.Responder.Whole(200, nil, fmt.Append(nil, n))
	}}
	_, addr, _ := serving(t, Config{}, a)
	c := dial(t, addr)
	for _, size := range []int{wire.InlineBody, wire.InlineBody + 1} {
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)))
		if _, body := c.response("POST"); body != fmt.Sprint(size) {
			t.Errorf("of %d bytes, the app got %s", size, body)
		}
		if file := <-files; file != (size > wire.InlineBody) {
			t.Errorf("%d bytes came as a file: %v", size, file)
		}
	}
}

func TestAHeadThatFillsTheBufferLeavesRoomForTheBody(t *testing.T) {
	room := make(chan int, 1)
	a := &app{handle: func(r *dispatch.Request) {
		w := r.Responder.(*conn).work
		room <- cap(w.in) - w.head.Size
		r.Responder.Whole(200, nil, nil)
	}}
	_, addr, _ := serving(t, Config{}, a)
	c := dial(t, addr)
	const body = 100_000
	head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nCookie: %%s\r\n\r\n", body)
	c.send(fmt.Sprintf(head, strings.Repeat("c", 4090-len(head))))
	time.Sleep(5 * time.Millisecond) // so that the head comes alone
	c.send(strings.Repeat("x", body))
	c.response("POST")
	if room := <-room; room < leastRead {
		t.Errorf("the body was read %d bytes at a time", room)
	}
}

func TestABodyThatCannotBeKeptIsRefused(t *testing.T) {
	_, addr, log := serving(t, Config{SpoolDir: "/proc/self"}, answering())
	c := dial(t, addr)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000))
	if res, _ := c.response("POST"); res.StatusCode != 503 {
		t.Errorf("the client got %d", res.StatusCode)
	}
	if !log.has("could not be written to disk") || !log.has("--spool-dir") {
		t.Errorf("the operator reads %q", log.lines)
	}
}

func TestAQueuedRequestIsWithdrawnWhenItsClientLeaves(t *testing.T) {
	a := &app{}
	a.handle = func(r *dispatch.Request) {
		a.mu.Lock()
		a.waiting = append(a.waiting, r)
		a.mu.Unlock()
	}
	s, addr, _ := serving(t, Config{}, a)
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "the request waits", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.waiting) == 1 })
	c.Close()
	eventually(t, "it is withdrawn", func() bool { return a.count() > 0 })
	eventually(t, "the connection is forgotten", func() bool { return s.Connections() == 0 })
}

func TestAClientThatOnlyClosedItsSendingSideGetsItsAnswer(t *testing.T) {
	requests := make(chan *dispatch.Request, 1)
	_, addr, _ := serving(t, Config{}, &app{handle: func(r *dispatch.Request) { requests <- r }})
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.socket().CloseWrite()
	r := <-requests
	time.Sleep(20 * time.Millisecond) // the end of file is noticed first
	r.Responder.Whole(200, nil, []byte("here"))
	if _, body := c.response("GET"); body != "here" {
		t.Errorf("it got %q", body)
	}
}

// A slow reader must not hold whoever brings the response: that is the goroutine which reads all answers of a worker.
func TestASlowReaderHoldsNobody(t *testing.T) {
	const size = 20 << 20
	requests := make(chan *dispatch.Request, 1)
	_, addr, _ := serving(t, Config{}, &app{handle: func(r *dispatch.Request) { requests <- r }})
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-requests
	r.Responder.Head(200, fmt.Appendf(nil, "content-length\x00%d\x00", size), nil)
	piece := make([]byte, 256<<10)
	for sent := 0; sent < size; sent += len(piece) {
		for i := range piece {
			piece[i] = byte((sent + i) / 1000)
		}
		r.Responder.Chunk(piece)
	}
	r.Responder.End(true) // all of it was taken, though the client has read nothing
	_, body := c.response("GET")
	if len(body) != size {
		t.Fatalf("of %d bytes, %d arrived", size, len(body))
	}
	for i := range body {
		if body[i] != byte(i/1000) {
			t.Fatalf("byte %d is wrong", i)
		}
	}
}

func TestAStreamMakesTheAppWaitPastTheSpoolLimit(t *testing.T) {
	requests := make(chan *dispatch.Request, 1)
	_, addr, _ := serving(t, Config{SpoolLimit: 1 << 20}, &app{handle: func(r *dispatch.Request) { requests <- r }})
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-requests
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Responder.Head(200, nil, nil)
	r.Responder.Stream(theirs)
	const size = 32 << 20
	var wrote int
	done := make(chan struct{})
	go func() {
		defer close(done)
		piece := make([]byte, 64<<10)
		for wrote < size {
			n, err := ours.Write(piece)
			wrote += n
			if err != nil {
				return
			}
		}
		ours.Close()
		r.Responder.End(true)
	}()
	select {
	case <-done:
		t.Fatal("the app could write all of it, though nobody read")
	case <-time.After(300 * time.Millisecond):
	}
	_, body := c.response("GET")
	if <-done; len(body) != size {
		t.Errorf("of %d bytes, %d arrived", size, len(body))
	}
}

func TestAStreamStopsWhenItsClientLeaves(t *testing.T) {
	requests := make(chan *dispatch.Request, 1)
	a := &app{handle: func(r *dispatch.Request) { requests <- r }}
	s, addr, _ := serving(t, Config{}, a)
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-requests
	r.Responder.Head(200, nil, []byte("first"))
	c.Close()
	eventually(t, "the app is told", func() bool { return a.count() > 0 })
	eventually(t, "the connection is forgotten", func() bool { return s.Connections() == 0 })
}

func TestABrokenBodyIsNeverMadeWhole(t *testing.T) {
	for name, test := range map[string]struct {
		request, block string
	}{
		"chunked":               {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		"with a length":         {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "content-length\x0099\x00"},
		"delimited by the end":  {"GET / HTTP/1.0\r\n\r\n", ""},
		"shorter than promised": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "content-length\x0099\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{handle: func(r *dispatch.Request) {
				r.Responder.Head(200, []byte(test.block), []byte("some"))
				time.Sleep(20 * time.Millisecond)
				r.Responder.End(name == "shorter than promised")
			}}
			_, addr, _ := serving(t, Config{}, a)
			c := dial(t, addr)
			c.send(test.request)
			res, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				return // a reset before the client had read anything: it knows
			}
			if body, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("the client takes %q for the whole body", body)
			}
		})
	}
}

func TestTheAppsOwnChunksAreDecoded(t *testing.T) {
	for _, proto := range []string{"1.1", "1.0"} {
		a := &app{handle: func(r *dispatch.Request) {
			r.Responder.Head(200, []byte("transfer-encoding\x00chunked\x00"), []byte("3\r\nab"))
			r.Responder.Chunk([]byte("c\r\n0\r\n\r\n"))
			r.Responder.End(true)
		}}
		_, addr, _ := serving(t, Config{}, a)
		c := dial(t, addr)
		c.send("GET / HTTP/" + proto + "\r\nHost: a\r\n\r\n")
		if _, body := c.response("GET"); body != "abc" {
			t.Errorf("over HTTP/%s the body is %q", proto, body)
		}
	}
}

func TestDeadlines(t *testing.T) {
	const short = 300 * time.Millisecond
	for name, test := range map[string]struct {
		cfg    Config
		send   string
		status int // 0: closed without a word
	}{
		"no request at all":  {Config{HeaderTimeout: short}, "", 0},
		"half a head":        {Config{HeaderTimeout: short}, "GET / HT", 408},
		"half a body":        {Config{BodyTimeout: short}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", 408},
		"idle after request": {Config{KeepAliveTimeout: short}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, addr, _ := serving(t, test.cfg, answering())
			c := dial(t, addr)
			c.send(test.send)
			if test.status != 0 {
				if res, _ := c.response("GET"); res.StatusCode != test.status {
					t.Errorf("it got %d", res.StatusCode)
				}
			}
			c.closed()
		})
	}
}

func TestAHeadThatTricklesInIsNotWaitedForForEver(t *testing.T) {
	_, addr, _ := serving(t, Config{HeaderTimeout: 500 * time.Millisecond}, answering())
	c := dial(t, addr)
	began := time.Now()
	go func() {
		for range 1000 {
			if _, err := io.WriteString(c.Conn, "G"); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	if res, _ := c.response("GET"); res.StatusCode != 408 && res.StatusCode != 501 {
		t.Errorf("it got %d", res.StatusCode)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAReaderThatStopsIsCut(t *testing.T) {
	done := make(chan struct{})
	a := &app{}
	a.handle = func(r *dispatch.Request) {
		go func() {
			defer close(done)
			r.Responder.Whole(200, nil, make([]byte, 16<<20))
		}()
	}
	s, addr, _ := serving(t, Config{WriteTimeout: 300 * time.Millisecond}, a)
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-done
	eventually(t, "the connection is cut", func() bool { return s.Connections() == 0 })
}

func TestOneConnectionTooManyIsTurnedAway(t *testing.T) {
	s, addr, log := serving(t, Config{MaxConnections: 2}, answering())
	for range 2 {
		dial(t, addr).send("GET")
	}
	eventually(t, "two are connected", func() bool { return s.Connections() == 2 })
	c := dial(t, addr)
	c.send("GET")
	if res, _ := c.response("GET"); res.StatusCode != 503 {
		t.Errorf("the third got %d", res.StatusCode)
	}
	if !log.has("--max-connections") {
		t.Errorf("the operator reads %q", log.lines)
	}
}

// Those that are turned away must not keep others out: a crowd at the door would keep the server closed for ever.
func TestWhoIsTurnedAwayTakesNoPlace(t *testing.T) {
	s, addr, _ := serving(t, Config{MaxConnections: 1}, answering())
	first := dial(t, addr)
	first.send("GET")
	eventually(t, "one is connected", func() bool { return s.Connections() == 1 })
	for range 5 {
		c := dial(t, addr)
		c.send("GET") // who is silent is accepted late
		if res, _ := c.response("GET"); res.StatusCode != 503 {
			t.Fatalf("one too many got %d", res.StatusCode)
		}
	}
	first.Close()
	eventually(t, "the first one's place is free", func() bool { return s.Connections() == 5 }) // they linger
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 200 {
		t.Errorf("the next one got %d", res.StatusCode)
	}
}

// A file whose response says Transfer-Encoding: chunked holds chunks; what is in them is the body.
func TestAFileOfChunksIsDecoded(t *testing.T) {
	const text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" // as a body, nothing but a body
	for _, proto := range []string{"1.1", "1.0"} {
		for name, content := range map[string]string{
			"chunks":    fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text),
			"no chunks": text,
		} {
			t.Run(name+" over "+proto, func(t *testing.T) {
				a := &app{handle: func(r *dispatch.Request) {
					r.Responder.File(200, []byte("transfer-encoding\x00chunked\x00"), tempFile(t, []byte(content)), 0, int64(len(content)))
				}}
				s, addr, _ := serving(t, Config{}, a)
				c := dial(t, addr)
				c.send("GET / HTTP/" + proto + "\r\nHost: a\r\n\r\n")
				res, err := http.ReadResponse(c.Reader, nil)
				if err != nil {
					t.Skip("it was reset before the head was read")
				}
				body, err := io.ReadAll(res.Body)
				if whole := name == "chunks"; whole != (err == nil) || whole && string(body) != text {
					t.Errorf("the client reads %q, %v", body, err)
				}
				c.Close()
				eventually(t, "the connection is forgotten", func() bool { return s.Connections() == 0 })
			})
		}
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	requests := make(chan *dispatch.Request, 1)
	s, addr, _ := serving(t, Config{}, &app{handle: func(r *dispatch.Request) { requests <- r }})
	busy, quiet := dial(t, addr), dial(t, addr)
	quiet.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
	(<-requests).Responder.Whole(200, nil, []byte("x"))
	quiet.response("GET")
	busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-requests
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Shutdown(context.Background())
	}()
	quiet.closed()
	select {
	case <-ended:
		t.Fatal("it ended while a request was running")
	case <-time.After(50 * time.Millisecond):
	}
	r.Responder.Whole(200, nil, []byte("at last"))
	res, body := busy.response("GET")
	if body != "at last" || !res.Close {
		t.Errorf("the running request got %q, close %v", body, res.Close)
	}
	busy.Close()
	<-ended
}

func TestHijackedConnectionsAreGivenAway(t *testing.T) {
	for _, partial := range []bool{false, true} {
		a := &app{handle: func(r *dispatch.Request) {
			give := func(socket *os.File, leftover []byte) {
				fmt.Fprintf(socket, "raw, after %q", leftover)
				socket.Close()
			}
			if partial {
				r.Responder.HijackHead(101, []byte("Upgrade\x00x\x00Connection\x00Upgrade\x00"), nil, give)
			} else {
				r.Responder.Hijack(give)
			}
		}}
		s, addr, _ := serving(t, Config{}, a)
		c := dial(t, addr)
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nearly")
		all, err := io.ReadAll(c.Reader)
		if err != nil || !strings.HasSuffix(string(all), `raw, after "early"`) {
			t.Errorf("partial %v: the client read %q, %v", partial, all, err)
		}
		if strings.HasPrefix(string(all), "HTTP/1.1 101 ") != partial {
			t.Errorf("partial %v: the client read %q", partial, all)
		}
		eventually(t, "the front has forgotten it", func() bool { return s.Connections() == 0 })
	}
}

// TestMain fails the run when goroutines outlive their servers.
func TestMain(m *testing.M) {
	status := m.Run()
	if status == 0 {
		for wait := time.Millisecond; runtime.NumGoroutine() > 2 && wait < 10*time.Second; wait *= 2 {
			time.Sleep(wait)
		}
		if n := runtime.NumGoroutine(); n > 2 {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "%d goroutines are left:\n%s", n, buf[:runtime.Stack(buf, true)])
			status = 1
		}
	}
	os.Exit(status)
}
