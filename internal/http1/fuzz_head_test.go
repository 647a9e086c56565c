package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const nextResponse = "HTTP/1.1 299 Next\r\nContent-Length: 0\r\n\r\n"

// FuzzAppendHead writes the head for any header block, a body as the framing says, and a next response. net/http must find exactly
// the header lines that a plain reading of the block yields, exactly that body, and then the next response.
func FuzzAppendHead(f *testing.F) {
	for _, c := range heads {
		f.Add(c.head.Status, blockOf(c.headers...), c.head.Minor, c.head.NoBody, c.head.Close, c.head.BodySize, c.head.Raw)
	}
	f.Add(200, []byte("Set-Cookie\x00a=b\r\n\r\nHTTP/1.1 200 OK\r\n\x00Location\x00/\r\nX: y\x00"), 1, false, false, int64(3), false)
	f.Add(200, []byte("\x00\x00\x00A\x00"), 1, false, false, int64(-1), false)
	f.Fuzz(func(t *testing.T, status int, b []byte, minor int, noBody, closes bool, size int64, raw bool) {
		h := &Head{
			Status: status, Block: b, Minor: minor & 1, NoBody: noBody, Close: closes,
			BodySize: max(size%1000, -1), Raw: raw, Date: []byte("Sun, 22 Nov 2026 10:00:00 GMT"),
		}
		out, framing := AppendHead(nil, h)
		head := string(out)
		end := strings.Index(head, "\r\n\r\n")
		if end != len(head)-4 {
			t.Fatalf("the head ends at %d of %d: %q", end, len(head), head)
		}
		if strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00") {
			t.Fatalf("a byte that can end a line: %q", head)
		}
		sent := strings.Split(head[:end], "\r\n")[1:]
		fromApp := plainLines(string(b), raw || validStatus(status) == 101)
		if len(sent) < len(fromApp) || strings.Join(sent[:len(fromApp)], "\n") != strings.Join(fromApp, "\n") {
			t.Fatalf("have %q, want to start with %q", sent, fromApp)
		}
		own := sent[len(fromApp):]
		for _, line := range own {
			name, _, _ := strings.Cut(line, ": ")
			if name != "Date" && name != "Content-Length" && name != "Transfer-Encoding" && name != "Connection" {
				t.Fatalf("a line from nowhere: %q", line)
			}
		}
		if len(own) > 3 {
			t.Fatalf("too many lines of our own: %q", own)
		}
		if framing.Close != strings.Contains(strings.Join(own, "\n"), "Connection: close") && !raw && status != 101 {
			t.Fatalf("close is %v, but said is %q", framing.Close, own)
		}
		if !raw && validStatus(status) != 101 {
			readBack(t, out, h, framing)
		}
	})
}

// plainLines is what must be sent of a block, done the plain way.
func plainLines(b string, raw bool) (lines []string) {
	parts := strings.Split(b, "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		name, values := parts[i], strings.Split(parts[i+1], "\n")
		low := strings.ToLower(name)
		owned := strings.Contains("|connection|keep-alive|proxy-connection|te|trailer|upgrade|transfer-encoding|content-length|", "|"+low+"|")
		if !isPlainToken(name) || low == "status" || strings.HasPrefix(low, "rack.") || owned && !raw {
			continue
		}
		for _, value := range values {
			legal := strings.IndexFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) < 0
			if legal && (value != "" || len(values) == 1) {
				lines = append(lines, name+": "+strings.Trim(value, " \t"))
			}
		}
	}
	return lines
}

func isPlainToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// readBack sends head, body and next response through net/http.
func readBack(t *testing.T, out []byte, h *Head, framing Framing) {
	method, body := "GET", ""
	if h.NoBody {
		method = "HEAD"
	}
	switch {
	case framing.NoBody:
	case framing.Length > 1<<16: // a length the app only claims
		return
	case framing.Length >= 0:
		body = strings.Repeat("x", int(framing.Length))
	default:
		body = nextResponse // anything may be in a body
	}
	switch {
	case framing.Chunked:
		out = append(AppendChunk(out, []byte(body)), ChunkEnd...)
	default:
		out = append(out, body...)
	}
	byEOF := framing.Length < 0 && !framing.Chunked
	if byEOF && !framing.Close {
		t.Fatalf("nothing ends the body: %q", out)
	}
	if !byEOF {
		out = append(out, nextResponse...)
	}
	br := bufio.NewReader(bytes.NewReader(out))
	response, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("net/http cannot read %q: %v", out, err)
	}
	if response.StatusCode != validStatus(h.Status) {
		t.Fatalf("have status %d, want %d", response.StatusCode, h.Status)
	}
	have, err := io.ReadAll(response.Body)
	if err != nil || string(have) != body {
		t.Fatalf("have body %q, %v, want %q; sent %q", have, err, body, out)
	}
	rest, _ := io.ReadAll(br)
	if byEOF != (len(rest) == 0) || !byEOF && string(rest) != nextResponse {
		t.Fatalf("behind the response: %q", rest)
	}
}
