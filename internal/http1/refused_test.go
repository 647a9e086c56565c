package http1

import (
	"errors"
	"strings"
	"testing"
)

// refused lists what is not accepted. Each input ends where the error must be known: nothing after it is waited for.
var refused = []struct {
	name string
	raw  string
	want *Error
}{
	// Framing: where the body ends must be said once and clearly.
	{"Content-Length, then Transfer-Encoding", post("Content-Length: 4", "Transfer-Encoding: chunked"), errLengthCoding},
	{"Transfer-Encoding, then Content-Length", post("Transfer-Encoding: chunked", "Content-Length: 4"), errLengthCoding},
	{"two lengths that differ", post("Content-Length: 4", "Content-Length: 5"), errLengthTwice},
	{"two lengths that agree", post("Content-Length: 4", "Content-Length: 4"), errLengthTwice},
	{"a length after none", post("Content-Length: 0", "Content-Length: 5"), errLengthTwice},
	{"an empty body, then Transfer-Encoding", post("Content-Length: 0", "Transfer-Encoding: chunked"), errLengthCoding},
	{"a list of lengths", post("Content-Length: 4, 4"), errLengthInvalid},
	{"an empty length", post("Content-Length:"), errLengthInvalid},
	{"a length with a plus", post("Content-Length: +4"), errLengthInvalid},
	{"a length with a minus", post("Content-Length: -4"), errLengthInvalid},
	{"a length with a blank inside", post("Content-Length: 4 2"), errLengthInvalid},
	{"a hexadecimal length", post("Content-Length: 0x4"), errLengthInvalid},
	{"a length with an underscore", post("Content-Length: 1_0"), errLengthInvalid},
	{"a length with a fraction", post("Content-Length: 4.0"), errLengthInvalid},
	{"a length of 2^63", post("Content-Length: 9223372036854775808"), errLengthOverflow},
	{"a length of 2^64+4", post("Content-Length: 18446744073709551620"), errLengthOverflow},
	{"a coding on HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", errCodingOld},
	{"a coding other than chunked", post("Transfer-Encoding: gzip"), errCodingFinal},
	{"identity", post("Transfer-Encoding: identity"), errCodingFinal},
	{"chunked not last", post("Transfer-Encoding: chunked, gzip"), errCodingFinal},
	{"chunked twice in a line", post("Transfer-Encoding: chunked, chunked"), errCodingFinal},
	{"chunked in two lines", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), errCodingTwice},
	{"chunked with a parameter", post("Transfer-Encoding: chunked;q=1"), errCodingFinal},
	{"chunked in quotes", post(`Transfer-Encoding: "chunked"`), errCodingFinal},
	{"something like chunked", post("Transfer-Encoding: xchunked"), errCodingFinal},
	{"an empty coding", post("Transfer-Encoding:"), errCodingFinal},
	{"an empty element before chunked", post("Transfer-Encoding: , chunked"), errCodingFinal},
	{"an empty element after chunked", post("Transfer-Encoding: chunked,"), errCodingFinal},
	{"a coding before chunked", post("Transfer-Encoding: gzip, chunked"), errCodingUnknown},
	{"chunked after a vertical tab", post() + "Transfer-Encoding: \v", errValueByte},

	// Lines: CRLF and nothing else ends them.
	{"a bare LF after the request line", "GET / HTTP/1.1\n", errBareLF},
	{"a bare LF after the method", "GET\n", errBareLF},
	{"a bare LF after the target", "GET /\n", errBareLF},
	{"a bare LF after a header", "GET / HTTP/1.1\r\nHost: a\n", errBareLF},
	{"a bare LF as the blank line", get() + "\n", errBareLF},
	{"a bare LF in a name", get() + "Ho\n", errBareLF},
	{"a bare CR after the request line", "GET / HTTP/1.1\rX", errBareCR},
	{"a bare CR in a value", get("X: a\rb")[:len(get())+6], errBareCR},
	{"two CRs before the LF", get() + "X: a\r\r", errBareCR},
	{"a bare CR for the blank line", get() + "\rX", errBareCR},
	{"a bare CR first", "\rG", errBareCR},
	{"a bare LF first", "\n", errBareLF},
	{"two empty lines first", "\r\n\r", errEmptyLines},
	{"a blank first", " ", errRequestLine},
	{"a folded header", get("X: a") + " ", errFold},
	{"a header folded with a tab", get("X: a") + "\t", errFold},
	{"a blank before the first header", "GET / HTTP/1.1\r\n ", errFold},
	{"a NUL in a value", get() + "X: a\x00", errValueNUL},
	{"a backspace in a value", get() + "X: \b", errValueByte},
	{"a DEL in a value", get() + "X: \x7f", errValueByte},

	// Names are tokens, right before their colon.
	{"a blank before the colon", get() + "X ", errNameBlank},
	{"a tab before the colon", get() + "X\t", errNameBlank},
	{"an empty name", get() + ":", errNameEmpty},
	{"a header without a colon", get() + "X\r", errNoColon},
	{"a NUL in a name", get() + "X\x00", errNameByte},
	{"a bracket in a name", get() + "X[", errNameByte},
	{"a name in quotes", get() + `"`, errNameByte},
	{"raw UTF-8 in a name", get() + "\xc3", errNameByte},

	// Host.
	{"no Host on HTTP/1.1", "GET / HTTP/1.1\r\nX: y\r\n\r\n", errHostMissing},
	{"no Host beside an absolute-form target", "GET http://a/ HTTP/1.1\r\n\r\n", errHostMissing},
	{"an empty Host", "GET / HTTP/1.1\r\nHost: \r\n", errHostEmpty},
	{"two Hosts", get("Host: a"), errHostTwice},
	{"two Hosts on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", errHostTwice},
	{"a list of hosts", host("a, b"), errHostInvalid},
	{"a list of hosts without a blank", host("a,b"), errHostInvalid},
	{"a path in Host", host("a/b"), errHostInvalid},
	{"a user in Host", host("u@a"), errHostInvalid},
	{"a query in Host", host("a?b"), errHostInvalid},
	{"a backslash in Host", host(`a\b`), errHostInvalid},
	{"raw UTF-8 in Host", host("\xc3\xa9"), errHostInvalid},
	{"a port that is no number", host("a:b"), errHostInvalid},
	{"a port over 65535", host("a:65536"), errHostInvalid},
	{"a port of six digits", host("a:000080"), errHostInvalid},
	{"only a port", host(":80"), errHostInvalid},
	{"an open bracket", host("[::1"), errHostInvalid},
	{"brackets around a name", host("[cafe]"), errHostInvalid},
	{"brackets around junk", host("[::g]"), errHostInvalid},
	{"something behind the brackets", host("[::1]x"), errHostInvalid},
	{"an invalid Host beside an absolute-form target", "GET http://a/ HTTP/1.1\r\nHost: @\r\n", errHostInvalid},

	// The request line.
	{"HTTP/0.9", "GET /\r", errNoVersion},
	{"HTTP/0.9 with a blank", "GET / \r", errNoVersion},
	{"only a method", "GET\r", errRequestLine},
	{"a method that is no token", "G(", errRequestLine},
	{"two blanks after the method", "GET  ", errTargetEmpty},
	{"a tab after the method", "GET\t", errRequestLine},
	{"two blanks after the target", "GET /  ", errNoVersion},
	{"a blank in the target", "GET /a b ", errVersion},
	{"a blank after the version", "GET / HTTP/1.1 ", errVersion},
	{"a version in lower case", "GET / http/1.1\r", errVersion},
	{"a version with two digits", "GET / HTTP/1.11", errVersion},
	{"a version of one number", "GET / HTTP/1\r", errVersion},
	{"another protocol", "GET / HTTPS/1.1", errVersion},
	{"a tab in the target", "GET /\t", errTargetByte},
	{"a NUL in the target", "GET /\x00", errTargetByte},
	{"a DEL in the target", "GET /\x7f", errTargetByte},
	{"HTTP/2.0", "GET / HTTP/2.0\r", errVersionMajor},
	{"HTTP/0.9 spelled out", "GET / HTTP/0.9\r", errVersionMajor},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r", errVersionMajor},
	{"an unknown method", "BREW / HTTP/1.1\r\n", errMethodUnknown},
	{"a method in lower case", "get / HTTP/1.1\r\n", errMethodUnknown},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\n", errMethodUnknown},
	{"PRI on HTTP/1.1", "PRI * HTTP/1.1\r\n", errMethodUnknown},
	{"* for anything but OPTIONS", "GET * HTTP/1.1\r\n", errAsterisk},
	{"something behind *", "OPTIONS *a HTTP/1.1\r\n", errTargetForm},
	{"a path without a slash", "GET a HTTP/1.1\r\n", errTargetForm},
	{"only a query", "GET ?a HTTP/1.1\r\n", errTargetForm},
	{"an authority as target", "GET a:80 HTTP/1.1\r\n", errTargetForm},
	{"a foreign scheme", "GET ftp://a/ HTTP/1.1\r\n", errTargetForm},
	{"a URL without slashes", "GET http:a HTTP/1.1\r\n", errTargetForm},
	{"a URL without a host", "GET http:/// HTTP/1.1\r\n", errAuthority},
	{"a URL with a user", "GET http://u:p@a/ HTTP/1.1\r\n", errAuthority},
	{"a TLS handshake", "\x16", errTLS},

	{"an expectation we do not know", get("Expect: 200-ok"), errExpectation},
	{"an expectation in a list", get("Expect: 100-continue, x"), errExpectation},
}

func get(lines ...string) string { return head("GET", lines) }

func post(lines ...string) string { return head("POST", lines) }

// head is a valid head with further lines, without the blank line.
func head(method string, lines []string) string {
	return strings.Join(append([]string{method + " / HTTP/1.1", "Host: a"}, lines...), "\r\n") + "\r\n"
}

func host(value string) string { return "GET / HTTP/1.1\r\nHost: " + value + "\r\n" }

func TestParseRefusesAsSoonAsItCanKnow(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			raw := []byte(c.raw)
			if _, done, err := parse(raw, nil); done || err != c.want {
				t.Fatalf("have done=%v err=%v, want %v", done, err, c.want)
			}
			if _, done, err := parse(raw[:len(raw)-1], nil); done || err != nil {
				t.Errorf("a byte less: have done=%v err=%v, want to be waiting", done, err)
			}
			sameInPieces(t, []byte(c.raw+"\r\nX: y\r\n\r\n"), nil)
		})
	}
}

func TestErrorsAreSentencesWithAStatus(t *testing.T) {
	want := map[*Error]int{
		errCodingUnknown: 501, errMethodUnknown: 501, errMethodLong: 501, errVersionMajor: 505, errExpectation: 417,
		errTargetLong: 414, errHeadLong: 431, errLineLong: 431, errFieldCount: 431, errTrailerLong: 431, errBodyLong: 413,
	}
	for _, c := range refused {
		if want[c.want] == 0 {
			want[c.want] = 400
		}
	}
	for e, status := range want {
		var as *Error
		if !errors.As(error(e), &as) || as.Status != status {
			t.Errorf("%q: have %d, want %d", e.Reason, e.Status, status)
		}
		if e.Error() != e.Reason || e.Reason == "" || strings.HasSuffix(e.Reason, ".") {
			t.Errorf("%q is not a lower-case sentence", e.Reason)
		}
	}
}
