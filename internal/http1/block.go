package http1

import "bytes"

// block is a worker's header block that is yet to be read: name NUL value NUL …
type block []byte

// header is one entry of a block. A newline in its value separates several values.
type header struct {
	name, value []byte
	legal       bool // the name is a token, and a value is there
	plain       bool // the value is one line of text: no newline, no other control character
}

// next cuts the first header off the block. It checks while it looks for the NULs, so that the usual header is read once.
func (b *block) next() (h header) {
	rest := *b
	*b = nil
	end := tokenEnd(rest, 0)
	h.legal = end > 0 && end < len(rest) && rest[end] == 0
	if !h.legal {
		skip := bytes.IndexByte(rest[end:], 0)
		if skip < 0 {
			return header{name: rest}
		}
		end += skip
	}
	h.name, rest = rest[:end], rest[end+1:]
	end = textEnd(rest, 0)
	h.plain = end == len(rest) || rest[end] == 0
	if !h.plain {
		skip := bytes.IndexByte(rest[end:], 0)
		if skip < 0 {
			skip = len(rest) - end
		}
		end += skip
	}
	h.value = rest[:end]
	if end < len(rest) {
		*b = rest[end+1:]
	}
	return h
}

// appendTo appends a line for each value, and counts the lines written and those left out because of a control character,
// which could end the line for some client. The header must be legal.
func (h *header) appendTo(dst []byte) (out []byte, lines, dropped int) {
	if h.plain {
		return appendLine(dst, h.name, trim(h.value)), 1, 0
	}
	for rest, more := h.value, true; more; {
		var value []byte
		value, rest, more = bytes.Cut(rest, []byte("\n"))
		switch {
		case len(value) == 0:
		case textEnd(value, 0) < len(value):
			dropped++
		default:
			dst = appendLine(dst, h.name, trim(value))
			lines++
		}
	}
	return dst, lines, dropped
}

func appendLine(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}
