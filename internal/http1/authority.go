package http1

import "bytes"

// validAuthority tells whether b is a host with an optional port (RFC 3986 §3.2), without user information: a name, an
// IPv4 address, or an IPv6 address in brackets.
func validAuthority(b []byte) bool {
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		return end > 0 && validIPv6(b[1:end]) && validPort(b[end+1:])
	}
	i := 0
	for i < len(b) && class[b[i]]&isHost != 0 {
		i++
	}
	return i > 0 && validPort(b[i:])
}

func validIPv6(b []byte) bool {
	colons := 0
	for _, c := range b {
		switch {
		case c == ':':
			colons++
		case c != '.' && hexDigit(c) < 0:
			return false
		}
	}
	return colons >= 2
}

// validPort takes nothing at all, or a colon and a port number; RFC 3986 lets the number be missing.
func validPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) > len(":65535") {
		return false
	}
	port := 0
	for _, c := range b[1:] {
		if !isDigit(c) {
			return false
		}
		port = port*10 + int(c-'0')
	}
	return port <= 65535
}

// hexDigit returns the value of a hexadecimal digit, -1 for any other byte.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
