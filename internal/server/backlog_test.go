package server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// pull takes n pieces out of a backlog, all of it when n is negative.
func pull(t *testing.T, b *backlog, n int) (all []byte) {
	t.Helper()
	for ; n != 0; n-- {
		piece, err := b.next()
		if err != nil {
			t.Fatal(err)
		}
		if piece == nil {
			break
		}
		all = append(all, piece...)
	}
	return all
}

func TestABacklogGivesBackWhatItGotInOrder(t *testing.T) {
	dir := t.TempDir()
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		var b backlog
		var in, out []byte
		for range 50 {
			data := make([]byte, random.IntN(100_000))
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			if err := b.add(data, dir); err != nil {
				t.Fatal(err)
			}
			in = append(in, data...)
			out = append(out, pull(t, &b, random.IntN(3))...)
		}
		if out = append(out, pull(t, &b, -1)...); !bytes.Equal(in, out) {
			t.Fatalf("seed %d: of %d bytes, %d came back, or others", seed, len(in), len(out))
		}
		b.discard()
	}
}

func TestABacklogHoldsLittleInMemory(t *testing.T) {
	var b backlog
	defer b.discard()
	for range 100 {
		if err := b.add(make([]byte, 50_000), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		if len(b.memory)+len(b.behind) > backlogMemory {
			t.Fatalf("%d bytes are in memory", len(b.memory)+len(b.behind))
		}
	}
	if b.full(5_000_000) || !b.full(1_000_000) {
		t.Errorf("%d bytes are spooled", b.spooled())
	}
}

func TestAReadSpoolTakesNoDisk(t *testing.T) {
	var b backlog
	defer b.discard()
	b.add(make([]byte, 1<<20), t.TempDir())
	pull(t, &b, -1)
	if info, err := b.spool.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("the spool has %d bytes, %v", info.Size(), err)
	}
}

// A disk that fills up in the middle of a response must not change the order of its bytes.
func TestABacklogKeepsItsOrderWithoutDisk(t *testing.T) {
	var b backlog
	defer b.discard()
	dir := t.TempDir()
	in := bytes.Repeat([]byte("first "), backlogMemory/6)
	spooled := bytes.Repeat([]byte("second "), 50_000)
	for _, data := range [][]byte{in, spooled} {
		if err := b.add(data, dir); err != nil {
			t.Fatal(err)
		}
	}
	readOnly, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", b.spool.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	b.spool.Close()
	b.spool = readOnly
	in = append(in, spooled...)
	for i := range 3 {
		data := fmt.Appendf(nil, "behind %d ", i)
		if err := b.add(data, dir); (err != nil) != (i == 0) {
			t.Errorf("adding piece %d says %v", i, err)
		}
		in = append(in, data...)
	}
	if !b.full(1 << 30) {
		t.Error("without a disk, it is not full")
	}
	if out := pull(t, &b, -1); !bytes.Equal(in, out) {
		t.Errorf("of %d bytes, %d came back, or others", len(in), len(out))
	}
	if b.full(0) {
		t.Error("empty, it is full")
	}
}

func TestADirectoryThatIsNotThereIsSaidAndCostsNothing(t *testing.T) {
	var b backlog
	data := make([]byte, 2*backlogMemory)
	if err := b.add(data, "/nowhere"); err == nil {
		t.Error("no error")
	}
	if out := pull(t, &b, -1); len(out) != len(data) {
		t.Errorf("of %d bytes, %d came back", len(data), len(out))
	}
}

func TestDiscardClosesTheFiles(t *testing.T) {
	app := tempFile(t, []byte("content"))
	var b backlog
	b.add(make([]byte, 1<<20), t.TempDir())
	spool := b.spool
	b.addFile(app, 0, 7)
	b.discard()
	for _, f := range []*os.File{spool, app} {
		if _, err := f.ReadAt(make([]byte, 1), 0); err == nil || err == io.EOF {
			t.Errorf("%s is open", f.Name())
		}
	}
}
