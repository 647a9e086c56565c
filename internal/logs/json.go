package logs

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const jsonTime = "2006-01-02T15:04:05.000Z07:00" // RFC 3339 with milliseconds

var pid = os.Getpid()

// appendEvent appends an event as a line of JSON. What the text has in front for people's eyes is left out.
func appendEvent(dst []byte, at time.Time, mark, text string, fields Fields) []byte {
	level := "info"
	switch mark {
	case "! ":
		level = "warn"
	case "ERROR: ":
		level = "error"
	}
	dst = appendJSONStart(dst, at, level)
	dst = strconv.AppendInt(append(dst, `,"pid":`...), int64(pid), 10)
	if fields.event != "" {
		dst = appendJSONString(append(dst, `,"event":`...), fields.event)
	}
	text, more, _ := strings.Cut(text, "\n")
	dst = appendJSONString(append(dst, `,"message":`...), strings.TrimSpace(strings.TrimPrefix(text, "- ")))
	if more != "" {
		dst = appendJSONString(append(dst, `,"details":`...), more)
	}
	for i := 0; i+1 < len(fields.pairs); i += 2 {
		dst = appendJSONString(append(dst, ','), fmt.Sprint(fields.pairs[i]))
		dst = appendJSONValue(append(dst, ':'), fields.pairs[i+1])
	}
	return append(dst, "}\n"...)
}

func appendJSONStart(dst []byte, at time.Time, level string) []byte {
	dst = append(dst, `{"time":"`...)
	dst = at.AppendFormat(dst, jsonTime)
	dst = append(dst, `","level":"`...)
	dst = append(dst, level...)
	return append(dst, '"')
}

// appendJSONValue appends numbers and truths as they are, durations in milliseconds, and all else as its text.
func appendJSONValue(dst []byte, value any) []byte {
	switch v := value.(type) {
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case bool:
		return strconv.AppendBool(dst, v)
	case time.Duration:
		return appendMillis(dst, v)
	default:
		return appendJSONString(dst, fmt.Sprint(v))
	}
}

// appendMillis appends a duration as milliseconds with three decimals, "0.512".
func appendMillis(dst []byte, d time.Duration) []byte {
	micros := int64(max(d, 0) / time.Microsecond)
	dst = strconv.AppendInt(dst, micros/1000, 10)
	fraction := micros%1000 + 1000 // the leading 1 keeps the zeros, and the point takes its place
	dst = strconv.AppendInt(dst, fraction, 10)
	dst[len(dst)-4] = '.'
	return dst
}

// appendJSONString appends a string of JSON (RFC 8259 §7). Bytes that are no UTF-8 become U+FFFD; controls are escaped,
// also those that JSON would allow, since they drive the terminal of who reads the log.
func appendJSONString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	plain := 0
	for i := 0; i < len(s); {
		if safe[s[i]] {
			i++
			continue
		}
		r, size := decodeRune(s[i:])
		if r > 0x9f && !(r == utf8.RuneError && size == 1) {
			i += size
			continue
		}
		dst = append(dst, s[plain:i]...)
		dst = appendJSONRune(dst, r)
		i += size
		plain = i
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

func appendJSONRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, `\n`...)
	case '\t':
		return append(dst, `\t`...)
	case utf8.RuneError:
		return utf8.AppendRune(dst, r)
	}
	return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
}

func decodeRune[S string | []byte](s S) (rune, int) {
	var head [utf8.UTFMax]byte
	return utf8.DecodeRune(head[:copy(head[:], s)])
}
