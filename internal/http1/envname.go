package http1

// AppendEnvName appends the CGI name of a header (RFC 3875 §4.1.18): upper case, dashes as underscores, HTTP_ before
// all but CONTENT_TYPE and CONTENT_LENGTH.
//
// A name spelled with underscores is never given one of those two: Content_Length becomes HTTP_CONTENT_LENGTH and
// cannot pass for the length the server has checked.
func AppendEnvName(dst, name []byte) []byte {
	if !EqualFold(name, "content-type") && !EqualFold(name, "content-length") {
		dst = append(dst, "HTTP_"...)
	}
	for _, c := range name {
		dst = append(dst, env[c])
	}
	return dst
}
