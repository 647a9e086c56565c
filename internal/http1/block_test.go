package http1

import (
	"reflect"
	"testing"
)

// blockOf writes a header block as a worker does.
func blockOf(headers ...[2]string) (b []byte) {
	for _, h := range headers {
		b = append(b, h[0]...)
		b = append(b, 0)
		b = append(b, h[1]...)
		b = append(b, 0)
	}
	return b
}

func TestBlockIsReadHeaderByHeader(t *testing.T) {
	type entry struct {
		name, value  string
		legal, plain bool
	}
	for _, c := range []struct {
		block string
		want  []entry
	}{
		{"", nil},
		{"A\x00b\x00", []entry{{"A", "b", true, true}}},
		{"A\x00\x00B\x00c\td\x00", []entry{{"A", "", true, true}, {"B", "c\td", true, true}}},
		{"A\x00b\nc\x00D\x00e\rf\x00", []entry{{"A", "b\nc", true, false}, {"D", "e\rf", true, false}}},
		{"\x00a\x00B\x00c\x00", []entry{{"", "a", false, true}, {"B", "c", true, true}}},
		{"A b\x00c\x00A:\x00d\x00", []entry{{"A b", "c", false, true}, {"A:", "d", false, true}}},
		{"A\r\nB: c\x00\x00D\x00e\x00", []entry{{"A\r\nB: c", "", false, true}, {"D", "e", true, true}}},
		{"A\x00no end", []entry{{"A", "no end", true, true}}},
		{"A\x00no\nend", []entry{{"A", "no\nend", true, false}}},
		{"A\x00b\x00lonely", []entry{{"A", "b", true, true}, {"lonely", "", false, false}}},
		{"not a name", []entry{{"not a name", "", false, false}}},
		{"A\x00", []entry{{"A", "", true, true}}},
	} {
		var have []entry
		for b := block(c.block); len(b) > 0; {
			h := b.next()
			have = append(have, entry{string(h.name), string(h.value), h.legal, h.plain})
		}
		if !reflect.DeepEqual(have, c.want) {
			t.Errorf("%q: have %+v, want %+v", c.block, have, c.want)
		}
	}
}

func TestHeaderLinesCannotBeSplit(t *testing.T) {
	for _, c := range []struct {
		value, want    string
		lines, dropped int
	}{
		{"text/html", "X: text/html\r\n", 1, 0},
		{"", "X: \r\n", 1, 0},
		{" \t b  c\t ", "X: b  c\r\n", 1, 0},
		{"caf\xc3\xa9 \xff", "X: caf\xc3\xa9 \xff\r\n", 1, 0},
		{"a=1\nb=2\nc=3", "X: a=1\r\nX: b=2\r\nX: c=3\r\n", 3, 0},
		{"\na\n\nb\n", "X: a\r\nX: b\r\n", 2, 0},
		{"\n", "", 0, 0},
		{"a\r\nEvil: 1", "X: Evil: 1\r\n", 1, 1}, // the rest is a value of X, as with Puma
		{"a\r\n\r\n<html>", "X: <html>\r\n", 1, 2},
		{"a\rb", "", 0, 1},
		{"a\vb\nc", "X: c\r\n", 1, 1},
		{"a\x7f", "", 0, 1},
		{"\x1b[0m", "", 0, 1},
	} {
		h := header{name: []byte("X"), value: []byte(c.value), legal: true}
		h.plain = textEnd(h.value, 0) == len(h.value)
		out, lines, dropped := h.appendTo(nil)
		if string(out) != c.want || lines != c.lines || dropped != c.dropped {
			t.Errorf("%q: have %q, %d lines, %d dropped; want %q, %d, %d",
				c.value, out, lines, dropped, c.want, c.lines, c.dropped)
		}
	}
}
