package http1

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestTokenBytesAreThoseOfTheRFC(t *testing.T) {
	const tchars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		want := c < 0x80 && strings.ContainsRune(tchars, rune(c))
		if have := tokenEnd([]byte{byte(c)}, 0) == 1; have != want {
			t.Errorf("%q: have %v, want %v", byte(c), have, want)
		}
	}
}

// TestStopFindsEveryByteEverywhere compares the eight-at-once search with the plain loop it stands for.
func TestStopFindsEveryByteEverywhere(t *testing.T) {
	plain := func(b []byte, i int, low byte) int {
		for i < len(b) && b[i] >= low && b[i] != 0x7f {
			i++
		}
		return i
	}
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 40)
	for range 200_000 {
		for i := range b {
			b[i] = byte(0x20 + random.IntN(0x5f))
		}
		for range 1 + random.IntN(4) { // neighbours of a hit are where a borrow would show
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		from, to := random.IntN(10), 10+random.IntN(31)
		for _, low := range []byte{' ', ' ' + 1} {
			if have, want := stop(b[:to], from, low), plain(b[:to], from, low); have != want {
				t.Fatalf("%q from %d below %d: have %d, want %d", b[:to], from, low, have, want)
			}
		}
	}
}

func TestEqualFold(t *testing.T) {
	for _, c := range []struct {
		b, s string
		want bool
	}{
		{"", "", true},
		{"Content-Length", "content-length", true},
		{"close", "CLOSE", true},
		{"abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", true},
		{"close", "closed", false},
		{"[", "{", false},
		{"@", "`", false},
		{"\xc3\x89", "\xc3\xa9", false},
		{"\u212a", "k", false}, // the Kelvin sign, which Unicode folds to k
	} {
		if have := EqualFold([]byte(c.b), c.s); have != c.want {
			t.Errorf("%q, %q: have %v", c.b, c.s, have)
		}
	}
}

func TestListHas(t *testing.T) {
	for _, c := range []struct {
		list string
		want bool
	}{
		{"close", true}, {"a,CLOSE", true}, {"\tclose\t,", true}, {"a\nclose", true}, {",,close", true},
		{"", false}, {"closed", false}, {"not close", false}, {"close;x", false}, {`"close"`, false},
	} {
		if have := listHas([]byte(c.list), "close"); have != c.want {
			t.Errorf("%q: have %v", c.list, have)
		}
	}
}
