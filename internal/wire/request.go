package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Builder makes a REQUEST frame in a buffer of its own, reused from request to request.
//
//	b.Start()
//	b.Const(method)       // keys with a constant value
//	b.Add(pathInfo, path) // keys with a value
//	b.Finish(keys, body)
//
// The id is written last of all, by SetID, once it is known which worker takes the request.
type Builder struct {
	Frame    []byte // the frame, complete after Finish
	Shape    *Shape // nil: shape 0, keys travel with the values
	sequence []byte
	strange  bool // some key has no number
}

// strangeKey marks a key that has no number; its name stands before its value.
const strangeKey Key = 0xffff

// Start empties b.
func (b *Builder) Start() {
	b.Frame = appendHeader(b.Frame[:0], Request, 0, 0, 0, 0, 0)
	b.Shape = nil
	b.sequence = b.sequence[:0]
	b.strange = false
}

// Const adds a key whose entry carries its value.
func (b *Builder) Const(key Key) {
	b.sequence = append(b.sequence, byte(key>>8), byte(key))
}

// Add adds a key and its value, which must not contain NUL.
func (b *Builder) Add(key Key, value []byte) {
	b.sequence = append(b.sequence, byte(key>>8), byte(key))
	b.Frame = append(b.Frame, value...)
	b.Frame = append(b.Frame, 0)
}

// AddStrange adds a key that has no number, because the table of keys is full.
func (b *Builder) AddStrange(name string, value []byte) {
	b.strange = true
	b.sequence = append(b.sequence, byte(strangeKey>>8), byte(strangeKey&0xff))
	b.Frame = append(b.Frame, name...)
	b.Frame = append(b.Frame, 0)
	b.Frame = append(b.Frame, value...)
	b.Frame = append(b.Frame, 0)
}

// Finish completes the frame. body is the inline body; file says that it travels as a file instead.
func (b *Builder) Finish(keys *Keys, body []byte, file bool) {
	if !b.strange {
		b.Shape = keys.Shape(b.sequence)
	}
	if b.Shape == nil {
		b.spellOut(keys)
	} else {
		binary.BigEndian.PutUint16(b.Frame[6:], b.Shape.Number)
	}
	head := len(b.Frame) - HeaderSize
	b.Frame = append(b.Frame, body...)
	if file {
		b.Frame[5] = BodyFile
	}
	binary.BigEndian.PutUint32(b.Frame, uint32(len(b.Frame)-4))
	binary.BigEndian.PutUint32(b.Frame[12:], uint32(head))
}

// spellOut rewrites the values as key, value, key, value: shape 0.
func (b *Builder) spellOut(keys *Keys) {
	values := bytes.Clone(b.Frame[HeaderSize:])
	b.Frame = b.Frame[:HeaderSize]
	next := func() []byte {
		end := bytes.IndexByte(values, 0)
		value := values[:end]
		values = values[end+1:]
		return value
	}
	for i := 0; i+1 < len(b.sequence); i += 2 {
		name, value := "", []byte(nil)
		if key := keyAt(b.sequence, i); key == strangeKey {
			name, value = string(next()), next()
		} else if entry, constant, ok := strings.Cut(keys.name(key), "="); ok {
			name, value = entry, []byte(constant)
		} else {
			name, value = entry, next()
		}
		b.Frame = append(append(b.Frame, name...), 0)
		b.Frame = append(append(b.Frame, value...), 0)
	}
}

// SetID writes the request's id into a finished frame.
func SetID(frame []byte, id uint32) { binary.BigEndian.PutUint32(frame[8:], id) }
