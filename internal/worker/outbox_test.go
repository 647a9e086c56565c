package worker

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"serval/internal/testkit"
	"serval/internal/wire"

	"golang.org/x/sys/unix"
)

// shared is the file of an outbox, as a worker makes it.
func shared(t testing.TB, size int64, seals int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("outbox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "outbox")
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	return file
}

func openNull(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

const sealed = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

func anOutbox(t testing.TB) *outbox {
	t.Helper()
	o, err := openOutbox(shared(t, outboxAt+outboxSize, sealed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	return o
}

// post puts a frame in, as outbox.h does.
func (o *outbox) post(frame []byte) (there bool) {
	put, taken := *o.number(outboxPut), atomic.LoadUint32(o.number(outboxTaken))
	at, whole, skipped := put%outboxSize, (uint32(len(frame))+outboxStep-1)&^(outboxStep-1), uint32(0)
	if at+whole > outboxSize {
		skipped = outboxSize - at
	}
	if skipped+whole > outboxSize-(put-taken) {
		return false
	}
	if skipped > 0 {
		clear(o.memory[outboxAt+at : outboxAt+at+4])
		at = 0
	}
	copy(o.memory[outboxAt+at:], frame)
	atomic.StoreUint32(o.number(outboxPut), put+skipped+whole)
	return true
}

func response(id uint32, body []byte) []byte {
	return wire.Append(nil, &wire.Frame{Type: wire.Response, Code: 200, ID: id, Body: body})
}

func TestWhatIsPutIntoAnOutboxComesOutInOrderHoweverItLies(t *testing.T) {
	o := anOutbox(t)
	*o.number(outboxPut), *o.number(outboxTaken) = ^uint32(0)-999_999, ^uint32(0)-999_999 // it is a multiple of the step; the numbers overflow on the way
	random := rand.New(rand.NewPCG(1, 2))
	var posted, taken uint32
	var sizes []int
	for taken < 20_000 {
		body := bytes.Repeat([]byte{byte(posted)}, random.IntN(16<<10))
		for random.IntN(4) > 0 && o.post(response(posted, body)) {
			sizes = append(sizes, len(body))
			posted++
			body = bytes.Repeat([]byte{byte(posted)}, random.IntN(200))
		}
		frames, err := o.take()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			if f.ID != taken || f.Type != wire.Response || len(f.Body) != sizes[taken] || bytes.Count(f.Body, []byte{byte(taken)}) != sizes[taken] {
				t.Fatalf("frame %d of type %s with %d bytes came in place of %d with %d", f.ID, f.Type, len(f.Body), taken, sizes[taken])
			}
			taken++
		}
		o.release()
		if taken != posted || o.more() {
			t.Fatalf("%d of %d came", taken, posted)
		}
	}
}

func TestWhatIsNoOutboxIsRefused(t *testing.T) {
	for what, file := range map[string]*os.File{
		"the limit of open files": nil,
		"not sealed (0":           shared(t, outboxAt+outboxSize, 0),
		"another size":            shared(t, outboxAt, sealed),
		"that is not sealed":      openNull(t),
	} {
		if _, err := openOutbox(file); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The app runs in the process that writes there: whatever it is, the front must bear it.
func TestAnyBytesInAnOutboxAreBorne(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for range 3000 {
		o := anOutbox(t)
		for i := range 64 {
			binary.BigEndian.PutUint32(o.memory[outboxAt+i*16:], uint32(random.IntN(1<<random.IntN(32))))
		}
		*o.number(outboxTaken) = uint32(random.IntN(64) * 16)
		*o.number(outboxPut) = uint32(random.IntN(1 << (1 + random.IntN(31))))
		if _, err := o.take(); err != nil {
			refused++
		}
		o.release()
		o.close()
	}
	if refused < 100 {
		t.Errorf("only %d of 3000 were refused", refused)
	}
}

func TestAnOutboxSaysWhetherTheFrontSleeps(t *testing.T) {
	o := anOutbox(t)
	if !o.Doze() || *o.number(outboxFront) != frontAsleep {
		t.Error("the front cannot sleep, though there is nothing")
	}
	o.Wake()
	o.post(response(1, nil))
	if o.Doze() || *o.number(outboxFront) != frontAwake {
		t.Error("the front sleeps, though there is something")
	}
	o.take() //nolint:errcheck // it is there
	o.release()
	if !o.Doze() {
		t.Error("the front cannot sleep, though it has taken everything")
	}
	o.close()
	if frames, err := o.take(); len(frames) > 0 || err != nil || !o.Doze() || o.more() {
		t.Error("something comes of an outbox that is closed")
	}
	o.Wake()
}

// A worker that the script plays has an outbox of Ruby's IO, which is coherent with the mapping.
const outboxOfScript = `
require "fiddle"
CREATE = Fiddle::Function.new(Fiddle.dlopen(nil)["memfd_create"], [Fiddle::TYPE_VOIDP, Fiddle::TYPE_INT], Fiddle::TYPE_INT)
BOX = File.for_fd(CREATE.call("outbox", 3), "r+b") # MFD_CLOEXEC | MFD_ALLOW_SEALING
BOX.truncate(4096 + (1 << 20))
BOX.fcntl(1033, 2 | 4) # F_ADD_SEALS
OUTBOX = 19
def share = REQUESTS.sendmsg(frame(OUTBOX, 0), 0, nil, Socket::AncillaryData.unix_rights(BOX))
def post(bytes)
  put = BOX.pread(4, 0).unpack1("L")
  BOX.pwrite(bytes, 4096 + put)
  BOX.pwrite([put + (bytes.bytesize + 15) / 16 * 16].pack("L"), 0)
end
def front = BOX.pread(4, 128).unpack1("L")
`

func TestWhatADeadWorkerHasPutIntoItsOutboxCounts(t *testing.T) {
	w, h := booted(t, outboxOfScript+`
		share
		message("R")
		sleep 0.001 while front.zero?
		20.times { |i| post(frame(RESPONSE, i)) } # nobody rings
		Process.kill(:KILL, $$)`)
	awaitExit(t, w)
	if h.count() != 20 {
		t.Errorf("%d of 20 responses came", h.count())
	}
}

func TestARingWakesTheFrontForWhatIsInAnOutbox(t *testing.T) {
	w, h := booted(t, outboxOfScript+`
		share
		message("R")
		sleep 0.001 while front != 2
		3.times { |i| post(frame(RESPONSE, i)) }
		say(20, 0)
		sleep`)
	eventually(t, "the responses come", func() bool { return h.count() == 3 })
	if w.Dead() {
		t.Error("it was ended")
	}
}

func TestWorkersThatMisuseAnOutboxAreKilled(t *testing.T) {
	for what, script := range map[string]string{
		"second outbox":                  `share; share`,
		"put CHUNK with flags 0 into":    `share; post(frame(CHUNK, 1)); say(20, 0)`,
		"put RESPONSE with flags 1 into": `share; post(frame(RESPONSE, 1, flags: 1)); say(20, 0)`,
		"that are no frame":              `share; post("\x7f" * 32); say(20, 0)`,
		"could not be received":          `say(OUTBOX, 0)`,
		"1048592 bytes in its outbox":    `share; BOX.pwrite([(1 << 20) + 16].pack("L"), 0); say(20, 0)`,
	} {
		w, _ := booted(t, outboxOfScript+`message("R");`+script+`; sleep`)
		exit := awaitExit(t, w)
		if exit.Fault == nil || !strings.Contains(exit.Fault.Error(), what) {
			t.Errorf("%s: it %s", what, exit)
		}
	}
}

func TestTakingFromAnOutboxAllocatesNothing(t *testing.T) {
	testkit.NeedNoRace(t)
	o := anOutbox(t)
	frame := response(1, make([]byte, 200))
	if n := testing.AllocsPerRun(1000, func() {
		o.post(frame)
		o.Doze()
		o.Wake()
		o.release()
		o.take() //nolint:errcheck // TestWhatIsPutIntoAnOutboxComesOutInOrderHoweverItLies
	}); n > 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// BenchmarkResponse is a response on its way to the front: through an outbox, and its plain twin, through the socket. Neither
// counts that somebody is woken.
func BenchmarkResponse(b *testing.B) {
	frame := response(1, make([]byte, 200))
	b.Run("outbox", func(b *testing.B) {
		o := anOutbox(b)
		for b.Loop() {
			o.post(frame)
			o.take() //nolint:errcheck // as above
			o.release()
		}
	})
	b.Run("socket", func(b *testing.B) {
		ours, theirs, err := socketFDs(unix.SOCK_STREAM, "requests")
		if err != nil {
			b.Fatal(err)
		}
		defer theirs.Close()
		defer unix.Close(ours) //nolint:errcheck // nothing is written to it
		fd, buf := int(theirs.Fd()), make([]byte, 1000)
		var f wire.Frame
		for b.Loop() {
			syscall.Write(fd, frame)        //nolint:errcheck // it takes what is read at once
			n, _ := syscall.Read(ours, buf) //nolint:errcheck // as above
			wire.Decode(buf[:n], &f)        //nolint:errcheck // as above
		}
	})
}
