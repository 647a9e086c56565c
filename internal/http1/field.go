package http1

import "math"

// field takes in the header line from r.mark to i.
func (r *Request) field(b []byte, i int, lim *Limits) *Error {
	start, end := r.colon+1, i
	for start < end && isBlank(b[start]) {
		start++
	}
	for end > start && isBlank(b[end-1]) {
		end--
	}
	r.Fields = append(r.Fields, Field{uint32(r.mark), uint32(r.colon), uint32(start), uint32(end)})
	name, value := b[r.mark:r.colon], b[start:end]
	switch len(name) { // most names are told from those below by their length alone
	case len("host"):
		if EqualFold(name, "host") {
			return r.host(value, span(start, end))
		}
	case len("expect"):
		if EqualFold(name, "expect") {
			return r.expect(value)
		}
	case len("upgrade"):
		if EqualFold(name, "upgrade") {
			r.hasUpgrade = true
		}
	case len("connection"):
		if EqualFold(name, "connection") {
			r.connection(value)
		}
	case len("content-length"):
		if EqualFold(name, "content-length") {
			return r.contentLength(value, lim)
		}
	case len("transfer-encoding"):
		if EqualFold(name, "transfer-encoding") {
			return r.transferEncoding(value)
		}
	}
	return nil
}

func (r *Request) host(value []byte, at Span) *Error {
	if r.hasHost {
		return errHostTwice
	}
	r.hasHost = true
	if len(value) == 0 {
		if r.Minor == 0 {
			return nil
		}
		return errHostEmpty
	}
	if !validAuthority(value) {
		return errHostInvalid
	}
	if !r.hasAuthority {
		r.Host = at
	}
	return nil
}

func (r *Request) expect(value []byte) *Error {
	switch {
	case len(value) == 0:
	case EqualFold(value, "100-continue"):
		r.ExpectContinue = r.Minor > 0
	default:
		return errExpectation
	}
	return nil
}

func (r *Request) connection(list []byte) {
	for more := true; more; {
		var option []byte
		option, list, more = nextElement(list)
		switch {
		case EqualFold(option, "close"):
			r.saidClose = true
		case EqualFold(option, "keep-alive"):
			r.saidKeepAlive = true
		case EqualFold(option, "upgrade"):
			r.saidUpgrade = true
		}
	}
}

// contentLength refuses a second header even when it says the same: a proxy that joins or drops one may not.
func (r *Request) contentLength(value []byte, lim *Limits) *Error {
	if r.hasCoding {
		return errLengthCoding
	}
	if r.ContentLength >= 0 {
		return errLengthTwice
	}
	n, err := parseLength(value)
	if err != nil {
		return err
	}
	if n > lim.bodyBytes() {
		return errBodyLong
	}
	r.ContentLength = n
	return nil
}

// parseLength takes 1*DIGIT up to the largest int64.
func parseLength(b []byte) (int64, *Error) {
	if len(b) == 0 {
		return 0, errLengthInvalid
	}
	var n int64
	for _, c := range b {
		if !isDigit(c) {
			return 0, errLengthInvalid
		}
		digit := int64(c - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, errLengthOverflow
		}
		n = n*10 + digit
	}
	return n, nil
}

// transferEncoding takes "chunked" and nothing else. Other codings before it are valid HTTP we do not decode (501); anything
// that leaves the end of the body open is an attack or a bug (400, RFC 9112 §6.3).
func (r *Request) transferEncoding(list []byte) *Error {
	switch {
	case r.hasCoding:
		return errCodingTwice
	case r.ContentLength >= 0:
		return errLengthCoding
	case r.Minor == 0:
		return errCodingOld
	}
	r.hasCoding = true
	codings, chunked, last := 0, 0, false
	for more := true; more; {
		var coding []byte
		coding, list, more = nextElement(list)
		if len(coding) == 0 {
			return errCodingFinal
		}
		codings++
		if last = EqualFold(coding, "chunked"); last {
			chunked++
		}
	}
	if !last || chunked != 1 {
		return errCodingFinal
	}
	if codings > 1 {
		return errCodingUnknown
	}
	r.Chunked = true
	return nil
}

// end reads the blank line, whose CR is at r.next, and judges the head as a whole.
func (r *Request) end(b []byte) (bool, *Error) {
	i := r.next
	if i+1 == len(b) {
		return false, nil
	}
	if b[i+1] != '\n' {
		return false, errBareCR
	}
	if r.Minor > 0 && !r.hasHost {
		return false, errHostMissing
	}
	r.KeepAlive = !r.saidClose && (r.Minor > 0 || r.saidKeepAlive)
	r.Upgrade = r.Minor > 0 && r.saidUpgrade && r.hasUpgrade
	r.Size = i + 2
	r.enter(complete, r.Size)
	return true, nil
}
