package wire

import (
	"bytes"
	"strings"
	"testing"
)

func TestFramesSurviveTheWay(t *testing.T) {
	frames := []Frame{
		{Type: Define, Code: 7, Head: []byte("REQUEST_METHOD=GET\x00PATH_INFO\x00")},
		{Type: Request, Code: 7, ID: 0x00010002, Head: []byte("/\x00"), Body: []byte("a body\x00with NUL")},
		{Type: Response, Flags: Busy, Code: 404, ID: 1 << 31, Head: []byte("a\x00b\x00"), Body: bytes.Repeat([]byte("x"), 300<<10)},
		{Type: Free, ID: 3},
	}
	var stream []byte
	for i := range frames {
		stream = Append(stream, &frames[i])
	}
	for i := range frames {
		need, err := Need(stream)
		if err != nil || need == 0 {
			t.Fatalf("frame %d: Need = %d, %v", i, need, err)
		}
		var have Frame
		if err := Decode(stream[:need], &have); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		want := frames[i]
		if have.Type != want.Type || have.Flags != want.Flags || have.Code != want.Code || have.ID != want.ID ||
			!bytes.Equal(have.Head, want.Head) || !bytes.Equal(have.Body, want.Body) {
			t.Errorf("frame %d (%s) came back as %s, flags %d, code %d, id %d, %d+%d bytes",
				i, want.Type, have.Type, have.Flags, have.Code, have.ID, len(have.Head), len(have.Body))
		}
		stream = stream[need:]
	}
	if len(stream) > 0 {
		t.Errorf("%d bytes are left over", len(stream))
	}
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		bytes []byte
		want  string
	}{
		"shorter than its header": {[]byte{0, 0, 0, 3, 1, 2, 3}, "outside"},
		"longer than allowed":     {[]byte{0xff, 0xff, 0xff, 0xff}, "outside"},
		"head longer than frame":  {append([]byte{0, 0, 0, 12, 2, 0, 0, 0, 0, 0, 0, 1}, 0, 0, 0, 9), "head of 9"},
	} {
		t.Run(name, func(t *testing.T) {
			need, err := Need(test.bytes)
			if err == nil {
				var f Frame
				err = Decode(test.bytes[:need], &f)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, and should speak of %q", err, test.want)
			}
		})
	}
}

func TestNeedWaitsForTheLength(t *testing.T) {
	for n := range 4 {
		if need, err := Need(make([]byte, n)); need != 0 || err != nil {
			t.Errorf("with %d bytes Need = %d, %v; it cannot know yet", n, need, err)
		}
	}
}

func TestFileRangesAreChecked(t *testing.T) {
	if _, _, err := FileRange(make([]byte, 15)); err == nil {
		t.Error("15 bytes passed for a range")
	}
	if _, _, err := FileRange(bytes.Repeat([]byte{0xff}, 16)); err == nil {
		t.Error("a negative range passed")
	}
	offset, size, err := FileRange([]byte{0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0})
	if err != nil || offset != 5 || size != 1<<32 {
		t.Errorf("the range is %d+%d, %v", offset, size, err)
	}
}

// FuzzDecode looks for bytes that make the front read outside a frame: a worker is the app's code, and must not be able
// to take the front down.
func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, &Frame{Type: Response, Code: 200, Head: []byte("a\x00b\x00"), Body: []byte("x")}))
	f.Add([]byte{0, 0, 0, 12, 10, 0, 0, 200, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		need, err := Need(data)
		if err != nil || need == 0 || need > len(data) {
			return
		}
		var frame Frame
		if Decode(data[:need], &frame) != nil {
			return
		}
		if again := Append(nil, &frame); !bytes.Equal(again, data[:need]) {
			t.Errorf("%x was read as a frame that is written %x", data[:need], again)
		}
	})
}

func TestMessagesSurviveTheWay(t *testing.T) {
	long := bytes.Repeat([]byte("y"), 2*MaxMessage)
	packet := AppendMessage(nil, Message{Kind: Backtrace, ID: 9, Text: long})
	if len(packet) != MaxMessage {
		t.Errorf("a long message became a packet of %d bytes, and the most is %d", len(packet), MaxMessage)
	}
	m, err := DecodeMessage(packet)
	if err != nil || m.Kind != Backtrace || m.ID != 9 || !bytes.HasPrefix(long, m.Text) {
		t.Errorf("it came back as %c %d with %d bytes, %v", m.Kind, m.ID, len(m.Text), err)
	}
	if _, err := DecodeMessage([]byte("abc")); err == nil {
		t.Error("3 bytes passed for a message")
	}
}
