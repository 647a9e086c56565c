package logs

// AccessLog writes a line for each request.
type AccessLog struct {
	out *Stream
	as  func(dst []byte, a *Access) []byte
}

// NewAccessLog returns an access log that writes to out. The stream stays the caller's to close.
func NewAccessLog(out *Stream, as Format) *AccessLog {
	if as == JSON {
		return &AccessLog{out, AppendAccessJSON}
	}
	return &AccessLog{out, AppendAccess}
}

// Add takes one request, and keeps nothing of it. It may be called by many goroutines, and never waits for the writer.
func (l *AccessLog) Add(a *Access) {
	l.out.Add(func(dst []byte) []byte { return l.as(dst, a) })
}
