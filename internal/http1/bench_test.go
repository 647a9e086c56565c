package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"testing"
	"time"
)

// browserHead is what a browser sends: 18 headers, about 900 bytes.
var browserHead = []byte(crlf(
	"GET /articles/2026/eleven-ways?page=2&sort=date HTTP/1.1",
	"Host: www.shop.example",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"Accept-Language: en-GB,en;q=0.8,de;q=0.5",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Referer: https://www.shop.example/articles?page=1",
	"DNT: 1",
	"Connection: keep-alive",
	"Cookie: _session=8d1f7c2a9be04b5f8a3e6d7c1b2a3948; theme=dark; consent=yes; cart=eyJpdGVtcyI6W119",
	"Upgrade-Insecure-Requests: 1",
	"Sec-Fetch-Dest: document",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-User: ?1",
	"If-None-Match: W/\"0815cafe4711\"",
	"Cache-Control: max-age=0",
	"X-Forwarded-For: 203.0.113.7",
	"X-Request-Id: 0b5ac8f2-6f4d-4c57-9a55-0d1f6f1f3b11",
))

func BenchmarkParse18Headers(b *testing.B) {
	b.Run("http1", func(b *testing.B) {
		var r Request
		b.SetBytes(int64(len(browserHead)))
		b.ReportAllocs()
		for b.Loop() {
			r.Reset()
			if done, err := r.Parse(browserHead, nil); !done || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net-http", func(b *testing.B) {
		from := bytes.NewReader(browserHead)
		br := bufio.NewReader(from)
		b.SetBytes(int64(len(browserHead)))
		b.ReportAllocs()
		for b.Loop() {
			from.Reset(browserHead)
			br.Reset(from)
			if _, err := http.ReadRequest(br); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseSmall(b *testing.B) {
	raw := []byte(crlf("GET / HTTP/1.1", "Host: localhost:9292"))
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if done, err := r.Parse(raw, nil); !done || err != nil {
			b.Fatal(err)
		}
	}
}

var railsHeaders = [][2]string{
	{"X-Frame-Options", "SAMEORIGIN"}, {"X-Content-Type-Options", "nosniff"}, {"Referrer-Policy", "strict-origin-when-cross-origin"},
	{"Content-Type", "text/html; charset=utf-8"}, {"ETag", `W/"5f3c9b1f0f7f0a3d6f1f8f4c5b6a7988"`},
	{"Cache-Control", "max-age=0, private, must-revalidate"}, {"X-Request-Id", "0b5ac8f2-6f4d-4c57-9a55-0d1f6f1f3b11"},
	{"X-Runtime", "0.004711"}, {"Vary", "Accept"},
}

func BenchmarkAppendHead(b *testing.B) {
	date := AppendDate(nil, time.Now())
	b.Run("http1", func(b *testing.B) {
		head := Head{Status: 200, Minor: 1, BodySize: 5120, Date: date, Block: blockOf(railsHeaders...)}
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = AppendHead(dst[:0], &head)
		}
	})
	b.Run("net-http", func(b *testing.B) {
		var dst bytes.Buffer
		b.ReportAllocs()
		for b.Loop() {
			dst.Reset()
			header := make(http.Header, len(railsHeaders)+2)
			for _, h := range railsHeaders {
				header.Set(h[0], h[1])
			}
			header.Set("Date", string(date))
			header.Set("Content-Length", "5120")
			fmt.Fprintf(&dst, "HTTP/1.1 %d %s\r\n", 200, http.StatusText(200))
			header.Write(&dst)
			dst.WriteString("\r\n")
		}
	})
}

func BenchmarkDecodeChunks(b *testing.B) {
	var raw []byte
	for range 64 {
		raw = AppendChunk(raw, bytes.Repeat([]byte("x"), 1000))
	}
	raw = append(raw, ChunkEnd...)
	b.Run("http1", func(b *testing.B) {
		var c Chunked
		var dst []byte
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			c.Reset()
			var err error
			if dst, _, _, err = c.Decode(dst[:0], raw, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net-http", func(b *testing.B) {
		from := bytes.NewReader(raw)
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			from.Reset(raw)
			if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(from)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
