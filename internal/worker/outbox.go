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
// What is there may be anything, and change at any time: the app runs in the process that writes it. So what the front goes by is copied
// before it is looked at. Bodies, which it only passes on, are not. Only the memory's size can be relied on, which is sealed.
type outbox struct {
	mu     sync.Mutex // guards memory against being given back while it is used
	memory []byte     // nil: it was given back

	frames []wire.Frame // that were taken last
	heads  []byte       // the copy of their numbers and heads
	upTo   uint32       // the end of them
}

const (
	outboxSize = 1 << 20 // bytes of frames, of which each begins at a multiple of outboxStep
	outboxAt   = 4096    // where they begin
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

// take returns all frames that are there. They are good until release. With an error, those before what is wrong are returned.
func (o *outbox) take() (frames []wire.Frame, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames, o.heads = o.frames[:0], o.heads[:0]
	if o.memory == nil {
		return nil, nil
	}
	o.upTo = atomic.LoadUint32(o.number(outboxTaken))
	left := atomic.LoadUint32(o.number(outboxPut)) - o.upTo
	if left > outboxSize {
		return nil, fmt.Errorf("it says that there are %d bytes in its outbox", left)
	}
	for left > 0 {
		var f wire.Frame
		there := o.memory[outboxAt+o.upTo%outboxSize:]
		whole, err := o.decode(there[:min(len(there), int(left))], &f)
		switch {
		case err != nil:
			return o.frames, err
		case whole == 0: // the next one is at the start
			whole = uint32(len(there))
		default:
			o.frames = append(o.frames, f)
		}
		if whole > left {
			return o.frames, fmt.Errorf("it put bytes into its outbox that are no frame (%d of %d)", whole, left)
		}
		o.upTo += whole
		left -= whole
	}
	return o.frames, nil
}

// decode reads the frame at the start of there, and returns how many bytes are to be passed over to the next; 0 if there is none, as
// one had no room before the end of the ring.
func (o *outbox) decode(there []byte, f *wire.Frame) (whole uint32, err error) {
	var numbers [wire.HeaderSize]byte
	if copy(numbers[:], there) >= 4 && binary.BigEndian.Uint32(numbers[:]) == 0 {
		return 0, nil
	}
	length, err := wire.Need(numbers[:])
	head := wire.HeaderSize + int64(binary.BigEndian.Uint32(numbers[12:]))
	if err != nil || length > len(there) || head > int64(length) {
		return 0, fmt.Errorf("it put bytes into its outbox that are no frame (%d and %d of %d, %v)", length, head, len(there), err)
	}
	start := len(o.heads)
	o.heads = append(append(o.heads, numbers[:]...), there[wire.HeaderSize:head]...)
	if err := wire.Decode(o.heads[start:], f); err != nil {
		return 0, err
	}
	if f.Type != wire.Response || f.Flags&wire.Busy != 0 {
		return 0, fmt.Errorf("it put %s with flags %d into its outbox", f.Type, f.Flags)
	}
	f.Body = there[head:length]
	return uint32(min((length+outboxStep-1)&^(outboxStep-1), len(there))), nil
}

// release lets the worker use the memory of the frames that were taken.
func (o *outbox) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.memory != nil {
		atomic.StoreUint32(o.number(outboxTaken), o.upTo)
	}
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
