package http1

import "time"

// AppendDate appends t as the value of a Date header (RFC 9110 §5.6.7): 29 bytes, always GMT.
func AppendDate(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
}
