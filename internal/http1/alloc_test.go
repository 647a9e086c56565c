//go:build !race

package http1

import (
	"testing"
	"time"
)

// The race detector allocates by itself, hence the build tag.
func TestTheHotPathAllocatesNothing(t *testing.T) {
	var (
		r      Request
		c      Chunked
		out    = make([]byte, 0, 4096)
		head   = Head{Status: 201, Minor: 1, BodySize: -1, Block: blockOf(railsHeaders...), Date: AppendDate(nil, time.Now())}
		body   = append(AppendChunk(nil, make([]byte, 1000)), "3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"...)
		broken = []byte(crlf("GET / HTTP/1.1", "Host: a", "Content-Length: x"))
	)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"Parse", func() {
			r.Reset()
			if done, err := r.Parse(browserHead, nil); !done || err != nil {
				t.Fatal(done, err)
			}
		}},
		{"Parse in pieces", func() {
			r.Reset()
			for i := range browserHead {
				if _, err := r.Parse(browserHead[:i], nil); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"Parse of garbage", func() {
			r.Reset()
			if _, err := r.Parse(broken, nil); err == nil {
				t.Fatal("accepted")
			}
		}},
		{"Decode", func() {
			c.Reset()
			if _, _, done, err := c.Decode(out[:0], body, nil); !done || err != nil {
				t.Fatal(done, err)
			}
		}},
		{"AppendHead", func() {
			if _, f := AppendHead(out[:0], &head); !f.Chunked {
				t.Fatal(f)
			}
		}},
		{"AppendHints", func() {
			if len(AppendHints(out[:0], head.Block)) == 0 {
				t.Fatal("no hints")
			}
		}},
		{"AppendChunk", func() { AppendChunk(out[:0], body) }},
		{"AppendError", func() { AppendError(out[:0], 400, "no", head.Date) }},
		{"AppendDate", func() { AppendDate(out[:0], time.Now()) }},
		{"AppendEnvName", func() { AppendEnvName(out[:0], []byte("X-Forwarded-For")) }},
	} {
		c.run() // the first one may grow the request's fields
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s allocates %v times", c.name, n)
		}
	}
}
