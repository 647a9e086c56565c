package http1

import (
	"net/http"
	"testing"
)

func TestStatusTextsAreThoseOfNetHTTP(t *testing.T) {
	renamed := map[int]string{ // by RFC 9110; net/http keeps the older words
		413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content",
	}
	for code := 0; code <= 1000; code++ {
		want := http.StatusText(code)
		if text, ok := renamed[code]; ok {
			want = text
		}
		if want == "" {
			want = "CUSTOM"
		}
		if have := StatusText(code); have != want {
			t.Errorf("%d: have %q, want %q", code, have, want)
		}
	}
}
