package http1

import (
	"bytes"
	"io"
	"net/http/httputil"
	"testing"
)

func TestChunksAreReadBackByOthers(t *testing.T) {
	parts := [][]byte{[]byte("a"), bytes.Repeat([]byte("b"), 15), bytes.Repeat([]byte("c"), 16), bytes.Repeat([]byte("\r\n0"), 9999)}
	var raw, want []byte
	for _, part := range parts {
		raw = AppendChunk(raw, part)
		want = append(want, part...)
	}
	raw = append(raw, ChunkEnd...)
	if have, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw))); err != nil || !bytes.Equal(have, want) {
		t.Errorf("net/http: %v, %d bytes, want %d", err, len(have), len(want))
	}
	var c Chunked
	if have, n, done, err := c.Decode(nil, raw, nil); err != nil || !done || n != len(raw) || !bytes.Equal(have, want) {
		t.Errorf("http1: done=%v err=%v, %d bytes, want %d", done, err, len(have), len(want))
	}
}

func TestAnEmptyChunkIsNotWritten(t *testing.T) {
	if have := AppendChunk([]byte("x"), nil); string(have) != "x" {
		t.Errorf("have %q: it would end the body", have)
	}
}
