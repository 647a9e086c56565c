package worker

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"serval/internal/loop"
	"serval/internal/wire"

	"golang.org/x/sys/unix"
)

// reader takes frames, and the descriptors that came with them, from a worker's requests socket.
//
// It calls recvmsg itself: the standard library's ReadMsgUnix allocates a peer address per call, which is one
// allocation per batch of responses on the hottest path.
type reader struct {
	socket *loop.Socket
	buf    []byte
	frame  wire.Frame // the one decoded last; on the stack of who hands it to a handler it would move to the heap, once for each read
	start  int        // first byte not yet decoded
	end    int        // end of what was read
	fds    []int

	msg unix.Msghdr
	iov unix.Iovec
	oob [256]byte
	n   int
	err error
	try func(fd int)

	came bool
}

const readerBuffer = 256 << 10

var errWorkerGone = errors.New("it closed its socket")

func newReader(socket *loop.Socket) *reader {
	r := &reader{socket: socket, buf: make([]byte, readerBuffer)}
	r.try = func(fd int) { r.came = r.recv(fd) } // bound once: a closure per read would be an allocation per read
	return r
}

// fill reads as many bytes as there are. came is false when there are none, drained says that there were no more: a read that
// the socket could not fill, and whose end was not that of a message with a descriptor.
func (r *reader) fill() (came, drained bool, err error) {
	r.makeRoom()
	room := len(r.buf) - r.end
	r.came = false
	if err := r.socket.Try(r.try); err != nil || !r.came {
		return false, true, err
	}
	if err := r.took(); err != nil {
		return true, true, err
	}
	return true, r.n < room && r.msg.Controllen == 0, nil
}

func (r *reader) took() error {
	if r.err != nil {
		return r.err
	}
	if r.n == 0 {
		return errWorkerGone
	}
	r.end += r.n
	return nil
}

func (r *reader) makeRoom() {
	if r.start == r.end {
		r.start, r.end = 0, 0
		if len(r.buf) > 1<<20 {
			r.buf = make([]byte, readerBuffer)
		}
		return
	}
	need, _ := wire.Need(r.buf[r.start:r.end])
	if need > len(r.buf) {
		grown := make([]byte, need+readerBuffer)
		copy(grown, r.buf[r.start:r.end])
		r.buf = grown
	} else if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
	}
	r.end -= r.start
	r.start = 0
}

// recv reads once; false means that nothing is there.
func (r *reader) recv(fd int) bool {
	r.iov.Base = &r.buf[r.end]
	r.iov.SetLen(len(r.buf) - r.end)
	r.msg.Iov, r.msg.Iovlen = &r.iov, 1
	r.msg.Control = &r.oob[0]
	r.msg.SetControllen(len(r.oob))
	for {
		n, _, errno := syscall.Syscall(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.msg)), unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			r.n, r.err = int(n), nil
			if r.msg.Controllen > 0 {
				r.err = r.takeDescriptors(r.oob[:r.msg.Controllen])
			}
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		default:
			r.n, r.err = 0, errno
			return true
		}
	}
}

func (r *reader) takeDescriptors(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return err
		}
		r.fds = append(r.fds, fds...)
	}
	return nil
}

// next decodes the next frame that is there in whole. ok is false when more bytes are needed.
// The frame is good until the next fill.
func (r *reader) next(f *wire.Frame) (ok bool, err error) {
	need, err := wire.Need(r.buf[r.start:r.end])
	if err != nil || need == 0 || r.end-r.start < need {
		return false, err
	}
	frame := r.buf[r.start : r.start+need]
	r.start += need
	return true, wire.Decode(frame, f)
}

// more says whether another whole frame is there.
func (r *reader) more() bool {
	need, err := wire.Need(r.buf[r.start:r.end])
	return err == nil && need > 0 && r.end-r.start >= need
}

// file returns the descriptor that came with the frame just decoded, as a file of the caller's.
func (r *reader) file(name string) *os.File {
	if len(r.fds) == 0 {
		return nil
	}
	fd := r.fds[0]
	r.fds = append(r.fds[:0], r.fds[1:]...)
	unix.SetNonblock(fd, true) //nolint:errcheck // it only saves a thread while a stream is quiet; files ignore it
	return os.NewFile(uintptr(fd), name)
}

// unclaimed says that there are descriptors which belong to no frame. One may be that of a frame still incomplete.
func (r *reader) unclaimed() error {
	if len(r.fds) > 1 {
		return fmt.Errorf("it sent %d descriptors that belong to no frame", len(r.fds))
	}
	return nil
}

// close closes descriptors that nobody took.
func (r *reader) close() {
	for _, fd := range r.fds {
		unix.Close(fd) //nolint:errcheck // nothing was written to it
	}
	r.fds = nil
}
