package http1

import "strconv"

// ChunkEnd is the last chunk and an empty trailer section.
const ChunkEnd = "0\r\n\r\n"

// AppendChunk appends data as one chunk; nothing if data is empty, for an empty chunk would end the body.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = AppendChunkSize(dst, len(data))
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// AppendChunkSize appends the line before n bytes of chunk data, n > 0. The data, and a CRLF after it, are the caller's to
// write.
func AppendChunkSize(dst []byte, n int) []byte {
	dst = strconv.AppendInt(dst, int64(n), 16)
	return append(dst, "\r\n"...)
}
