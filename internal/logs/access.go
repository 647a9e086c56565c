package logs

import (
	"strconv"
	"time"
)

// Access is one line of the access log: a request and how it went. Its bytes are used only until it is written.
type Access struct {
	Remote   []byte // the client's address; empty is written as "-"
	Method   []byte
	Target   []byte // path and query as the client sent them
	Proto    string // "HTTP/1.1"
	Status   int
	Bytes    int64 // of the response body; negative is written as "-"
	End      time.Time
	Duration time.Duration // from the end of the request to the end of the response
	Hijacked bool          // the app took the connection, so nobody knows what it sent
	Details
}

// Details are what only JSON has room for. What is empty or negative is left out.
type Details struct {
	Queue     time.Duration // that the request waited for a thread
	Proxy     time.Duration // from the proxy's X-Request-Start to the end of the request; negative: there is none
	Worker    int           // the worker's index
	WorkerPID int           // 0: no worker had it
	RequestID []byte
	Referer   []byte
	UserAgent []byte
	Aborted   bool // the client did not get all of the response
}

const timeFormat = "02/Jan/2006:15:04:05 -0700"

// AppendAccess appends a line in the common log format, with the seconds it took at its end, as Puma writes it:
//
//	127.0.0.1 - - [22/Nov/2026:18:00:00 +0000] "GET /path?q=1 HTTP/1.1" 200 12 0.0005
//
// What the client chose is escaped, so it cannot forge a line or a field. Nothing is allocated when dst has the room.
func AppendAccess(dst []byte, a *Access) []byte {
	dst = appendField(dst, a.Remote)
	dst = append(dst, " - - ["...)
	dst = a.End.AppendFormat(dst, timeFormat)
	dst = append(dst, `] "`...)
	dst = appendEscaped(dst, a.Method)
	dst = append(dst, ' ')
	dst = appendEscaped(dst, a.Target)
	dst = append(dst, ' ')
	dst = append(dst, a.Proto...)
	dst = append(dst, `" `...)
	switch {
	case a.Hijacked: // as Puma 8 writes it
		dst = append(dst, "HIJACKED -1 "...)
	case a.Bytes < 0:
		dst = strconv.AppendInt(dst, int64(a.Status), 10)
		dst = append(dst, " - "...)
	default:
		dst = strconv.AppendInt(dst, int64(a.Status), 10)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, a.Bytes, 10)
		dst = append(dst, ' ')
	}
	dst = appendSeconds(dst, a.Duration)
	return append(dst, '\n')
}

// appendField appends a field that ends at a space, so a space in it is escaped too.
func appendField(dst, field []byte) []byte {
	if len(field) == 0 {
		return append(dst, '-')
	}
	for _, c := range field {
		if c == ' ' {
			dst = append(dst, `\x20`...)
		} else {
			dst = appendByte(dst, c)
		}
	}
	return dst
}

func appendEscaped(dst, text []byte) []byte {
	plain := 0
	for i, c := range text {
		if safe[c] {
			continue
		}
		dst = append(dst, text[plain:i]...)
		dst = appendByte(dst, c)
		plain = i + 1
	}
	return append(dst, text[plain:]...)
}

func appendByte(dst []byte, c byte) []byte {
	if safe[c] {
		return append(dst, c)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'x', hex[c>>4], hex[c&15])
}

// safe are the bytes written as they are. Controls would let a client write lines of its own or drive the terminal of
// who reads the log; the quote ends a field; the backslash begins an escape; bytes from 0x80 on are no valid part of a
// request target and may be C1 controls.
var safe = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// appendSeconds appends a duration as seconds with four decimals, "0.0005".
func appendSeconds(dst []byte, d time.Duration) []byte {
	tenths := (max(d, 0) + 50*time.Microsecond) / (100 * time.Microsecond)
	dst = strconv.AppendInt(dst, int64(tenths/10000), 10)
	fraction := int64(tenths%10000) + 10000 // the leading 1 keeps the zeros, and the point takes its place
	dst = strconv.AppendInt(dst, fraction, 10)
	dst[len(dst)-5] = '.'
	return dst
}
