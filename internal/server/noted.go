package server

import (
	"time"

	"serval/internal/http1"
	"serval/internal/logs"
)

// noted is what of a request's head is needed after the next one has taken its place: for the access log, and its id. The
// slices are parts of kept.
type noted struct {
	kept    []byte
	id      []byte
	referer []byte
	agent   []byte
	proxy   time.Duration // from the proxy's X-Request-Start to the end of the request; -1: it said nothing sane
}

// take notes what the settings ask for of the request that is about to begin.
func (n *noted) take(w *work, cfg *Config, now time.Time) {
	*n = noted{kept: n.kept[:0], proxy: -1}
	details := cfg.Details && cfg.Access != nil
	if !details && !cfg.RequestIDs {
		return
	}
	var id []byte
	ids := 0
	for _, f := range w.head.Fields {
		switch name := f.Name(w.in); len(name) {
		case len("X-Request-Id"):
			if http1.EqualFold(name, "x-request-id") {
				id = f.Value(w.in)
				ids++
			}
		case len("X-Request-Start"):
			if details && http1.EqualFold(name, "x-request-start") {
				n.proxy = sinceStart(f.Value(w.in), now)
			}
		case len("Referer"):
			if details && http1.EqualFold(name, "referer") {
				n.referer = n.keep(f.Value(w.in))
			}
		case len("User-Agent"):
			if details && http1.EqualFold(name, "user-agent") {
				n.agent = n.keep(f.Value(w.in))
			}
		}
	}
	switch {
	case ids == 1 && logs.SaneID(id):
		n.id = n.keep(id)
	case cfg.RequestIDs:
		n.id = n.newID()
	}
}

// answer notes the id that the app gave to a request which has none: Rails makes one, and writes it into its own log.
func (n *noted) answer(id []byte) {
	if n.id == nil && logs.SaneID(id) {
		n.id = n.keep(id)
	}
}

func (n *noted) details() logs.Details {
	if n.id == nil {
		n.id = n.newID()
	}
	return logs.Details{Proxy: n.proxy, RequestID: n.id, Referer: n.referer, UserAgent: n.agent}
}

func (n *noted) keep(value []byte) []byte {
	from := len(n.kept)
	n.kept = append(n.kept, value...)
	return n.kept[from:]
}

func (n *noted) newID() []byte {
	from := len(n.kept)
	n.kept = logs.AppendID(n.kept)
	return n.kept[from:]
}

// sinceStart is how long ago a proxy's X-Request-Start was: seconds since 1970 as nginx writes them ("t=1764000000.123"), or
// milliseconds (Heroku), microseconds (Apache's %t) or nanoseconds, which their size tells apart. -1: it is no time, or none
// of the last day. Clocks differ, so what lies ahead is now.
func sinceStart(value []byte, now time.Time) time.Duration {
	if len(value) > 2 && value[0] == 't' && value[1] == '=' {
		value = value[2:]
	}
	whole, digits := int64(0), 0
	for digits < len(value) && digits < 19 && value[digits]-'0' <= 9 {
		whole = whole*10 + int64(value[digits]-'0')
		digits++
	}
	fraction, unit := int64(0), int64(time.Second)
	switch { // by the number of digits in this century
	case digits == 10:
	case digits == 13:
		unit = int64(time.Millisecond)
	case digits == 16:
		unit = int64(time.Microsecond)
	case digits == 19:
		unit = 1
	default:
		return -1
	}
	if rest := value[digits:]; len(rest) > 0 {
		if rest[0] != '.' {
			return -1
		}
		for place, c := unit/10, rest[1:]; len(c) > 0; place, c = place/10, c[1:] {
			if c[0]-'0' > 9 {
				return -1
			}
			fraction += int64(c[0]-'0') * place
		}
	}
	ago := now.UnixNano() - whole*unit - fraction
	if ago > int64(24*time.Hour) || ago < -int64(24*time.Hour) {
		return -1
	}
	return time.Duration(max(ago, 0))
}
