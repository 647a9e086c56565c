package http1

import (
	"encoding/binary"
	"math/bits"
)

const (
	isToken = 1 << iota // tchar of RFC 9110 §5.6.2
	isHost              // byte of a reg-name (RFC 3986 §3.2.2) but a comma, by which proxies join two Host headers
)

// class tells what a byte may be part of; fold maps it to lower case (ASCII only), env to its form in a CGI name.
var (
	class [256]uint8
	fold  [256]byte
	env   [256]byte
)

func init() {
	for c := range 256 {
		class[c], fold[c], env[c] = classOf(byte(c)), byte(c), byte(c)
	}
	for c := byte('A'); c <= 'Z'; c++ {
		fold[c] = c + 'a' - 'A'
		env[c+'a'-'A'] = c
	}
	env['-'] = '_'
}

func classOf(c byte) (set uint8) {
	alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	if alnum || within(c, "!#$%&'*+-.^_`|~") {
		set |= isToken
	}
	if alnum || within(c, "-._~%!$&'()*+;=") {
		set |= isHost
	}
	return set
}

func within(c byte, set string) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

// tokenEnd returns the index of the first byte of b, from i on, that no token may contain; len(b) if there is none.
func tokenEnd(b []byte, i int) int {
	for i < len(b) && class[b[i]]&isToken != 0 {
		i++
	}
	return i
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
	deletes   = 0x7f * everyByte
)

// stop returns the index of the first byte of b, from i on, that is below low or DEL; len(b) if there is none.
//
// Eight bytes are looked at in one step. Subtracting makes a byte borrow, and so set its high bit, if it is smaller
// than low; a borrow may spoil bytes above the first hit, never below it, and only the lowest hit counts.
func stop(b []byte, i int, low byte) int {
	lows := uint64(low) * everyByte
	for ; i+8 <= len(b); i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		del := word ^ deletes
		hits := ((word-lows)&^word | (del-everyByte)&^del) & highBits
		if hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for i < len(b) && b[i] >= low && b[i] != 0x7f {
		i++
	}
	return i
}

// textEnd returns the index of the first byte of b, from i on, that may not be part of a field value: a control
// character other than HTAB. len(b) if there is none.
func textEnd(b []byte, i int) int {
	for {
		i = stop(b, i, ' ')
		if i == len(b) || b[i] != '\t' {
			return i
		}
		i++
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// trim cuts blanks (SP and HTAB, RFC 9110's OWS) from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// EqualFold tells whether b and s are equal but for the case of ASCII letters.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range len(s) {
		if fold[b[i]] != fold[s[i]] {
			return false
		}
	}
	return true
}

// nextElement cuts the first element, trimmed, off a list. Commas separate elements, and so do the newlines between the
// values of an app's header; no request's value has a newline.
func nextElement(list []byte) (element, rest []byte, more bool) {
	for i, c := range list {
		if c == ',' || c == '\n' {
			return trim(list[:i]), list[i+1:], true
		}
	}
	return trim(list), nil, false
}

// listHas tells whether one element of the list is s, whatever its case.
func listHas(list []byte, s string) bool {
	for more := true; more; {
		var element []byte
		if element, list, more = nextElement(list); EqualFold(element, s) {
			return true
		}
	}
	return false
}
