package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"reflect"
	"testing"
)

// FuzzRequest feeds anything to the parser, whole and in pieces, and compares it with net/http where both accept.
func FuzzRequest(f *testing.F) {
	for _, c := range accepted {
		f.Add([]byte(c.raw), uint16(len(c.raw)/2), false)
	}
	for _, c := range refused {
		f.Add([]byte(c.raw+"\r\n\r\n"), uint16(len(c.raw)-1), true)
	}
	f.Add(browserHead, uint16(100), false)
	f.Fuzz(func(t *testing.T, raw []byte, cut uint16, anyMethod bool) {
		lim := &Limits{AnyMethod: anyMethod, TargetBytes: 100, HeaderLineBytes: 200, HeaderBytes: 1500, HeaderCount: 25}
		r, done, err := parse(raw, lim)
		inPieces, piecesDone, piecesErr := parse(raw, lim, int(cut)%(len(raw)+1))
		if piecesDone != done || piecesErr != err || done && !reflect.DeepEqual(inPieces, r) {
			t.Fatalf("cut at %d: %+v, %v; whole: %+v, %v", int(cut)%(len(raw)+1), inPieces, piecesErr, r, err)
		}
		if _, onesDone, onesErr := parse(raw, lim, everyCut(raw)...); onesDone != done || onesErr != err {
			t.Fatalf("byte by byte: %v, %v; whole: %v, %v", onesDone, onesErr, done, err)
		}
		if done {
			soundSpans(t, &r, raw)
			compareWithNetHTTP(t, &r, raw)
		}
	})
}

// soundSpans checks what holds for any accepted head.
func soundSpans(t *testing.T, r *Request, raw []byte) {
	if r.Size > len(raw) || !bytes.HasSuffix(raw[:r.Size], []byte("\r\n\r\n")) {
		t.Fatalf("size %d of %d does not end in a blank line", r.Size, len(raw))
	}
	for _, f := range r.Fields {
		if tokenEnd(f.Name(raw), 0) != len(f.Name(raw)) || textEnd(f.Value(raw), 0) != len(f.Value(raw)) {
			t.Fatalf("illegal field %q: %q", f.Name(raw), f.Value(raw))
		}
	}
	if r.Chunked && r.ContentLength >= 0 {
		t.Fatal("both chunked and of known length")
	}
	if r.Path.Empty() != (string(r.Method.In(raw)) == "CONNECT") {
		t.Fatalf("path %q", r.Path.In(raw))
	}
}

func compareWithNetHTTP(t *testing.T, r *Request, raw []byte) {
	from := bytes.NewReader(raw)
	br := bufio.NewReaderSize(from, len(raw)+16)
	twin, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	same := func(what string, have, want any) {
		t.Helper()
		if !reflect.DeepEqual(have, want) {
			t.Fatalf("%s: have %q, net/http has %q", what, have, want)
		}
	}
	same("size of the head", r.Size, len(raw)-br.Buffered()-from.Len())
	same("method", string(r.Method.In(raw)), twin.Method)
	same("target", string(r.Target.In(raw)), twin.RequestURI)
	same("host", string(r.Host.In(raw)), twin.Host)
	same("minor", r.Minor, min(twin.ProtoMinor, 1))
	same("keep-alive", r.KeepAlive, !twin.Close)
	same("chunked", r.Chunked, len(twin.TransferEncoding) > 0)
	if !r.Chunked {
		same("length", max(r.ContentLength, 0), twin.ContentLength)
	}
	if twin.Method != "CONNECT" && r.Fragment.Empty() {
		same("query", string(bytes.TrimSuffix(r.Query.In(raw), []byte("#"))), twin.URL.RawQuery)
	}
	same("headers", headersAsNetHTTP(r, raw), twin.Header)
}

// headersAsNetHTTP collects the fields under the names net/http gives them, without those it moves elsewhere.
func headersAsNetHTTP(r *Request, raw []byte) http.Header {
	have := http.Header{}
	for _, f := range r.Fields {
		name := textproto.CanonicalMIMEHeaderKey(string(f.Name(raw)))
		have[name] = append(have[name], string(f.Value(raw)))
	}
	if _, ok := have["Cache-Control"]; !ok && len(have["Pragma"]) > 0 && have["Pragma"][0] == "no-cache" {
		have["Cache-Control"] = []string{"no-cache"} // net/http adds it
	}
	delete(have, "Host")
	delete(have, "Transfer-Encoding")
	if r.Chunked {
		delete(have, "Trailer")
	}
	return have
}
