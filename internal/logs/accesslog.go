package logs

// AccessLog writes a line for each request, in the format of its stream.
type AccessLog struct{ out *Stream }

// NewAccessLog returns an access log that writes to out. The stream stays the caller's to close.
func NewAccessLog(out *Stream) *AccessLog { return &AccessLog{out} }

// Add takes one request, and keeps nothing of it. It may be called by many goroutines, and never waits for the writer.
func (l *AccessLog) Add(a *Access) {
	l.out.Add(func(dst []byte, as Format) []byte {
		if as == JSON {
			return AppendAccessJSON(dst, a)
		}
		return AppendAccess(dst, a)
	})
}
