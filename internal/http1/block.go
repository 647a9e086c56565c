package http1

import "bytes"

// block is a worker's header block that is yet to be read: name NUL value NUL …
type block []byte

// next cuts the first header off the block. A name without a value, at the end of a broken block, comes with ok
// false and empties it.
func (b *block) next() (name, value []byte, ok bool) {
	rest := *b
	*b = nil
	end := bytes.IndexByte(rest, 0)
	if end < 0 {
		return rest, nil, false
	}
	name, rest = rest[:end], rest[end+1:]
	if end = bytes.IndexByte(rest, 0); end < 0 {
		return name, rest, true
	}
	*b = rest[end+1:]
	return name, rest[:end], true
}

// appendField appends one line for each of the values, which newlines separate, and counts the lines written and those
// left out because a control character in them could end the line for some client. name must be a token.
func appendField(dst, name, values []byte) (out []byte, lines, dropped int) {
	if len(values) == 0 {
		return appendLine(dst, name, nil), 1, 0
	}
	for len(values) > 0 {
		value := values
		if end := bytes.IndexByte(values, '\n'); end >= 0 {
			value, values = values[:end], values[end+1:]
		} else {
			values = nil
		}
		if len(value) == 0 {
			continue
		}
		if textEnd(value, 0) < len(value) {
			dropped++
			continue
		}
		dst = appendLine(dst, name, trim(value))
		lines++
	}
	return dst, lines, dropped
}

func appendLine(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}
