package http1

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// crlf writes a head with one line per argument and the blank line that ends it.
func crlf(lines ...string) string {
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// long is where tests begin to save work: it would grow with the square of the length.
const long = 4096

// parse feeds raw in pieces that end at the given cuts, each time in a new buffer, as if the old one had been too small.
func parse(raw []byte, lim *Limits, cuts ...int) (r Request, done bool, err error) {
	for _, cut := range append(cuts, len(raw)) {
		buf := raw[:cut]
		if cut < long {
			buf = bytes.Clone(buf)
		}
		done, err = r.Parse(buf, lim)
		if done || err != nil {
			break
		}
	}
	return r, done, err
}

// everyCut returns cuts that hand raw over byte by byte.
func everyCut(raw []byte) []int {
	cuts := make([]int, len(raw))
	for i := range cuts {
		cuts[i] = i
	}
	return cuts
}

// sameInPieces fails unless raw means the same whole, cut in two anywhere, and byte by byte.
func sameInPieces(t *testing.T, raw []byte, lim *Limits) {
	t.Helper()
	whole, wholeDone, wholeErr := parse(raw, lim)
	check := func(how string, cuts ...int) {
		t.Helper()
		r, done, err := parse(raw, lim, cuts...)
		if done != wholeDone || err != wholeErr {
			t.Fatalf("%s: have done=%v err=%v, whole done=%v err=%v\n%q", how, done, err, wholeDone, wholeErr, raw)
		}
		if done && !reflect.DeepEqual(r, whole) {
			t.Fatalf("%s: have %+v\nwhole %+v\n%q", how, r, whole, raw)
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

// text returns what a request says, for comparing.
type text struct {
	Method, Target, Path, Query, Fragment, Host string

	Minor   int
	Length  int64
	Flags   string // letters: ? query, c chunked, k keep-alive, e expect, u upgrade
	Headers []string
}

func textOf(r *Request, buf []byte) text {
	have := text{
		Method: string(r.Method.In(buf)), Target: string(r.Target.In(buf)), Path: string(r.Path.In(buf)),
		Query: string(r.Query.In(buf)), Fragment: string(r.Fragment.In(buf)), Host: string(r.Host.In(buf)),
		Minor: r.Minor, Length: r.ContentLength,
	}
	for _, flag := range []struct {
		on     bool
		letter string
	}{{r.HasQuery, "?"}, {r.Chunked, "c"}, {r.KeepAlive, "k"}, {r.ExpectContinue, "e"}, {r.Upgrade, "u"}} {
		if flag.on {
			have.Flags += flag.letter
		}
	}
	for _, f := range r.Fields {
		have.Headers = append(have.Headers, string(f.Name(buf))+"="+string(f.Value(buf)))
	}
	return have
}
