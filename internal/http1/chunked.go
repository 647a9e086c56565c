package http1

import "math"

// Chunked decodes a body in chunked coding (RFC 9112 §7.1), fed in pieces of any size. The zero value is ready.
type Chunked struct {
	stage  chunkStage
	left   int64 // bytes of the current chunk's size while it is read, then of its data still to come
	total  int64 // bytes decoded or announced so far
	line   int   // bytes of the current line looked at
	excess int   // bytes of all size lines beyond plainSizeLine each
	err    *Error

	trailer int      // bytes of the trailer section looked at
	name    [24]byte // the trailer field's name, cut: the forbidden ones fit
	named   int      // length of the whole name
}

// plainSizeLine is more than the longest size that is not padded with zeros.
const plainSizeLine = 16

type chunkStage uint8

const (
	inSizeStart chunkStage = iota
	inSize
	inExtension
	atSizeLF
	inData
	atDataCR
	atDataLF
	atTrailer
	inTrailerName
	inTrailerValue
	atTrailerLF
	atLastLF
	chunksDone
)

// Reset makes c ready for the next body.
func (c *Chunked) Reset() { *c = Chunked{} }

// Total returns the bytes of the chunks whose sizes have been read; once Decode is done, the length of the body.
func (c *Chunked) Total() int64 { return c.total }

// Decode appends the data found in src to dst. consumed is how much of src belongs to this body so far; all of it,
// unless done. done means that the last chunk and the trailers, which are checked and dropped, have been read. dst may
// be src[:0] to decode in place. An error is final and is an *Error. A nil lim stands for the defaults.
func (c *Chunked) Decode(dst, src []byte, lim *Limits) (out []byte, consumed int, done bool, err error) {
	if lim == nil {
		lim = &defaultLimits
	}
	i := 0
	for c.err == nil && i < len(src) && c.stage != chunksDone {
		if c.stage == inData {
			n := int(min(c.left, int64(len(src)-i)))
			dst = append(dst, src[i:i+n]...)
			i += n
			if c.left -= int64(n); c.left == 0 {
				c.stage = atDataCR
			}
			continue
		}
		if c.err = c.step(src[i], lim); c.err == nil {
			i++
		}
	}
	if c.err != nil {
		return dst, i, false, c.err
	}
	return dst, i, c.stage == chunksDone, nil
}

// step takes one byte of anything but chunk data.
func (c *Chunked) step(b byte, lim *Limits) *Error {
	switch c.stage {
	case inSizeStart, inSize, inExtension, atSizeLF:
		return c.sizeLine(b, lim)
	case atDataCR:
		if b != '\r' {
			return errChunkEnd
		}
		c.stage = atDataLF
	case atDataLF:
		if b != '\n' {
			return errChunkEnd
		}
		c.stage = inSizeStart
	default:
		return c.trailers(b, lim)
	}
	return nil
}

func (c *Chunked) sizeLine(b byte, lim *Limits) *Error {
	if err := c.countSizeLine(lim); err != nil {
		return err
	}
	switch {
	case c.stage == atSizeLF:
		if b != '\n' {
			return errBareCR
		}
		return c.sized(lim)
	case b == '\n':
		return errBareLF
	case c.stage == inExtension:
		if b == '\r' {
			c.stage = atSizeLF
		} else if b != '\t' && (b < ' ' || b == 0x7f) {
			return errChunkExtension
		}
	case hexDigit(b) >= 0:
		if c.left > math.MaxInt64>>4 {
			return errChunkOverflow
		}
		c.left, c.stage = c.left<<4|int64(hexDigit(b)), inSize
	case c.stage == inSize && b == '\r':
		c.stage = atSizeLF
	case c.stage == inSize && b == ';':
		c.stage = inExtension
	default:
		return errChunkSize
	}
	return nil
}

// countSizeLine bounds one line, and all lines together: else a body of one-byte chunks, each with a long extension, makes the
// server read thousands of bytes for every one that BodyBytes counts.
func (c *Chunked) countSizeLine(lim *Limits) *Error {
	if c.line++; c.line > lim.chunkLineBytes() {
		return errChunkLineLong
	}
	if c.line > plainSizeLine {
		if c.excess++; c.excess > lim.extensionBytes() {
			return errChunkExcess
		}
	}
	return nil
}

// sized ends a size line.
func (c *Chunked) sized(lim *Limits) *Error {
	c.line = 0
	if c.left == 0 {
		c.stage = atTrailer
		return nil
	}
	if c.left > lim.bodyBytes()-c.total {
		return errBodyLong
	}
	c.total += c.left
	c.stage = inData
	return nil
}

func (c *Chunked) trailers(b byte, lim *Limits) *Error {
	if c.trailer++; c.trailer > lim.trailerBytes() {
		return errTrailerLong
	}
	switch c.stage {
	case atTrailer, inTrailerName:
		return c.trailerName(b)
	case inTrailerValue:
		if b == '\r' {
			c.stage = atTrailerLF
		} else if b != '\t' && (b < ' ' || b == 0x7f) {
			return valueError(b)
		}
	default:
		if b != '\n' {
			return errBareCR
		}
		if c.stage == atLastLF {
			c.stage = chunksDone
		} else {
			c.stage = atTrailer
		}
	}
	return nil
}

func (c *Chunked) trailerName(b byte) *Error {
	first := c.stage == atTrailer
	if first {
		c.named, c.stage = 0, inTrailerName
	}
	switch {
	case first && b == '\r':
		c.stage = atLastLF
	case class[b]&isToken != 0:
		if c.named < len(c.name) {
			c.name[c.named] = b
		}
		c.named++
	case first || b != ':':
		return nameError(b, first)
	case c.forbidden():
		return errTrailerField
	default:
		c.stage = inTrailerValue
	}
	return nil
}

// forbidden tells whether the trailer field would change where the message goes or ends (RFC 9110 §6.5.1). We drop trailers anyway,
// but whoever sends such a field hopes that somebody does not.
func (c *Chunked) forbidden() bool {
	if c.named > len(c.name) {
		return false
	}
	name := c.name[:c.named]
	return EqualFold(name, "content-length") || EqualFold(name, "transfer-encoding") || EqualFold(name, "host")
}
