package worker

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"serval/internal/loop"
	"serval/internal/wire"

	"golang.org/x/sys/unix"
)

// testSender is a sender whose worker is the returned connection: it reads what the worker would.
func testSender(t *testing.T) (*sender, net.Conn) {
	t.Helper()
	fd, end, err := socketFDs(unix.SOCK_STREAM, "requests")
	if err != nil {
		t.Fatal(err)
	}
	ours := loop.New(fd, nil)
	if err := ours.Watch(true, func() {}); err != nil {
		t.Fatal(err)
	}
	theirs, err := net.FileConn(end)
	end.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10); err != nil { // small, so that it is often full
		t.Fatal(err)
	}
	s := &sender{conn: ours}
	s.write = s.writeNow
	t.Cleanup(func() {
		theirs.Close()
		s.waiting.Wait()
		ours.Close()
	})
	return s, theirs
}

// numbered is a frame that says who sent it and which of theirs it is, and whose every byte can be checked.
func numbered(sender uint16, number uint32, size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(number) + byte(i)
	}
	return wire.Append(nil, &wire.Frame{Type: wire.Request, Code: sender, ID: number, Body: body})
}

// readNumbered reads one such frame.
func readNumbered(t *testing.T, from io.Reader) (sender uint16, number uint32) {
	t.Helper()
	head := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(from, head); err != nil {
		t.Fatal(err)
	}
	if head[4] != byte(wire.Request) {
		t.Fatalf("instead of a frame came % x", head)
	}
	body := make([]byte, int(binary.BigEndian.Uint32(head))+4-wire.HeaderSize)
	if _, err := io.ReadFull(from, body); err != nil {
		t.Fatal(err)
	}
	number = binary.BigEndian.Uint32(head[8:])
	for i := range body {
		if body[i] != byte(number)+byte(i) {
			t.Fatalf("byte %d of frame %d is wrong", i, number)
		}
	}
	return binary.BigEndian.Uint16(head[6:]), number
}

func TestFramesOfManyArriveWholeAndInOrder(t *testing.T) {
	s, worker := testSender(t)
	const senders, frames = 8, 50
	// Sizes from nothing to a body that takes the buffers past what is kept of them.
	sizes := []int{0, 100, 5_000, wire.InlineBody, 10, 300_000}
	var sending sync.WaitGroup
	for who := range senders {
		sending.Go(func() {
			for i := range frames {
				s.add(0, nil, numbered(uint16(who), uint32(i), sizes[(who+i)%len(sizes)]))
				s.flush()
			}
		})
	}
	var next [senders]uint32
	for range senders * frames {
		who, number := readNumbered(t, worker)
		if number != next[who] {
			t.Fatalf("of sender %d came frame %d instead of %d", who, number, next[who])
		}
		next[who]++
	}
	sending.Wait()
}

// After a burst whose buffer is not kept, what is added while the worker does not read must not go into the buffer that
// is being written.
func TestABurstLeavesTheBuffersApart(t *testing.T) {
	s, worker := testSender(t)
	send := func(number uint32, size int) {
		s.add(0, nil, numbered(0, number, size))
		s.flush()
	}
	read := func(want uint32) {
		t.Helper()
		if _, number := readNumbered(t, worker); number != want {
			t.Fatalf("instead of frame %d came %d", want, number)
		}
	}
	const large = 1_000_000                                  // kept, and more than the socket takes
	for number, size := range []int{large, large, 3 << 20} { // both buffers, then the burst
		send(uint32(number), size)
		read(uint32(number))
		s.waiting.Wait()
	}
	send(3, large)
	send(4, large)
	read(3)
	read(4)
}

func TestFlushDoesNotWaitForAWorkerThatDoesNotRead(t *testing.T) {
	s, worker := testSender(t)
	const frames = 100
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range uint32(frames) {
			s.add(0, nil, numbered(0, i, wire.InlineBody))
			s.flush()
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for the worker")
	}
	for want := range uint32(frames) {
		if _, number := readNumbered(t, worker); number != want {
			t.Fatalf("instead of frame %d came %d", want, number)
		}
	}
}

func TestAShapeIsDefinedOnceAndFirst(t *testing.T) {
	s, worker := testSender(t)
	define := wire.Append(nil, &wire.Frame{Type: wire.Define, Code: 7, Head: []byte("A\x00")})
	frame := numbered(0, 1, 3)
	for range 3 {
		s.add(7, define, frame)
	}
	s.add(0, nil, frame)
	s.end()
	got, err := io.ReadAll(worker)
	if err != nil {
		t.Fatal(err)
	}
	want := string(define) + string(frame) + string(frame) + string(frame) + string(frame)
	if string(got) != want {
		t.Errorf("the worker reads % x\ninstead of      % x", got, want)
	}
}

func TestTheEndComesAfterAllThatWasAdded(t *testing.T) {
	s, worker := testSender(t)
	const frames = 50
	for i := range uint32(frames) { // more than the socket takes
		s.add(0, nil, numbered(0, i, wire.InlineBody))
		s.flush()
	}
	s.end()
	for want := range uint32(frames) {
		if _, number := readNumbered(t, worker); number != want {
			t.Fatalf("instead of frame %d came %d", want, number)
		}
	}
	if n, err := worker.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("instead of the end came %d bytes, %v", n, err)
	}
}

func TestADeadWorkerHoldsNobody(t *testing.T) {
	s, worker := testSender(t)
	for i := range uint32(50) {
		s.add(0, nil, numbered(0, i, wire.InlineBody))
		s.flush()
	}
	worker.Close()
	s.waiting.Wait()
	s.add(0, nil, numbered(0, 0, 10))
	s.flush()
	s.end()
	if s.busy {
		t.Error("a write is under way for ever")
	}
}
