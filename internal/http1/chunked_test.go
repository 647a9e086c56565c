package http1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// decode feeds raw in pieces that end at the given cuts, and again what a call did not consume.
func decode(raw []byte, lim *Limits, cuts ...int) (c Chunked, out string, used int, done bool, err error) {
	var dst []byte
	for _, cut := range append(cuts, len(raw)) {
		var n int
		dst, n, done, err = c.Decode(dst, raw[used:max(cut, used)], lim)
		used += n
		if done || err != nil {
			break
		}
	}
	return c, string(dst), used, done, err
}

// decodesTheSameInPieces fails unless raw decodes alike whole, cut in two anywhere, and byte by byte.
func decodesTheSameInPieces(t *testing.T, raw []byte, lim *Limits) {
	t.Helper()
	wholeState, wholeOut, wholeUsed, wholeDone, wholeErr := decode(raw, lim)
	check := func(how string, cuts ...int) {
		t.Helper()
		c, out, used, done, err := decode(raw, lim, cuts...)
		if c != wholeState || out != wholeOut || used != wholeUsed || done != wholeDone || err != wholeErr {
			t.Fatalf("%s: have %q %d %v %v\nwhole %q %d %v %v\n%q",
				how, out, used, done, err, wholeOut, wholeUsed, wholeDone, wholeErr, raw)
		}
	}
	check("byte by byte", everyCut(raw)...)
	if len(raw) > long {
		return
	}
	for i := range raw {
		check(fmt.Sprintf("cut at %d", i), i)
	}
}

func TestDecodeReadsValidBodies(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"an empty body", "0\r\n\r\n", ""},
		{"one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"several chunks", "5\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n000\r\n\r\n", "hello 0123456789"},
		{"data that looks like chunks", "9\r\n0\r\n\r\n5\r\na\r\n0\r\n\r\n", "0\r\n\r\n5\r\na"},
		{"both cases of digits", "a\r\n0123456789\r\n0B\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a"},
		{"leading zeros", "00000000000000000005\r\nhello\r\n0\r\n\r\n", "hello"},
		{"extensions", "5;a;b=c;d=\"e; f\"\t\xff\r\nhello\r\n0;last\r\n\r\n", "hello"},
		{"trailers", "5\r\nhello\r\n0\r\nX-Sum: abc\tdef\r\nEmpty:\r\n" + strings.Repeat("n", 99) + ": y\r\n\r\n", "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const next = "GET / HTTP/1.1\r\n"
			state, out, used, done, err := decode([]byte(c.raw+next), nil)
			if out != c.want || used != len(c.raw) || !done || err != nil {
				t.Fatalf("have %q, %d used, done=%v err=%v; want %q, %d", out, used, done, err, c.want, len(c.raw))
			}
			if state.Total() != int64(len(c.want)) {
				t.Errorf("have total %d, want %d", state.Total(), len(c.want))
			}
			decodesTheSameInPieces(t, []byte(c.raw+next), nil)
		})
	}
}

var badBodies = []struct {
	name, raw string // raw ends with the byte that decides
	want      *Error
}{
	{"an empty size", "\r", errChunkSize},
	{"a size of no digits", ";", errChunkSize},
	{"a size with a sign", "+", errChunkSize},
	{"a negative size", "-", errChunkSize},
	{"a prefix", "0x", errChunkSize},
	{"an underscore", "1_", errChunkSize},
	{"a blank first", " ", errChunkSize},
	{"a blank after the size", "5 ", errChunkSize},
	{"a tab after the size", "5\t", errChunkSize},
	{"a letter that is no digit", "g", errChunkSize},
	{"a size over 63 bits", "8000000000000000", errChunkOverflow},
	{"a size over 64 bits", "10000000000000000", errChunkOverflow},
	{"a bare LF after the size", "5\n", errBareLF},
	{"a bare CR after the size", "5\rh", errBareCR},
	{"a bare LF in an extension", "5;a\n", errBareLF},
	{"a bare CR in an extension", "5;a\rb", errBareCR},
	{"a NUL in an extension", "5;\x00", errChunkExtension},
	{"a DEL in an extension", "5;\x7f", errChunkExtension},
	{"more data than the size", "1\r\nab", errChunkEnd},
	{"less data than the size", "3\r\na\r\n1", errChunkEnd},
	{"a bare LF after the data", "1\r\na\n", errChunkEnd},
	{"a bare CR after the data", "1\r\na\r1", errChunkEnd},
	{"a bare LF at the end", "0\r\n\n", errBareLF},
	{"a bare CR at the end", "0\r\n\rX", errBareCR},
	{"a bare LF after a trailer", "0\r\nX: y\n", errBareLF},
	{"a bare CR after a trailer", "0\r\nX: y\rZ", errBareCR},
	{"a NUL in a trailer", "0\r\nX: \x00", errValueNUL},
	{"a control character in a trailer", "0\r\nX: \x01", errValueByte},
	{"a DEL in a trailer", "0\r\nX: \x7f", errValueByte},
	{"a folded trailer", "0\r\nX: y\r\n ", errFold},
	{"a blank before the colon of a trailer", "0\r\nX ", errNameBlank},
	{"a trailer without a name", "0\r\n:", errNameEmpty},
	{"a trailer without a colon", "0\r\nX\r", errNoColon},
	{"a trailer whose name is no token", "0\r\nX@", errNameByte},
	{"a length in the trailers", "0\r\ncontent-LENGTH:", errTrailerField},
	{"a coding in the trailers", "0\r\nTransfer-Encoding:", errTrailerField},
	{"a host in the trailers", "0\r\nX: y\r\nHost:", errTrailerField},
}

func TestDecodeRefusesAsSoonAsItCanKnow(t *testing.T) {
	for _, c := range badBodies {
		t.Run(c.name, func(t *testing.T) {
			raw := []byte(c.raw)
			if _, _, used, done, err := decode(raw, nil); done || err != c.want || used != len(raw)-1 {
				t.Fatalf("have done=%v err=%v after %d bytes, want %v after %d", done, err, used, c.want, len(raw)-1)
			}
			if _, _, _, done, err := decode(raw[:len(raw)-1], nil); done || err != nil {
				t.Errorf("a byte less: have done=%v err=%v, want to be waiting", done, err)
			}
			decodesTheSameInPieces(t, []byte(c.raw+"\r\n0\r\n\r\n"), nil)
		})
	}
}

func TestDecodeLimitsAreExact(t *testing.T) {
	fill := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name string
		lim  Limits
		raw  func(n int) string
		max  int
		want *Error
	}{
		{"body in one chunk", Limits{BodyBytes: 100}, func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, fill(n)) }, 100, errBodyLong},
		{
			"body in many chunks", Limits{BodyBytes: 100},
			func(n int) string { return strings.Repeat("1\r\na\r\n", n) + "0\r\n\r\n" }, 100, errBodyLong,
		},
		{"size line", Limits{}, func(n int) string { return "0;" + fill(n-4) + "\r\n\r\n" }, 4096, errChunkLineLong},
		{"padded size", Limits{}, func(n int) string { return strings.Repeat("0", n-2) + "\r\n\r\n" }, 4096, errChunkLineLong},
		{"set size line", Limits{ChunkLineBytes: 20}, func(n int) string { return "0;" + fill(n-4) + "\r\n\r\n" }, 20, errChunkLineLong},
		{
			"extensions of many chunks", Limits{},
			func(n int) string {
				return strings.Repeat("1;"+fill(1036)+"\r\na\r\n", 16) + "0;" + fill(n-16*1024+12) + "\r\n\r\n"
			},
			16384, errChunkExcess,
		},
		{
			"set extensions", Limits{ExtensionBytes: 9},
			func(n int) string { return "0;" + fill(n+12) + "\r\n\r\n" }, 9, errChunkExcess,
		},
		{"trailers", Limits{}, func(n int) string { return "0\r\nA:" + fill(8000) + "\r\nB:" + fill(n-8010) + "\r\n\r\n" }, 16384, errTrailerLong},
		{"set trailers", Limits{TrailerBytes: 10}, func(n int) string { return "0\r\nA:" + fill(n-6) + "\r\n\r\n" }, 10, errTrailerLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			full, over := []byte(c.raw(c.max)), []byte(c.raw(c.max+1))
			if _, _, _, done, err := decode(full, &c.lim); !done || err != nil {
				t.Fatalf("at the limit: have done=%v err=%v", done, err)
			}
			if _, _, _, done, err := decode(over, &c.lim); done || err != c.want {
				t.Fatalf("one over it: have done=%v err=%v, want %v", done, err, c.want)
			}
			decodesTheSameInPieces(t, full, &c.lim)
			decodesTheSameInPieces(t, over, &c.lim)
		})
	}
}

func TestDecodeRefusesABodyBeforeItsTooLargeChunkArrives(t *testing.T) {
	_, out, _, _, err := decode([]byte("3\r\nabc\r\nfffffff\r\n"), &Limits{BodyBytes: 10})
	if err != errBodyLong || out != "abc" {
		t.Errorf("have %q, %v", out, err)
	}
}

func TestDecodeTotalCannotOverflow(t *testing.T) {
	c := Chunked{total: 1 << 62}
	if _, _, _, err := c.Decode(nil, []byte("7fffffffffffffff\r\n"), nil); err != errBodyLong {
		t.Errorf("have %v, want %v", err, errBodyLong)
	}
}

func TestDecodeWorksInPlace(t *testing.T) {
	raw := []byte("5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: x\r\n\r\n")
	var c Chunked
	out, _, done, err := c.Decode(raw[:0], raw, nil)
	if string(out) != "hello world" || !done || err != nil {
		t.Errorf("have %q done=%v err=%v", out, done, err)
	}
}

func TestDecodeRepeatsItsAnswer(t *testing.T) {
	var c Chunked
	for range 2 {
		if _, _, _, err := c.Decode(nil, []byte("x"), nil); err != errChunkSize {
			t.Fatalf("have %v", err)
		}
	}
	c.Reset()
	if _, n, done, err := c.Decode(nil, []byte(ChunkEnd), nil); n != 5 || !done || err != nil {
		t.Fatalf("have %d, done=%v err=%v", n, done, err)
	}
	if out, n, done, err := c.Decode(nil, []byte("more"), nil); out != nil || n != 0 || !done || err != nil {
		t.Errorf("after the end: have %q, %d, done=%v err=%v", out, n, done, err)
	}
}

func TestDecodeAppends(t *testing.T) {
	var c Chunked
	out, _, _, _ := c.Decode([]byte("so far "), []byte("1\r\nx\r\n"), nil)
	if !bytes.Equal(out, []byte("so far x")) {
		t.Errorf("have %q", out)
	}
}
