package http1

// Span is a piece of the buffer that holds a request's head: bytes Start to End, End not included.
type Span struct{ Start, End uint32 }

// In returns the bytes of the span. buf is the buffer that was given to Parse, or a copy of it.
func (s Span) In(buf []byte) []byte { return buf[s.Start:s.End] }

// Empty tells whether the span holds no byte.
func (s Span) Empty() bool { return s.Start == s.End }

func span(start, end int) Span { return Span{uint32(start), uint32(end)} }

// Field is one header line; the value has no blanks around it.
type Field struct{ NameStart, NameEnd, ValueStart, ValueEnd uint32 }

// Name returns the field's name as the client spelled it.
func (f Field) Name(buf []byte) []byte { return buf[f.NameStart:f.NameEnd] }

// Value returns the field's value.
func (f Field) Value(buf []byte) []byte { return buf[f.ValueStart:f.ValueEnd] }

// Request is the head of one request. The zero value is ready; Reset makes it ready again and keeps its memory.
// What it says about the request is complete once Parse has returned done.
type Request struct {
	Method   Span
	Target   Span // as sent
	Path     Span // never decoded; "*" for OPTIONS *, empty for CONNECT, "/" where an absolute-form target has none
	Query    Span // without the '?'
	Fragment Span // without the '#'; only odd clients send one

	HasQuery bool // there is a '?', maybe with nothing behind it
	Minor    int  // 0 for HTTP/1.0, 1 for HTTP/1.1 and any later 1.x
	Fields   []Field
	Host     Span // the target's authority if it has one (RFC 9112 §3.2.2), else the Host header; empty on 1.0 without

	ContentLength  int64 // -1 = none
	Chunked        bool  // the body is chunked
	KeepAlive      bool  // the client can go on with another request on this connection
	ExpectContinue bool  // the client may wait for a 100; never on HTTP/1.0 (RFC 9110 §10.1.1)
	Upgrade        bool  // Connection: upgrade and an Upgrade header; never on HTTP/1.0 (RFC 9110 §7.8)
	Size           int   // bytes of the head, from the first byte of the buffer to the end of the blank line

	stage stage
	mark  int // where the current element begins
	next  int // the first byte not looked at yet
	colon int // of the current header line
	err   *Error

	hasHost, hasAuthority, hasCoding, hasUpgrade bool // headers seen
	saidClose, saidKeepAlive, saidUpgrade        bool // Connection options seen
}

type stage uint8

const (
	atStart stage = iota
	inMethod
	inTarget
	inVersion
	atLine
	inName
	inValue
	complete
)

// Reset makes r ready for the next request.
func (r *Request) Reset() { *r = Request{Fields: r.Fields[:0]} }

// HasBody tells whether bytes of a body follow the head.
func (r *Request) HasBody() bool { return r.Chunked || r.ContentLength > 0 }

// Parse goes on where the last call stopped. buf holds all bytes of this head received so far, from its first, and may
// hold more than the head. An error is final, is an *Error, and comes as soon as the bytes that cause it are there. A nil
// lim stands for the defaults.
func (r *Request) Parse(buf []byte, lim *Limits) (done bool, err error) {
	if lim == nil {
		lim = &defaultLimits
	}
	if r.err == nil {
		limit := lim.headerBytes()
		buf = buf[:min(len(buf), limit)]
		done, r.err = r.parse(buf, lim)
		if r.err == nil && !done && len(buf) == limit {
			r.err = errHeadLong
		}
	}
	if r.err != nil {
		return false, r.err
	}
	return done, nil
}

// parse runs the stages of the request line, each of which tells whether it came to its end.
func (r *Request) parse(b []byte, lim *Limits) (bool, *Error) {
	for {
		var ok bool
		var err *Error
		switch r.stage {
		case atStart:
			r.ContentLength = -1
			ok, err = r.start(b)
		case inMethod:
			ok, err = r.method(b, lim)
		case inTarget:
			ok, err = r.target(b, lim)
		case inVersion:
			ok, err = r.version(b, lim)
		case complete:
			return true, nil
		default:
			return r.fields(b, lim)
		}
		if !ok || err != nil {
			return false, err
		}
	}
}

// enter begins the next element, whose first byte is at i.
func (r *Request) enter(s stage, i int) { r.stage, r.mark, r.next = s, i, i }

// fields reads header lines up to and with the blank line. It is one function, not three, because it runs once for every
// header of every request.
func (r *Request) fields(b []byte, lim *Limits) (bool, *Error) {
	most := lim.headerLineBytes()
	for {
		switch r.stage {
		case atLine:
			if r.next == len(b) {
				return false, nil
			}
			if b[r.next] == '\r' {
				return r.end(b)
			}
			if len(r.Fields) >= lim.headerCount() {
				return false, errFieldCount
			}
			r.enter(inName, r.next)
			fallthrough
		case inName:
			i := tokenEnd(b[:min(len(b), r.mark+most+1)], r.next)
			r.next = i
			if i-r.mark > most {
				return false, errLineLong
			}
			if i == len(b) {
				return false, nil
			}
			if b[i] != ':' || i == r.mark {
				return false, nameError(b[i], i == r.mark)
			}
			r.colon, r.next, r.stage = i, i+1, inValue
			fallthrough
		case inValue:
			i := textEnd(b[:min(len(b), r.mark+most+1)], r.next)
			r.next = i
			if i-r.mark > most {
				return false, errLineLong
			}
			if i == len(b) || b[i] == '\r' && i+1 == len(b) {
				return false, nil
			}
			if b[i] != '\r' || b[i+1] != '\n' {
				return false, valueError(b[i])
			}
			if err := r.field(b, i, lim); err != nil {
				return false, err
			}
			r.next, r.stage = i+2, atLine
		}
	}
}

func nameError(c byte, first bool) *Error {
	switch {
	case first && isBlank(c):
		return errFold
	case first && c == ':':
		return errNameEmpty
	case isBlank(c):
		return errNameBlank
	case c == '\n':
		return errBareLF
	case c == '\r':
		return errNoColon
	}
	return errNameByte
}

func valueError(c byte) *Error {
	switch c {
	case '\n':
		return errBareLF
	case '\r':
		return errBareCR
	case 0:
		return errValueNUL
	}
	return errValueByte
}
