package http1

// Head describes a response head to be written.
type Head struct {
	Status   int    // written as 500 if not of three digits
	Block    []byte // the worker's header block, see docs/reference/wire.md
	Minor    int    // minor version of the request, 0 or 1
	NoBody   bool   // the request was a HEAD
	Close    bool   // the server wants to close, or an HTTP/1.0 client did not ask to stay
	BodySize int64  // bytes of the body if all of it is known, -1 if it is streamed
	Raw      bool   // partial hijack: the app owns what follows, and its framing and Connection headers pass unchecked
	Date     []byte // a Date value, added to final responses unless the app set one; empty = none

	// RequestID is an X-Request-Id value, added unless the app set one; empty = none. AppendHead puts the one that was
	// written in its place, which may be a part of Block.
	RequestID []byte
}

// Framing says how to write the body that follows a head.
type Framing struct {
	Close   bool  // close the connection afterwards; always true for Raw
	Chunked bool  // write the body in chunked coding
	Length  int64 // ≥ 0: write exactly that many bytes; -1: not known
	NoBody  bool  // write no body at all, whatever the app gives

	// AppChunked says that the app set Transfer-Encoding: chunked, so that its body comes in chunks of its own making.
	// They are to be decoded and what is in them written as Chunked says: a mistake in them must not become ours.
	AppChunked     bool
	LengthMismatch bool // the app's Content-Length was not the size of its body; the size was sent
	Dropped        int  // header lines left out because they are illegal
}

// headWriter gathers what the app's headers say about framing while it copies the others.
type headWriter struct {
	Framing
	dst     []byte
	raw     bool
	dated   bool
	id      []byte // the app's X-Request-Id
	linked  bool   // the app wrote a Connection header of its own
	length  int64  // the app's Content-Length; -1 = none
	lengths int    // how many Content-Length lines the app gave, or more than one if the only one is no number
}

// AppendHead appends the status line, the headers and the blank line, and tells how to write the body.
func AppendHead(dst []byte, h *Head) ([]byte, Framing) {
	status := validStatus(h.Status)
	w := headWriter{dst: appendStatusLine(dst, status), raw: h.Raw || status == 101, length: -1}
	w.headers(h.Block)
	if len(h.Date) > 0 && !w.dated && status >= 200 {
		w.add("Date", h.Date)
	}
	if w.id != nil {
		h.RequestID = w.id
	} else if len(h.RequestID) > 0 {
		w.add("X-Request-Id", h.RequestID)
	}
	if w.raw {
		if !w.linked && status != 101 {
			w.dst = append(w.dst, "Connection: close\r\n"...) // what the app writes ends with it (RFC 9112 §6.3)
		}
		w.Close, w.Length = true, -1
	} else {
		w.Close = w.Close || h.Close
		w.frame(h, status)
		w.connection(h.Minor)
	}
	return append(w.dst, "\r\n"...), w.Framing
}

func (w *headWriter) add(name string, value []byte) {
	w.dst = append(w.dst, name...)
	w.dst = append(w.dst, ": "...)
	w.dst = append(w.dst, value...)
	w.dst = append(w.dst, "\r\n"...)
}

func (w *headWriter) headers(b block) {
	for len(b) > 0 {
		h := b.next()
		switch {
		case !h.legal:
			w.Dropped++
		case forRack(h.name) || !w.raw && w.owned(h.name, h.value):
		default:
			var lines, dropped int
			w.dst, lines, dropped = h.appendTo(w.dst)
			w.Dropped += dropped
			w.dated = w.dated || lines > 0 && EqualFold(h.name, "date")
			w.linked = w.linked || lines > 0 && EqualFold(h.name, "connection")
			if lines > 0 && EqualFold(h.name, "x-request-id") {
				w.id = h.value
			}
		}
	}
}

// forRack tells whether a header is a message to the server, not to the client.
func forRack(name []byte) bool {
	return EqualFold(name, "status") || len(name) >= len("rack.") && EqualFold(name[:len("rack.")], "rack.")
}

// owned tells whether the header is the server's to write, and takes in what the app meant by it.
func (w *headWriter) owned(name, value []byte) bool {
	switch {
	case EqualFold(name, "content-length"):
		w.contentLength(value)
	case EqualFold(name, "connection"):
		w.Close = w.Close || listHas(value, "close")
	case EqualFold(name, "transfer-encoding"):
		w.AppChunked = w.AppChunked || listHas(value, "chunked")
	default:
		return hopByHop(name)
	}
	return true
}

// hopByHop tells whether the header is about this connection (RFC 9110 §7.6.1), or announces the trailers we never send.
func hopByHop(name []byte) bool {
	switch len(name) {
	case len("te"):
		return EqualFold(name, "te")
	case len("trailer"):
		return EqualFold(name, "trailer") || EqualFold(name, "upgrade")
	case len("connection"):
		return EqualFold(name, "connection") || EqualFold(name, "keep-alive")
	case len("content-length"):
		return EqualFold(name, "content-length")
	case len("proxy-connection"):
		return EqualFold(name, "proxy-connection")
	case len("transfer-encoding"):
		return EqualFold(name, "transfer-encoding")
	}
	return false
}

// contentLength believes the app's length only if there is one and it is a number.
func (w *headWriter) contentLength(value []byte) {
	w.lengths++
	n, err := parseLength(trim(value))
	if w.lengths > 1 || err != nil {
		w.Dropped++
		w.lengths, n = 2, -1
	}
	w.length = n
}
