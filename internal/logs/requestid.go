package logs

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// SaneID says whether a request id that a client chose may go into logs and to the app: 1 to 128 characters of
// A-Z a-z 0-9 . _ -
func SaneID(id []byte) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for _, c := range id {
		if !idCharacter[c] {
			return false
		}
	}
	return true
}

var idCharacter = func() (table [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") {
		table[c] = true
	}
	return table
}()

// AppendID appends a new request id: a random UUID (RFC 9562 §5.4), as Rails makes them. It is unique, no secret.
func AppendID(dst []byte) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	b[6] = b[6]&0x0f | 0x40 // version 4
	b[8] = b[8]&0x3f | 0x80 // variant of the RFC
	for i, group := range [][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b[group[0]:group[1]])
	}
	return dst
}
