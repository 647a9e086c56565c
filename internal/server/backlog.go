package server

import (
	"io"
	"os"
)

const (
	backlogMemory = 128 << 10 // bytes a slow reader may have waiting in memory; what comes after goes to a file
	backlogPiece  = 64 << 10  // bytes read back from the file at once
)

// backlog holds the bytes of a response that the client's socket would not take yet: first those in memory, then those
// in an unlinked file, then those that had no room there, then a part of a file of the app's. A slow reader so costs disk,
// and never a Ruby thread.
type backlog struct {
	memory []byte

	spool     *os.File
	readAt    int64
	writtenAt int64

	behind []byte // in memory, but after what is in the spool, which could not be written

	file     *os.File // the app's
	fileAt   int64
	fileLeft int64
}

// spooled is how many bytes wait in the spool.
func (b *backlog) spooled() int64 { return b.writtenAt - b.readAt }

// full says that no more should be added before it is empty again, where that can be helped.
func (b *backlog) full(limit int64) bool { return b.spooled() > limit || len(b.behind) > 0 }

// add appends data. An error means that it is kept in memory, because the spool could not be written.
func (b *backlog) add(data []byte, dir string) error {
	if b.spooled() == 0 && len(b.behind) == 0 && len(b.memory)+len(data) <= backlogMemory {
		b.memory = append(b.memory, data...)
		return nil
	}
	var err error
	if len(b.behind) == 0 {
		if err = b.addToSpool(data, dir); err == nil {
			return nil
		}
	}
	b.behind = append(b.behind, data...)
	return err
}

func (b *backlog) addToSpool(data []byte, dir string) error {
	if b.spool == nil {
		f, err := spoolFile(dir)
		if err != nil {
			return err
		}
		b.spool = f
	}
	if _, err := b.spool.WriteAt(data, b.writtenAt); err != nil {
		return err
	}
	b.writtenAt += int64(len(data))
	return nil
}

// addFile appends a part of a file, which is then the backlog's to close. Nothing can be added after it.
func (b *backlog) addFile(f *os.File, offset, size int64) {
	b.file, b.fileAt, b.fileLeft = f, offset, size
}

// next returns the bytes to write next, in memory; nil when there are none or only the app's file is left.
func (b *backlog) next() ([]byte, error) {
	if len(b.memory) > 0 {
		data := b.memory
		b.memory = nil
		return data, nil
	}
	left := b.spooled()
	if left == 0 {
		data := b.behind
		b.behind = nil
		return data, nil
	}
	data := make([]byte, min(left, backlogPiece))
	if _, err := io.ReadFull(io.NewSectionReader(b.spool, b.readAt, int64(len(data))), data); err != nil {
		return nil, err
	}
	b.readAt += int64(len(data))
	if b.spooled() == 0 {
		b.readAt, b.writtenAt = 0, 0
		b.spool.Truncate(0) //nolint:errcheck // it only gives the disk its space back early
	}
	return data, nil
}

// sent notes that n bytes of the app's file are written.
func (b *backlog) sent(n int64) {
	b.fileAt += n
	b.fileLeft -= n
	if b.fileLeft == 0 && b.file != nil {
		b.file.Close()
		b.file = nil
	}
}

// discard drops everything.
func (b *backlog) discard() {
	if b.spool != nil {
		b.spool.Close()
	}
	if b.file != nil {
		b.file.Close()
	}
	*b = backlog{}
}
