package http1

import "strconv"

// frame decides how the client will find the end of the body (RFC 9112 §6.3) and writes the header that says so.
func (w *headWriter) frame(h *Head, status int) {
	size := h.BodySize
	if w.AppChunked {
		size, w.length = -1, -1 // either would count the app's chunk sizes too
	}
	switch {
	case status < 200:
		// An app's 1xx ends our turn while the client still waits for the response. The next one on this connection would
		// be taken for it, so there must be no next one.
		w.NoBody, w.Close = true, true
	case status == 204:
		w.NoBody = true
	case status == 205:
		w.NoBody = true
		w.contentLengthLine(0)
	case status == 304:
		w.NoBody = true
		w.contentLengthLine(w.length)
	case h.NoBody:
		w.NoBody = true
		w.contentLengthLine(headLength(w.length, size))
	case size >= 0:
		w.Length, w.LengthMismatch = size, w.length >= 0 && w.length != size
		w.contentLengthLine(size)
	case w.length >= 0:
		w.Length = w.length
		w.contentLengthLine(w.length)
	case h.Minor == 0:
		w.Length, w.Close = -1, true
	default:
		w.Length, w.Chunked = -1, true
		w.dst = append(w.dst, "Transfer-Encoding: chunked\r\n"...)
	}
}

// headLength returns the length to name in the response to a HEAD: it must be what a GET would have had (RFC 9110 §8.6), and an empty
// body, which Rack::Head makes of every body, tells nothing about that.
func headLength(app, size int64) int64 {
	if app < 0 && size > 0 {
		return size
	}
	return app
}

// contentLengthLine writes nothing if n is negative.
func (w *headWriter) contentLengthLine(n int64) {
	if n < 0 {
		return
	}
	w.dst = append(w.dst, "Content-Length: "...)
	w.dst = strconv.AppendInt(w.dst, n, 10)
	w.dst = append(w.dst, "\r\n"...)
}

// connection says "close" to HTTP/1.0 clients too: our status line says HTTP/1.1, where silence means staying.
func (w *headWriter) connection(minor int) {
	switch {
	case w.Close:
		w.dst = append(w.dst, "Connection: close\r\n"...)
	case minor == 0:
		w.dst = append(w.dst, "Connection: keep-alive\r\n"...)
	}
}
