package http1

import (
	"bytes"
	"io"
	"net/http/httputil"
	"testing"
)

// FuzzChunked feeds anything to the decoder, whole and in pieces, and compares it with net/http where both accept.
func FuzzChunked(f *testing.F) {
	for _, raw := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET /",
		"0000000000000005\r\nhello\r\n000\r\n\r\n", "9\r\n0\r\n\r\n5\r\na\r\n0\r\n\r\n",
	} {
		f.Add([]byte(raw), uint16(len(raw)/2))
	}
	for _, c := range badBodies {
		f.Add([]byte(c.raw+"\r\n0\r\n\r\n"), uint16(len(c.raw)-1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, cut uint16) {
		lim := &Limits{BodyBytes: 1000, ChunkLineBytes: 60, ExtensionBytes: 100, TrailerBytes: 100}
		state, out, used, done, err := decode(raw, lim)
		for _, cuts := range [][]int{{int(cut) % (len(raw) + 1)}, everyCut(raw)} {
			state2, out2, used2, done2, err2 := decode(raw, lim, cuts...)
			if state2 != state || out2 != out || used2 != used || done2 != done || err2 != err {
				t.Fatalf("in pieces: %q %d %v %v; whole: %q %d %v %v", out2, used2, done2, err2, out, used, done, err)
			}
		}
		var c Chunked
		inPlace := bytes.Clone(raw)
		if have, _, _, _ := c.Decode(inPlace[:0], inPlace, lim); string(have) != out {
			t.Fatalf("in place: %q, else %q", have, out)
		}
		if err == nil && !done && used != len(raw) {
			t.Fatalf("waiting, but only %d of %d used", used, len(raw))
		}
		if !done {
			return
		}
		if state.Total() != int64(len(out)) || len(out) > 1000 {
			t.Fatalf("total %d, but %d bytes", state.Total(), len(out))
		}
		if twin, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw))); err == nil && string(twin) != out {
			t.Fatalf("have %q, net/http has %q", out, twin)
		}
	})
}
