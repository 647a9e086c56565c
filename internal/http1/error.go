package http1

// Error is a reason to refuse a request. After any Error the position in the byte stream is not to be trusted: answer
// with Status and close the connection.
type Error struct {
	Status int    // HTTP status to answer with, 400–505
	Reason string // a sentence for the log and the body; holds no bytes of the request
}

func (e *Error) Error() string { return e.Reason }

func bad(reason string) *Error { return &Error{Status: 400, Reason: reason} }

// All errors are made once: a client that sends garbage shall not cost the garbage collector anything.
var (
	errTLS            = bad("a TLS handshake arrived on a plain HTTP port")
	errBareCR         = bad("a carriage return without a line feed")
	errBareLF         = bad("a line ends in a line feed without a carriage return")
	errEmptyLines     = bad("more than one empty line before the request line")
	errRequestLine    = bad("the request line does not start with a method and one space")
	errTargetEmpty    = bad("the request target is empty")
	errTargetByte     = bad("the request target contains a control character")
	errTargetForm     = bad("the request target is neither a path nor an http or https URL")
	errAsterisk       = bad("the request target * is for OPTIONS only")
	errAuthority      = bad("the authority in the request target is not valid")
	errNoVersion      = bad("the request line has no HTTP version")
	errVersion        = bad("the HTTP version is malformed")
	errVersionMajor   = &Error{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	errMethodLong     = &Error{501, "the method is longer than any known one"}
	errMethodUnknown  = &Error{501, "the method is not supported"}
	errTargetLong     = &Error{414, "the request target is too long"}
	errHeadLong       = &Error{431, "the request head is too large"}
	errLineLong       = &Error{431, "a header line is too long"}
	errFieldCount     = &Error{431, "the request has too many header lines"}
	errFold           = bad("a header line starts with a blank (folded lines are obsolete)")
	errNameEmpty      = bad("a header line has no name")
	errNameBlank      = bad("a blank before the colon of a header line")
	errNameByte       = bad("a header name contains an illegal character")
	errNoColon        = bad("a header line has no colon")
	errValueNUL       = bad("a header value contains a NUL")
	errValueByte      = bad("a header value contains a control character")
	errHostMissing    = bad("an HTTP/1.1 request needs a Host header")
	errHostTwice      = bad("two Host headers")
	errHostEmpty      = bad("the Host header is empty")
	errHostInvalid    = bad("the Host header is not a valid host and port")
	errLengthTwice    = bad("two Content-Length headers")
	errLengthInvalid  = bad("the Content-Length is not a decimal number")
	errLengthOverflow = bad("the Content-Length is larger than any body can be")
	errLengthCoding   = bad("both Content-Length and Transfer-Encoding")
	errCodingOld      = bad("Transfer-Encoding in an HTTP/1.0 request")
	errCodingTwice    = bad("two Transfer-Encoding headers")
	errCodingFinal    = bad("the Transfer-Encoding does not end in a single chunked")
	errCodingUnknown  = &Error{501, "a transfer coding other than chunked"}
	errBodyLong       = &Error{413, "the request body is too large"}
	errExpectation    = &Error{417, "an expectation other than 100-continue"}

	errChunkSize      = bad("a chunk size is not a hexadecimal number")
	errChunkOverflow  = bad("a chunk size is larger than any body can be")
	errChunkExtension = bad("a chunk extension contains a control character")
	errChunkLineLong  = bad("a chunk-size line is too long")
	errChunkExcess    = bad("the chunk extensions of the body are too long")
	errChunkEnd       = bad("a chunk is not as long as its size says")
	errTrailerLong    = &Error{431, "the trailer section is too large"}
	errTrailerField   = bad("a trailer field that may only be in the head")
)
