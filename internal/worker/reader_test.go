package worker

import (
	"os"
	"testing"

	"serval/internal/testkit"
	"serval/internal/wire"
)

// counting counts frames and does nothing else.
type counting struct{ frames int }

func (c *counting) Frame(*wire.Frame, *os.File) error {
	c.frames++
	return nil
}

func (c *counting) Answers(frames []wire.Frame) error {
	c.frames += len(frames)
	return nil
}

func (c *counting) Deliver()     {}
func (c *counting) RetireAsked() {}

// There is a batch for every few requests.
func TestABatchOfResponsesAllocatesNothing(t *testing.T) {
	testkit.NeedNoRace(t)
	var batch []byte
	for id := range uint32(4) {
		batch = wire.Append(batch, &wire.Frame{Type: wire.Response, Code: 200, ID: id, Head: []byte("content-type\x00text/plain\x00"), Body: []byte("Hello, world!")})
	}
	handler := &counting{}
	w := &Worker{reader: newReader(nil), handler: handler}
	if n := testing.AllocsPerRun(100, func() {
		w.reader.start, w.reader.end = 0, copy(w.reader.buf, batch)
		if err := w.handleFrames(); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if want := 4 * 101; handler.frames != want {
		t.Errorf("%d frames came, want %d", handler.frames, want)
	}
}
