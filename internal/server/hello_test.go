package server

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"testing"

	"serval/internal/dispatch"
	"serval/internal/logs"
	"serval/internal/testkit"

	"golang.org/x/sys/unix"
)

const eighteenHeaders = "GET /articles/17?page=2 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n" +
	"Cache-Control: max-age=0\r\nsec-ch-ua: \"Chromium\";v=\"140\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nReferer: https://www.example.com/articles\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef\r\nIf-None-Match: W/\"abc\"\r\n\r\n"

var helloBlock = []byte("content-type\x00text/plain\x00")

func hello() *app {
	body := []byte("Hello World\n")
	return &app{handle: func(r *dispatch.Request) { r.Responder.Whole(200, helloBlock, body) }}
}

// exchange sends one request and reads its response, whose length is known.
func exchange(t testing.TB, c *client, request, response []byte) {
	if _, err := c.Conn.Write(request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c.Conn, response); err != nil {
		t.Fatal(err)
	}
}

// measure returns a request and room for its response.
func measure(t testing.TB, c *client) (request, response []byte) {
	request = []byte(eighteenHeaders)
	c.send(eighteenHeaders)
	first := make([]byte, 4096)
	n := 0
	for !bytes.HasSuffix(first[:n], []byte("Hello World\n")) {
		m, err := c.Conn.Read(first[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	return request, first[:n]
}

// A request with 18 headers must pass the front, from socket to dispatcher and back, without any allocation: at 50,000
// requests a second one of them is 50,000 more things for the collector to look at.
func TestARequestAllocatesNothing(t *testing.T) {
	testkit.NeedNoRace(t)
	for name, cfg := range map[string]Config{"plain": {}, "logged": logged(false), "logged with details": logged(true)} {
		_, addr, _ := serving(t, cfg, hello())
		c := dial(t, addr)
		request, response := measure(t, c)
		n := testing.AllocsPerRun(500, func() { exchange(t, c, request, response) })
		if n > 0.5 { // the sweeper's clock allocates now and then
			t.Errorf("%s: a request costs %v allocations", name, n)
		}
	}
}

// What a request took is used again when its connection was its only one: else, clients that open one for each request would
// keep the collector busy.
func TestAConnectionPerRequestAllocatesLittle(t *testing.T) {
	testkit.NeedNoRace(t)
	_, addr, _ := serving(t, Config{}, hello())
	visit := visitor(t, addr)
	visit()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const visits = 500
	for range visits {
		visit()
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / visits; each > 2500 {
		t.Errorf("a connection costs %d bytes", each)
	} else {
		t.Logf("a connection costs %d bytes", each)
	}
}

// visitor makes a function that opens a connection for a request and closes it after the response.
func visitor(t testing.TB, addr string) (visit func()) {
	port := netip.MustParseAddrPort(addr)
	to := &unix.SockaddrInet4{Port: int(port.Port()), Addr: port.Addr().As4()}
	request, response := []byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), make([]byte, 4096)
	return func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, to)
		}
		if err == nil {
			_, err = unix.Write(fd, request)
		}
		for n := 1; n > 0 && err == nil; {
			n, err = unix.Read(fd, response)
		}
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd) //nolint:errcheck // all was read
	}
}

// logged is a configuration with an access log, which goes nowhere.
func logged(details bool) Config {
	line := make([]byte, 0, 4096)
	return Config{Details: details, RequestIDs: details, Access: func(a *logs.Access) {
		if details {
			line = logs.AppendAccessJSON(line[:0], a)
		} else {
			line = logs.AppendAccess(line[:0], a)
		}
	}}
}

func BenchmarkHelloLogged(b *testing.B) {
	for name, details := range map[string]bool{"text": false, "json": true} {
		b.Run(name, func(b *testing.B) {
			_, addr, _ := serving(b, logged(details), hello())
			c := dial(b, addr)
			request, response := measure(b, c)
			b.ReportAllocs()
			for b.Loop() {
				exchange(b, c, request, response)
			}
		})
	}
}

// BenchmarkHello is the front alone; BenchmarkHelloNetHTTP its plain twin.
func BenchmarkHello(b *testing.B) {
	_, addr, _ := serving(b, Config{}, hello())
	c := dial(b, addr)
	request, response := measure(b, c)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, c, request, response)
	}
}

func BenchmarkHelloNetHTTP(b *testing.B) {
	addr := netHTTP(b)
	c := dial(b, addr)
	request, response := measure(b, c)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, c, request, response)
	}
}

// BenchmarkVisit is a connection with one request; BenchmarkVisitNetHTTP its plain twin.
func BenchmarkVisit(b *testing.B) {
	_, addr, _ := serving(b, Config{}, hello())
	visits(b, addr)
}

func BenchmarkVisitNetHTTP(b *testing.B) {
	visits(b, netHTTP(b))
}

// visits uses connections of package net: in a system call that blocks, the client would keep a processor from the server.
func visits(b *testing.B, addr string) {
	request := []byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// netHTTP is a server of package net/http.
func netHTTP(b *testing.B) (addr string) {
	l, addr := listen(b)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Hello World\n")
	})}
	go srv.Serve(l) //nolint:errcheck // it ends with the benchmark
	b.Cleanup(func() { srv.Close() })
	return addr
}
