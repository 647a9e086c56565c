package http1

// Continue asks a client that sent Expect: 100-continue for its body.
const Continue = "HTTP/1.1 100 Continue\r\n\r\n"

// AppendHints appends a 103 response (RFC 8297) with the headers of block. Illegal lines and those about this connection or the
// framing of a body are left out; if none is left, so is the response.
func AppendHints(dst []byte, b []byte) []byte {
	hints, total := appendStatusLine(dst, 103), 0
	for rest := block(b); len(rest) > 0; {
		h := rest.next()
		if !h.legal || forRack(h.name) || hopByHop(h.name) {
			continue
		}
		var lines int
		hints, lines, _ = h.appendTo(hints)
		total += lines
	}
	if total == 0 {
		return dst
	}
	return append(hints, "\r\n"...)
}

// AppendError appends a complete response with text and a line end as its plain-text body, which closes the connection. An
// empty date leaves the Date header out.
func AppendError(dst []byte, status int, text string, date []byte) []byte {
	status = validStatus(status)
	w := headWriter{dst: appendStatusLine(dst, status)}
	if len(date) > 0 {
		w.add("Date", date)
	}
	w.dst = append(w.dst, "Content-Type: text/plain; charset=utf-8\r\n"...)
	w.contentLengthLine(int64(len(text) + 1))
	w.dst = append(w.dst, "Connection: close\r\n\r\n"...)
	w.dst = append(w.dst, text...)
	return append(w.dst, '\n')
}
