package control

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// NoToken, given for a token, lets everybody in who can connect, as in Puma.
const NoToken = "none"

// NewToken makes a token up: 32 hexadecimal digits, as Puma's.
func NewToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// admits reports whether one of a query's pairs is token=X with the right X, as it stands, without any decoding (Puma).
// How long it takes does not depend on how much of a token is right.
func admits(token, query string) bool {
	if token == "" {
		return true
	}
	want := []byte("token=" + token)
	right := 0
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		right |= subtle.ConstantTimeCompare([]byte(pair), want)
	}
	return right == 1
}
