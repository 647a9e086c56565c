package http1

import (
	"reflect"
	"strings"
	"testing"
)

var accepted = []struct {
	name string
	raw  string
	want text
}{
	{
		"a plain GET",
		crlf("GET /a/b?x=1&y HTTP/1.1", "Host: app.example:8080", "Accept: */*"),
		text{
			Method: "GET", Target: "/a/b?x=1&y", Path: "/a/b", Query: "x=1&y", Host: "app.example:8080",
			Minor: 1, Length: -1, Flags: "?k", Headers: []string{"Host=app.example:8080", "Accept=*/*"},
		},
	},
	{
		"HTTP/1.0 without a Host, closed afterwards",
		"GET / HTTP/1.0\r\n\r\n",
		text{Method: "GET", Target: "/", Path: "/", Length: -1},
	},
	{
		"HTTP/1.0 that wants to stay",
		crlf("GET / HTTP/1.0", "Connection: Keep-Alive"),
		text{Method: "GET", Target: "/", Path: "/", Length: -1, Flags: "k", Headers: []string{"Connection=Keep-Alive"}},
	},
	{
		"HTTP/1.0 with an empty Host, as some probes send it",
		crlf("GET / HTTP/1.0", "Host:"),
		text{Method: "GET", Target: "/", Path: "/", Length: -1, Headers: []string{"Host="}},
	},
	{
		"a later minor version counts as 1.1",
		crlf("GET / HTTP/1.7", "Host: a"),
		text{Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "k", Headers: []string{"Host=a"}},
	},
	{
		"one empty line before the request line",
		"\r\n" + crlf("GET / HTTP/1.1", "Host: a"),
		text{Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "k", Headers: []string{"Host=a"}},
	},
	{
		"a body of known length",
		crlf("POST /form HTTP/1.1", "Host: a", "content-LENGTH: 00012"),
		text{
			Method: "POST", Target: "/form", Path: "/form", Host: "a", Minor: 1, Length: 12, Flags: "k",
			Headers: []string{"Host=a", "content-LENGTH=00012"},
		},
	},
	{
		"the largest length an int64 holds",
		crlf("PUT / HTTP/1.1", "Host: a", "Content-Length: 9223372036854775807"),
		text{
			Method: "PUT", Target: "/", Path: "/", Host: "a", Minor: 1, Length: 1<<63 - 1, Flags: "k",
			Headers: []string{"Host=a", "Content-Length=9223372036854775807"},
		},
	},
	{
		"a chunked body after an expectation",
		crlf("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: \tChunked ", "Expect: 100-Continue"),
		text{
			Method: "POST", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "cke",
			Headers: []string{"Host=a", "Transfer-Encoding=Chunked", "Expect=100-Continue"},
		},
	},
	{
		"an HTTP/1.0 client cannot expect a 100",
		crlf("POST / HTTP/1.0", "Content-Length: 1", "Expect: 100-continue"),
		text{
			Method: "POST", Target: "/", Path: "/", Length: 1,
			Headers: []string{"Content-Length=1", "Expect=100-continue"},
		},
	},
	{
		"an empty expectation is none",
		crlf("GET / HTTP/1.1", "Host: a", "Expect: "),
		text{
			Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "k",
			Headers: []string{"Host=a", "Expect="},
		},
	},
	{
		"close among other options",
		crlf("GET / HTTP/1.1", "Host: a", "Connection: ,x , CLOSE,y"),
		text{
			Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1,
			Headers: []string{"Host=a", "Connection=,x , CLOSE,y"},
		},
	},
	{
		"close beats keep-alive, in whatever line",
		crlf("GET / HTTP/1.0", "Connection: close", "Connection: keep-alive"),
		text{
			Method: "GET", Target: "/", Path: "/", Length: -1,
			Headers: []string{"Connection=close", "Connection=keep-alive"},
		},
	},
	{
		"options that merely contain close",
		crlf("GET / HTTP/1.1", "Host: a", "Connection: closed, no-close"),
		text{
			Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "k",
			Headers: []string{"Host=a", "Connection=closed, no-close"},
		},
	},
	{
		"a WebSocket handshake",
		crlf("GET /cable HTTP/1.1", "Host: a", "Connection: keep-alive, Upgrade", "Upgrade: websocket"),
		text{
			Method: "GET", Target: "/cable", Path: "/cable", Host: "a", Minor: 1, Length: -1, Flags: "ku",
			Headers: []string{"Host=a", "Connection=keep-alive, Upgrade", "Upgrade=websocket"},
		},
	},
	{
		"Connection: upgrade without an Upgrade header",
		crlf("GET / HTTP/1.1", "Host: a", "Connection: upgrade"),
		text{
			Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "k",
			Headers: []string{"Host=a", "Connection=upgrade"},
		},
	},
	{
		"an HTTP/1.0 client cannot upgrade",
		crlf("GET / HTTP/1.0", "Connection: upgrade", "Upgrade: websocket"),
		text{
			Method: "GET", Target: "/", Path: "/", Length: -1,
			Headers: []string{"Connection=upgrade", "Upgrade=websocket"},
		},
	},
	{
		"an absolute-form target, whose authority wins over Host",
		crlf("GET HTTP://Real.example:81/p?q HTTP/1.1", "Host: other.example"),
		text{
			Method: "GET", Target: "HTTP://Real.example:81/p?q", Path: "/p", Query: "q", Host: "Real.example:81",
			Minor: 1, Length: -1, Flags: "?k", Headers: []string{"Host=other.example"},
		},
	},
	{
		"an absolute-form target without a path",
		crlf("GET https://a?q HTTP/1.1", "Host: a"),
		text{
			Method: "GET", Target: "https://a?q", Path: "/", Query: "q", Host: "a",
			Minor: 1, Length: -1, Flags: "?k", Headers: []string{"Host=a"},
		},
	},
	{
		"an absolute-form target on HTTP/1.0",
		"GET http://[::1]:3000#x HTTP/1.0\r\n\r\n",
		text{Method: "GET", Target: "http://[::1]:3000#x", Path: "/", Fragment: "x", Host: "[::1]:3000", Length: -1},
	},
	{
		"OPTIONS of the server as a whole",
		crlf("OPTIONS * HTTP/1.1", "Host: a"),
		text{
			Method: "OPTIONS", Target: "*", Path: "*", Host: "a", Minor: 1, Length: -1, Flags: "k",
			Headers: []string{"Host=a"},
		},
	},
	{
		"a fragment is split off",
		crlf("GET /p?q#f?g#h HTTP/1.1", "Host: a"),
		text{
			Method: "GET", Target: "/p?q#f?g#h", Path: "/p", Query: "q", Fragment: "f?g#h", Host: "a",
			Minor: 1, Length: -1, Flags: "?k", Headers: []string{"Host=a"},
		},
	},
	{
		"a path stays as it was sent",
		crlf("GET //a/../%2e%zz/\xc3\xa9\\\"<> HTTP/1.1", "Host: a"),
		text{
			Method: "GET", Target: "//a/../%2e%zz/\xc3\xa9\\\"<>", Path: "//a/../%2e%zz/\xc3\xa9\\\"<>", Host: "a",
			Minor: 1, Length: -1, Flags: "k", Headers: []string{"Host=a"},
		},
	},
	{
		"an empty query is a query",
		crlf("GET /? HTTP/1.1", "Host: a"),
		text{
			Method: "GET", Target: "/?", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "?k",
			Headers: []string{"Host=a"},
		},
	},
	{
		"blanks around values go, blanks inside stay",
		crlf("GET / HTTP/1.1", "Host:\t a \t", "X-A:b \t c", "X-B:", "X-C: \t ", "x!#$%&'*+-.^_`|~9: \xff\x80"),
		text{
			Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Flags: "k",
			Headers: []string{"Host=a", "X-A=b \t c", "X-B=", "X-C=", "x!#$%&'*+-.^_`|~9=\xff\x80"},
		},
	},
}

func TestParseUnderstandsValidRequests(t *testing.T) {
	for _, c := range accepted {
		t.Run(c.name, func(t *testing.T) {
			raw := []byte(c.raw)
			r, done, err := parse(raw, nil)
			if err != nil || !done {
				t.Fatalf("have done=%v err=%v", done, err)
			}
			if have := textOf(&r, raw); !reflect.DeepEqual(have, c.want) {
				t.Errorf("have %+v\nwant %+v", have, c.want)
			}
			if r.Size != len(raw) {
				t.Errorf("have size %d, want %d", r.Size, len(raw))
			}
			sameInPieces(t, raw, nil)
		})
	}
}

func TestParseLeavesWhatFollowsTheHead(t *testing.T) {
	for _, c := range accepted {
		alone, _, _ := parse([]byte(c.raw), nil)
		for _, next := range []string{"\r\n", " x", "\x00\n", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"} {
			raw := []byte(c.raw + next)
			if r, done, err := parse(raw, nil); !done || err != nil || !reflect.DeepEqual(r, alone) {
				t.Errorf("%s, then %q: have done=%v err=%v %+v\nwant %+v", c.name, next, done, err, r, alone)
			}
		}
	}
}

func TestParseNeverLooksBack(t *testing.T) {
	raw := []byte(crlf("POST /"+strings.Repeat("p", 500)+" HTTP/1.1", "Host: a", "X: "+strings.Repeat("v\t", 500)))
	var r Request
	for i := range raw {
		if done, err := r.Parse(raw[:i], nil); done || err != nil {
			t.Fatalf("after %d bytes: done=%v err=%v", i, done, err)
		}
		// One byte may be looked at again: a CR that waits for its LF.
		if r.next < i-1 {
			t.Fatalf("after %d bytes only %d are done with", i, r.next)
		}
	}
}

func TestResetForgetsTheLastRequestAndKeepsItsMemory(t *testing.T) {
	var r Request
	for _, c := range accepted {
		raw := []byte(c.raw)
		r.Reset()
		if done, err := r.Parse(raw, nil); !done || err != nil {
			t.Fatalf("%s: done=%v err=%v", c.name, done, err)
		}
		if have := textOf(&r, raw); !reflect.DeepEqual(have, c.want) {
			t.Errorf("%s: have %+v\nwant %+v", c.name, have, c.want)
		}
		r.Parse([]byte("garbage"), nil)
	}
	before := cap(r.Fields)
	if r.Reset(); before == 0 || cap(r.Fields) != before || len(r.Fields) != 0 {
		t.Errorf("have %d of %d fields, want 0 of %d", len(r.Fields), cap(r.Fields), before)
	}
}

func TestParseRepeatsItsAnswer(t *testing.T) {
	var r Request
	raw := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for range 2 {
		if done, err := r.Parse(raw, nil); !done || err != nil {
			t.Fatalf("done=%v err=%v", done, err)
		}
	}
	r.Reset()
	for range 2 {
		if done, err := r.Parse([]byte("GET  HTTP/1.1\r\n"), nil); done || err != errTargetEmpty {
			t.Fatalf("done=%v err=%v", done, err)
		}
	}
}

func TestHasBody(t *testing.T) {
	for _, c := range []struct {
		header string
		want   bool
	}{{"X: y", false}, {"Content-Length: 0", false}, {"Content-Length: 1", true}, {"Transfer-Encoding: chunked", true}} {
		r, done, err := parse([]byte(crlf("POST / HTTP/1.1", "Host: a", c.header)), nil)
		if !done || err != nil || r.HasBody() != c.want {
			t.Errorf("%s: have %v (done=%v err=%v), want %v", c.header, r.HasBody(), done, err, c.want)
		}
	}
}

func TestAnEmptySpanHoldsNothing(t *testing.T) {
	r, _, _ := parse([]byte(crlf("GET /? HTTP/1.1", "Host: a")), nil)
	if !r.Query.Empty() || r.Path.Empty() {
		t.Errorf("query empty %v, path empty %v", r.Query.Empty(), r.Path.Empty())
	}
}
