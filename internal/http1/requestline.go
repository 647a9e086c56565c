package http1

import "bytes"

// start skips one empty line before the request line, which RFC 9112 §2.2 asks for: some clients end a body with it.
func (r *Request) start(b []byte) (bool, *Error) {
	if len(b) == 0 {
		return false, nil
	}
	switch b[0] {
	case '\r':
		if len(b) == 1 {
			return false, nil
		}
		if b[1] != '\n' {
			return false, errBareCR
		}
		r.enter(inMethod, 2)
	case 0x16:
		return false, errTLS
	default:
		r.enter(inMethod, 0)
	}
	return true, nil
}

func (r *Request) method(b []byte, lim *Limits) (bool, *Error) {
	most := lim.methodBytes()
	i := tokenEnd(b[:min(len(b), r.mark+most+1)], r.next)
	r.next = i
	switch {
	case i-r.mark > most:
		return false, errMethodLong
	case i == len(b):
		return false, nil
	case b[i] == '\n':
		return false, errBareLF
	case b[i] == '\r' && i == r.mark:
		return false, errEmptyLines
	case b[i] != ' ' || i == r.mark:
		return false, errRequestLine
	}
	r.Method = span(r.mark, i)
	r.enter(inTarget, i+1)
	return true, nil
}

func (r *Request) target(b []byte, lim *Limits) (bool, *Error) {
	most := lim.targetBytes()
	i := stop(b[:min(len(b), r.mark+most+1)], r.next, ' '+1)
	r.next = i
	switch {
	case i-r.mark > most:
		return false, errTargetLong
	case i == len(b):
		return false, nil
	case b[i] == '\n':
		return false, errBareLF
	case b[i] == '\r':
		return false, errNoVersion
	case b[i] != ' ':
		return false, errTargetByte
	case i == r.mark:
		return false, errTargetEmpty
	}
	r.Target = span(r.mark, i)
	r.enter(inVersion, i+1)
	return true, nil
}

const versionBytes = len("HTTP/1.1")

// version reads the last part of the request line and then judges the whole line. The version comes first: what a later
// protocol means by its method and target is not ours to say ("PRI * HTTP/2.0").
func (r *Request) version(b []byte, lim *Limits) (bool, *Error) {
	i := r.next
	for i < len(b) && i-r.mark < versionBytes && b[i] > ' ' {
		i++
	}
	r.next = i
	if i == len(b) {
		return false, nil
	}
	minor, err := parseVersion(b[r.mark:i])
	switch {
	case err != nil:
		return false, err
	case b[i] == '\n':
		return false, errBareLF
	case b[i] != '\r':
		return false, errVersion
	case i+1 == len(b):
		return false, nil
	case b[i+1] != '\n':
		return false, errBareCR
	case !lim.allows(r.Method.In(b)):
		return false, errMethodUnknown
	}
	r.Minor = minor
	r.enter(atLine, i+2)
	return true, r.parseTarget(b)
}

// parseVersion takes HTTP/DIGIT.DIGIT (RFC 9112 §2.3). A minor version above 1 is one we may answer as 1.1.
func parseVersion(b []byte) (minor int, err *Error) {
	if len(b) == 0 {
		return 0, errNoVersion
	}
	if len(b) != versionBytes || string(b[:5]) != "HTTP/" || b[6] != '.' || !isDigit(b[5]) || !isDigit(b[7]) {
		return 0, errVersion
	}
	if b[5] != '1' {
		return 0, errVersionMajor
	}
	return min(int(b[7]-'0'), 1), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parseTarget tells the four forms of a target apart (RFC 9112 §3.2) and splits it.
func (r *Request) parseTarget(b []byte) *Error {
	target, method := r.Target.In(b), r.Method.In(b)
	switch {
	case string(method) == "CONNECT":
		if !validAuthority(target) {
			return errAuthority
		}
		r.Host, r.hasAuthority = r.Target, true
		r.Path = Span{r.Target.Start, r.Target.Start}
	case target[0] == '/':
		r.splitPath(b, int(r.Target.Start))
	case target[0] == '*':
		if len(target) > 1 {
			return errTargetForm
		}
		if string(method) != "OPTIONS" {
			return errAsterisk
		}
		r.Path = r.Target
	default:
		return r.parseAbsolute(b, target)
	}
	return nil
}

func (r *Request) parseAbsolute(b, target []byte) *Error {
	colon := bytes.IndexByte(target, ':')
	if colon < 0 || !EqualFold(target[:colon], "http") && !EqualFold(target[:colon], "https") {
		return errTargetForm
	}
	if !bytes.HasPrefix(target[colon:], []byte("://")) {
		return errTargetForm
	}
	start, end := colon+3, colon+3
	for end < len(target) && target[end] != '/' && target[end] != '?' && target[end] != '#' {
		end++
	}
	if !validAuthority(target[start:end]) {
		return errAuthority
	}
	at := int(r.Target.Start)
	r.Host, r.hasAuthority = span(at+start, at+end), true
	r.splitPath(b, at+end)
	if r.Path.Empty() {
		// No path means "/" (RFC 9110 §4.2.3). A span has to lie in the buffer, and there is a slash: that of "://".
		r.Path = span(at+colon+1, at+colon+2)
	}
	return nil
}

// splitPath splits what follows from i on into path, query and fragment.
func (r *Request) splitPath(b []byte, i int) {
	end := int(r.Target.End)
	if hash := bytes.IndexByte(b[i:end], '#'); hash >= 0 {
		r.Fragment = span(i+hash+1, end)
		end = i + hash
	}
	if mark := bytes.IndexByte(b[i:end], '?'); mark >= 0 {
		r.HasQuery, r.Query = true, span(i+mark+1, end)
		end = i + mark
	}
	r.Path = span(i, end)
}
