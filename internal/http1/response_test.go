package http1

import (
	"strings"
	"testing"
	"time"
)

// lines joins the lines of a head, and the blank line, as they go over the wire.
func lines(line ...string) string { return strings.Join(line, "\r\n") + "\r\n\r\n" }

var heads = []struct {
	name    string
	head    Head
	headers [][2]string
	want    string
	framing Framing
}{
	{
		"a whole body", Head{Status: 200, Minor: 1, BodySize: 5},
		[][2]string{{"content-type", "text/plain"}, {"X-Mixed-Case", "Kept"}},
		lines("HTTP/1.1 200 OK", "content-type: text/plain", "X-Mixed-Case: Kept", "Content-Length: 5"),
		Framing{Length: 5},
	},
	{
		"an empty body", Head{Status: 404, Minor: 1}, nil,
		lines("HTTP/1.1 404 Not Found", "Content-Length: 0"), Framing{},
	},
	{
		"the app's length is right", Head{Status: 200, Minor: 1, BodySize: 5}, [][2]string{{"content-length", "5"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 5"), Framing{Length: 5},
	},
	{
		"the app's length is too large: the client would wait", Head{Status: 200, Minor: 1, BodySize: 5},
		[][2]string{{"Content-Length", "9"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 5"), Framing{Length: 5, LengthMismatch: true},
	},
	{
		"the app's length is too small: the rest would be the next response", Head{Status: 200, Minor: 1, BodySize: 5},
		[][2]string{{"Content-Length", "1"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 5"), Framing{Length: 5, LengthMismatch: true},
	},
	{
		"two lengths are none", Head{Status: 200, Minor: 1, BodySize: -1},
		[][2]string{{"Content-Length", "1"}, {"content-length", "1"}},
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Framing{Length: -1, Chunked: true, Dropped: 1},
	},
	{
		"two lengths in one value are none", Head{Status: 200, Minor: 1, BodySize: -1}, [][2]string{{"Content-Length", "1\n1"}},
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Framing{Length: -1, Chunked: true, Dropped: 1},
	},
	{
		"a length that is no number, and a good one too late", Head{Status: 200, Minor: 1, BodySize: -1},
		[][2]string{{"Content-Length", "1x"}, {"Content-Length", "1"}},
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Framing{Length: -1, Chunked: true, Dropped: 2},
	},
	{
		"a streamed body", Head{Status: 200, Minor: 1, BodySize: -1}, nil,
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Framing{Length: -1, Chunked: true},
	},
	{
		"a streamed body of a length the app knows", Head{Status: 200, Minor: 1, BodySize: -1},
		[][2]string{{"Content-Length", " 12 "}},
		lines("HTTP/1.1 200 OK", "Content-Length: 12"), Framing{Length: 12},
	},
	{
		"a streamed body the app says is empty", Head{Status: 200, Minor: 1, BodySize: -1}, [][2]string{{"Content-Length", "0"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 0"), Framing{},
	},
	{
		"a body the app says is empty", Head{Status: 200, Minor: 1, BodySize: 5}, [][2]string{{"Content-Length", "0"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 5"), Framing{Length: 5, LengthMismatch: true},
	},
	{
		"a streamed body to HTTP/1.0 ends with the connection", Head{Status: 200, BodySize: -1}, nil,
		lines("HTTP/1.1 200 OK", "Connection: close"), Framing{Length: -1, Close: true},
	},
	{
		"HTTP/1.0 that stays is told so", Head{Status: 200, BodySize: 1}, nil,
		lines("HTTP/1.1 200 OK", "Content-Length: 1", "Connection: keep-alive"), Framing{Length: 1},
	},
	{
		"the server closes", Head{Status: 200, Minor: 1, Close: true}, nil,
		lines("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"), Framing{Close: true},
	},
	{
		"the server closes on HTTP/1.0", Head{Status: 200, Close: true}, nil,
		lines("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"), Framing{Close: true},
	},
	{
		"the app closes", Head{Status: 200, Minor: 1}, [][2]string{{"connection", "x, Close"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"), Framing{Close: true},
	},
	{
		"the app closes in a second value", Head{Status: 200, Minor: 1}, [][2]string{{"Connection", "x\nclose"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"), Framing{Close: true},
	},
	{
		"keep-alive is not the app's to say", Head{Status: 200, Minor: 1},
		[][2]string{{"Connection", "keep-alive"}, {"Keep-Alive", "timeout=9"}, {"Proxy-Connection", "keep-alive"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 0"), Framing{},
	},
	{
		"headers about the connection stay here", Head{Status: 200, Minor: 1},
		[][2]string{{"Upgrade", "h2c"}, {"Trailer", "X"}, {"TE", "trailers"}, {"Transfer-Encoding", "identity"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 0"), Framing{},
	},
	{
		"messages to the server stay here", Head{Status: 200, Minor: 1},
		[][2]string{{"Status", "200 OK"}, {"rack.", "x"}, {"rack.hijack", "x"}, {"Rack.After", "x"}, {"rackish", "y"}, {"X-Status", "z"}},
		lines("HTTP/1.1 200 OK", "rackish: y", "X-Status: z", "Content-Length: 0"), Framing{},
	},
	{
		"an app that writes its own chunks", Head{Status: 200, Minor: 1, BodySize: -1},
		[][2]string{{"Transfer-Encoding", "Chunked"}},
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Framing{Length: -1, Chunked: true, AppChunked: true},
	},
	{
		"an app that writes its own chunks and a length", Head{Status: 200, Minor: 1, BodySize: 15},
		[][2]string{{"Content-Length", "15"}, {"Transfer-Encoding", "chunked"}},
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Framing{Length: -1, Chunked: true, AppChunked: true},
	},
	{
		"an app that writes its own chunks, for HTTP/1.0", Head{Status: 200, BodySize: 15},
		[][2]string{{"Transfer-Encoding", "chunked"}},
		lines("HTTP/1.1 200 OK", "Connection: close"), Framing{Length: -1, AppChunked: true, Close: true},
	},
	{
		"HEAD keeps the app's length", Head{Status: 200, Minor: 1, NoBody: true}, [][2]string{{"Content-Length", "77"}},
		lines("HTTP/1.1 200 OK", "Content-Length: 77"), Framing{NoBody: true},
	},
	{
		"HEAD gets the length of a body the app made all the same", Head{Status: 200, Minor: 1, NoBody: true, BodySize: 7}, nil,
		lines("HTTP/1.1 200 OK", "Content-Length: 7"), Framing{NoBody: true},
	},
	{
		"HEAD whose body Rack::Head emptied has no known length", Head{Status: 200, Minor: 1, NoBody: true}, nil,
		lines("HTTP/1.1 200 OK"), Framing{NoBody: true},
	},
	{
		"HEAD of a stream", Head{Status: 200, NoBody: true, BodySize: -1}, nil,
		lines("HTTP/1.1 200 OK", "Connection: keep-alive"), Framing{NoBody: true},
	},
	{
		"204 has no body and no length", Head{Status: 204, Minor: 1, BodySize: 3}, [][2]string{{"Content-Length", "3"}},
		lines("HTTP/1.1 204 No Content"), Framing{NoBody: true},
	},
	{
		"205 has no body and says so", Head{Status: 205, Minor: 1, BodySize: 3}, [][2]string{{"Content-Length", "3"}},
		lines("HTTP/1.1 205 Reset Content", "Content-Length: 0"), Framing{NoBody: true},
	},
	{
		"304 keeps the app's length", Head{Status: 304, Minor: 1}, [][2]string{{"Content-Length", "3"}, {"ETag", `"x"`}},
		lines("HTTP/1.1 304 Not Modified", `ETag: "x"`, "Content-Length: 3"), Framing{NoBody: true},
	},
	{
		"304 is not given a length", Head{Status: 304, Minor: 1, BodySize: 3}, nil,
		lines("HTTP/1.1 304 Not Modified"), Framing{NoBody: true},
	},
	{
		"a 1xx from the app ends the connection", Head{Status: 100, Minor: 1, BodySize: 3, Date: []byte("now")},
		[][2]string{{"Content-Length", "3"}},
		lines("HTTP/1.1 100 Continue", "Connection: close"), Framing{NoBody: true, Close: true},
	},
	{
		"101 is the app's", Head{Status: 101, Minor: 1, BodySize: -1},
		[][2]string{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}},
		lines("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"),
		Framing{Length: -1, Close: true},
	},
	{
		"a partial hijack frames its body itself", Head{Status: 200, Minor: 1, BodySize: -1, Raw: true},
		[][2]string{{"Transfer-Encoding", "chunked"}, {"Connection", "close"}, {"rack.hijack", "x"}, {"A\r\n", "b"}},
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Connection: close"),
		Framing{Length: -1, Close: true, Dropped: 1},
	},
	{
		"what a partial hijack writes ends with the connection", Head{Status: 200, Minor: 1, BodySize: -1, Raw: true},
		[][2]string{{"X-A", "b"}},
		lines("HTTP/1.1 200 OK", "X-A: b", "Connection: close"),
		Framing{Length: -1, Close: true},
	},
	{
		"the date is added", Head{Status: 200, Minor: 1, Date: []byte("Sun, 22 Nov 2026 10:00:00 GMT")}, nil,
		lines("HTTP/1.1 200 OK", "Date: Sun, 22 Nov 2026 10:00:00 GMT", "Content-Length: 0"), Framing{},
	},
	{
		"the app's date stays", Head{Status: 200, Minor: 1, Date: []byte("now")}, [][2]string{{"date", "then"}},
		lines("HTTP/1.1 200 OK", "date: then", "Content-Length: 0"), Framing{},
	},
	{
		"an illegal date of the app is replaced", Head{Status: 200, Minor: 1, Date: []byte("now")}, [][2]string{{"date", "a\rb"}},
		lines("HTTP/1.1 200 OK", "Date: now", "Content-Length: 0"), Framing{Dropped: 1},
	},
	{
		"a status of two digits", Head{Status: 99, Minor: 1}, nil,
		lines("HTTP/1.1 500 Internal Server Error", "Content-Length: 0"), Framing{},
	},
	{
		"a status of four digits", Head{Status: 1000, Minor: 1}, nil,
		lines("HTTP/1.1 500 Internal Server Error", "Content-Length: 0"), Framing{},
	},
	{
		"a status nobody registered", Head{Status: 299, Minor: 1}, nil,
		lines("HTTP/1.1 299 CUSTOM", "Content-Length: 0"), Framing{},
	},
	{
		"illegal names are left out and counted", Head{Status: 200, Minor: 1},
		[][2]string{
			{"", "x"}, {"A b", "x"}, {"A:", "x"}, {"A\r\nB", "x"}, {"Content-Length:", "9"}, {"\xc3\xa9", "x"}, {"C", "x\ry\nz"},
		},
		lines("HTTP/1.1 200 OK", "C: z", "Content-Length: 0"), Framing{Dropped: 7},
	},
}

func TestAppendHead(t *testing.T) {
	for _, c := range heads {
		t.Run(c.name, func(t *testing.T) {
			c.head.Block = blockOf(c.headers...)
			out, framing := AppendHead([]byte("before "), &c.head)
			if have := strings.TrimPrefix(string(out), "before "); have != c.want {
				t.Errorf("have %q\nwant %q", have, c.want)
			}
			if framing != c.framing {
				t.Errorf("have %+v\nwant %+v", framing, c.framing)
			}
		})
	}
}

func TestAppendHints(t *testing.T) {
	for _, c := range []struct {
		block []byte
		want  string
	}{
		{
			blockOf([2]string{"link", "</a.css>; rel=preload\n</b.js>; rel=preload"}),
			lines("HTTP/1.1 103 Early Hints", "link: </a.css>; rel=preload", "link: </b.js>; rel=preload"),
		},
		{
			blockOf([2]string{"Link", "<a>\r\n\r\nHTTP/1.1 200 OK\r"}, [2]string{"B", "c"}),
			lines("HTTP/1.1 103 Early Hints", "B: c"),
		},
		{
			blockOf([2]string{"Content-Length", "5"}, [2]string{"transfer-encoding", "chunked"},
				[2]string{"Connection", "close"}, [2]string{"Upgrade", "x"}, [2]string{"rack.x", "y"}, [2]string{"a b", "c"}),
			"",
		},
		{nil, ""},
		{blockOf([2]string{"Link", "a\rb"}), ""},
	} {
		if have := string(AppendHints([]byte("before "), c.block)); have != "before "+c.want {
			t.Errorf("%q: have %q, want %q", c.block, have, c.want)
		}
	}
}

func TestAppendError(t *testing.T) {
	date := AppendDate(nil, time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	want := lines("HTTP/1.1 431 Request Header Fields Too Large", "Date: Sun, 22 Nov 2026 10:00:00 GMT",
		"Content-Type: text/plain; charset=utf-8", "Content-Length: 5", "Connection: close") + "long\n"
	if have := string(AppendError(nil, 431, "long", date)); have != want {
		t.Errorf("have %q\nwant %q", have, want)
	}
	want = lines("HTTP/1.1 500 Internal Server Error", "Content-Type: text/plain; charset=utf-8", "Content-Length: 1",
		"Connection: close") + "\n"
	if have := string(AppendError(nil, 0, "", nil)); have != want {
		t.Errorf("have %q\nwant %q", have, want)
	}
}
