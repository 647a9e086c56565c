package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"serval/internal/wire"

	"golang.org/x/sys/unix"
)

// outbox is memory that a worker shares with the front, and puts whole responses into while the front is awake: then
// neither needs a system call for them. docs/reference/outbox.md describes it; ruby/lib/serval/outbox.h is the other side.
//
// What is there may be anything, and change at any time: the app runs in the process that writes it. So a frame is copied
// before it is looked at. Only its size can be relied on, which is sealed.
type outbox struct {
	mu     sync.Mutex // guards memory against being given back while it is used
	memory []byte     // nil: it was given back
	frame  []byte     // the copy of the frame that was taken last
}

const (
	outboxSize = 64 << 10 // bytes of frames, of which each begins at a multiple of outboxStep
	outboxAt   = 4096     // where they begin
	outboxStep = 16

	// Numbers before them, in the machine's byte order, each in a cache line of its own.
	outboxPut   = 0   // bytes that were ever put in; the worker's
	outboxTaken = 64  // bytes that were taken out; the front's
	outboxFront = 128 // what the front does
)

// What the front does. It is the front that says so, but for a worker that has woken it, and says that it is awake.
const (
	frontAwake  = 1
	frontAsleep = 2
)

// openOutbox maps the memory of a file that the worker has sent.
func openOutbox(file *os.File) (*outbox, error) {
	if file == nil {
		return nil, errors.New(noDescriptor)
	}
	defer file.Close()
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 { // it could be cut, and then end the front at a touch
		return nil, fmt.Errorf("it sent an outbox that is not sealed (%d, %v)", seals, err)
	}
	info, err := file.Stat()
	if err != nil || info.Size() != outboxAt+outboxSize {
		return nil, fmt.Errorf("it sent an outbox of another size than %d bytes (%v)", outboxAt+outboxSize, err)
	}
	memory, err := unix.Mmap(int(file.Fd()), 0, outboxAt+outboxSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map its outbox: %w", err)
	}
	return &outbox{memory: memory}, nil
}

const noDescriptor = "it sent an outbox whose descriptor could not be received: the limit of open files is too low (ulimit -n)"

// number is one of the numbers at the start of the memory.
func (o *outbox) number(at int) *uint32 { return (*uint32)(unsafe.Pointer(&o.memory[at])) }

// Doze is called before the front sleeps: from now on the worker has to wake it. It returns false if there is something to
// take, and then nothing has changed.
func (o *outbox) Doze() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.memory == nil {
		return true
	}
	// First this, then the look: a worker that puts something in looks after that whether the front sleeps.
	atomic.StoreUint32(o.number(outboxFront), frontAsleep)
	if o.there() {
		atomic.StoreUint32(o.number(outboxFront), frontAwake)
		return false
	}
	return true
}

// Wake is called when the front is awake again.
func (o *outbox) Wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.memory != nil {
		atomic.StoreUint32(o.number(outboxFront), frontAwake)
	}
}

// more says whether there is something to take.
func (o *outbox) more() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.memory != nil && o.there()
}

func (o *outbox) there() bool {
	return atomic.LoadUint32(o.number(outboxPut)) != atomic.LoadUint32(o.number(outboxTaken))
}

// next takes a frame out and decodes it into f, which is good until the next call. ok is false when there is none.
func (o *outbox) next(f *wire.Frame) (ok bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.memory == nil {
		return false, nil
	}
	taken, put := atomic.LoadUint32(o.number(outboxTaken)), atomic.LoadUint32(o.number(outboxPut))
	if taken == put {
		return false, nil
	}
	data, at := o.memory[outboxAt:], taken%outboxSize
	if binary.BigEndian.Uint32(data[at:]) == 0 { // the next one did not fit in before the end
		taken += outboxSize - at
		at = 0
	}
	length, err := wire.Need(data[at : at+4])
	whole := (uint32(length) + outboxStep - 1) &^ (outboxStep - 1)
	if err != nil || uint32(length) > outboxSize-at || whole > put-taken || put-taken > outboxSize {
		return false, fmt.Errorf("it put bytes into its outbox that are no frame (%d of %d, %v)", length, put-taken, err)
	}
	o.frame = append(o.frame[:0], data[at:at+uint32(length)]...)
	atomic.StoreUint32(o.number(outboxTaken), taken+whole)
	return true, wire.Decode(o.frame, f)
}

// close gives the memory back.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.memory != nil {
		unix.Munmap(o.memory) //nolint:errcheck // it was mapped
		o.memory = nil
	}
}
