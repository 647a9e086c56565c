// Package wire is what crosses between the front and a worker: frames on the requests socket, messages on the
// control socket. It encodes, decodes and keeps limits; it knows no sockets and no policy.
// The format is written down in docs/reference/wire.md.
package wire

import (
	"encoding/binary"
	"fmt"
)

// Type says what a frame is.
type Type uint8

// The frames of the front (1–9) and of the worker (10–20).
const (
	Define  Type = 1
	Request Type = 2

	Response Type = 10
	Head     Type = 11
	Chunk    Type = 12
	End      Type = 13
	File     Type = 14
	Stream   Type = 15
	Hints    Type = 16
	Hijack   Type = 17
	Free     Type = 18
	Outbox   Type = 19
	Bell     Type = 20
)

var typeNames = map[Type]string{
	Define: "DEFINE", Request: "REQUEST", Response: "RESPONSE", Head: "HEAD", Chunk: "CHUNK", End: "END",
	File: "FILE", Stream: "STREAM", Hints: "HINTS", Hijack: "HIJACK", Free: "FREE",
	Outbox: "OUTBOX", Bell: "BELL",
}

func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("TYPE(%d)", uint8(t))
}

// The flags of a frame; which of them a type may carry stands in docs/reference/wire.md.
const (
	BodyFile uint8 = 1 // REQUEST: the body is a file that was sent on the control socket
	Busy     uint8 = 1 // RESPONSE, END, FILE: the thread is not free yet, FREE follows
	Partial  uint8 = 2 // HEAD: partial hijack
	Abort    uint8 = 4 // END: the body is broken
	Eager    uint8 = 8 // RESPONSE, END, FILE: requests wait for something else than the processor
)

const (
	// HeaderSize is the length of what every frame starts with, in bytes.
	HeaderSize = 16

	// MaxFrame is the longest frame either side accepts, in bytes. It leaves room for the largest request head,
	// an inline body and a header block far larger than any client would take.
	MaxFrame = 4 << 20

	// InlineBody is the longest request body that travels inside its frame, in bytes; longer ones go as a file.
	InlineBody = 64 << 10
)

// Frame is one decoded frame. Head and Body point into the buffer it was decoded from.
type Frame struct {
	Type  Type
	Flags uint8
	Code  uint16
	ID    uint32
	Head  []byte
	Body  []byte
}

// Append appends f in its encoded form.
func Append(dst []byte, f *Frame) []byte {
	dst = appendHeader(dst, f.Type, f.Flags, f.Code, f.ID, len(f.Head), len(f.Body))
	dst = append(dst, f.Head...)
	return append(dst, f.Body...)
}

func appendHeader(dst []byte, t Type, flags uint8, code uint16, id uint32, head, body int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(HeaderSize-4+head+body))
	dst = append(dst, byte(t), flags)
	dst = binary.BigEndian.AppendUint16(dst, code)
	dst = binary.BigEndian.AppendUint32(dst, id)
	return binary.BigEndian.AppendUint32(dst, uint32(head))
}

// Need returns how many bytes the frame at the start of buf has in all, or 0 while buf is too short to tell.
func Need(buf []byte) (int, error) {
	if len(buf) < 4 {
		return 0, nil
	}
	n := int64(binary.BigEndian.Uint32(buf)) + 4
	if n < HeaderSize || n > MaxFrame {
		return 0, fmt.Errorf("a frame of %d bytes is outside %d to %d", n, HeaderSize, MaxFrame)
	}
	return int(n), nil
}

// Decode reads the frame that fills buf exactly, as measured by Need.
func Decode(buf []byte, f *Frame) error {
	if len(buf) < HeaderSize {
		return fmt.Errorf("a frame of %d bytes is shorter than its header", len(buf))
	}
	head := binary.BigEndian.Uint32(buf[12:])
	if int64(head) > int64(len(buf)-HeaderSize) {
		return fmt.Errorf("a frame of %d bytes names a head of %d", len(buf), head)
	}
	f.Type = Type(buf[4])
	f.Flags = buf[5]
	f.Code = binary.BigEndian.Uint16(buf[6:])
	f.ID = binary.BigEndian.Uint32(buf[8:])
	f.Head = buf[HeaderSize : HeaderSize+int(head)]
	f.Body = buf[HeaderSize+int(head):]
	return nil
}

// FileRange reads the body of a FILE frame: which part of the file to send, in bytes.
func FileRange(body []byte) (offset, size int64, err error) {
	if len(body) != 16 {
		return 0, 0, fmt.Errorf("a FILE frame has a range of %d bytes instead of 16", len(body))
	}
	offset, size = int64(binary.BigEndian.Uint64(body)), int64(binary.BigEndian.Uint64(body[8:]))
	if offset < 0 || size < 0 {
		return 0, 0, fmt.Errorf("a FILE frame names the range %d+%d", offset, size)
	}
	return offset, size, nil
}
