package http1

import "math"

// Limits bound what a client may send. Zero (or less) in a field means its default. Sizes are in bytes.
type Limits struct {
	MethodBytes     int   // the method; default 32, over it 501
	TargetBytes     int   // the request target; default 12288 (Puma's URI limit), over it 414
	HeaderLineBytes int   // one header line without its line end; default 81920 (Puma's value limit), over it 431
	HeaderBytes     int   // the whole head with request line and blank line; default 114688 (Puma's), over it 431
	HeaderCount     int   // header lines; default 200, over it 431
	BodyBytes       int64 // Content-Length or decoded chunks; 0 = unlimited, over it 413
	ChunkLineBytes  int   // one chunk-size line with its extensions; default 4096, over it 400
	ExtensionBytes  int   // what all chunk-size lines of a body hold beyond 16 bytes each; default 16384, over it 400
	TrailerBytes    int   // the trailer section after the last chunk; default 16384, over it 431

	AnyMethod bool            // accept every method that is a token
	Methods   map[string]bool // methods to accept; nil = those of the IANA registry. Others 501
}

var defaultLimits Limits

func orDefault(value, fallback int) int {
	if value <= 0 {
		return fallback
	}
	return value
}

func (l *Limits) methodBytes() int     { return orDefault(l.MethodBytes, 32) }
func (l *Limits) targetBytes() int     { return orDefault(l.TargetBytes, 12288) }
func (l *Limits) headerLineBytes() int { return orDefault(l.HeaderLineBytes, 81920) }
func (l *Limits) headerCount() int     { return orDefault(l.HeaderCount, 200) }
func (l *Limits) chunkLineBytes() int  { return orDefault(l.ChunkLineBytes, 4096) }
func (l *Limits) extensionBytes() int  { return orDefault(l.ExtensionBytes, 16384) }
func (l *Limits) trailerBytes() int    { return orDefault(l.TrailerBytes, 16384) }

// headerBytes never exceeds what the 32-bit offsets of a Span can address.
func (l *Limits) headerBytes() int {
	return min(orDefault(l.HeaderBytes, 114688), math.MaxInt32)
}

func (l *Limits) bodyBytes() int64 {
	if l.BodyBytes <= 0 {
		return math.MaxInt64
	}
	return l.BodyBytes
}
