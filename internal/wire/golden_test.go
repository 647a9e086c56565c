package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The frames in ruby/test/golden are read by the tests of both sides, so that neither can change the format alone.
func TestGoldenFrames(t *testing.T) {
	for _, name := range []string{"front.txt", "worker.txt"} {
		text, err := os.ReadFile(filepath.Join("../../ruby/test/golden", name))
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for block := range strings.SplitSeq(string(text), "\n\n") {
			want, raw, title := golden(t, block)
			if raw == nil {
				continue
			}
			count++
			if encoded := Append(nil, &want); !bytes.Equal(encoded, raw) {
				t.Errorf("%s, %s: it is written\n%x instead of\n%x", name, title, encoded, raw)
			}
			var have Frame
			need, err := Need(raw)
			if err != nil || need != len(raw) {
				t.Errorf("%s, %s: it has %d bytes, and Need says %d, %v", name, title, len(raw), need, err)
				continue
			}
			if err := Decode(raw, &have); err != nil {
				t.Errorf("%s, %s: %v", name, title, err)
			}
			if fmt.Sprintf("%+v", have) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s, %s: it is read as\n%+v instead of\n%+v", name, title, have, want)
			}
		}
		if count < 3 {
			t.Errorf("%s has %d frames", name, count)
		}
	}
}

// golden reads one block of a golden file; its format is in ruby/test/golden/README.md.
func golden(t *testing.T, block string) (f Frame, raw []byte, title string) {
	t.Helper()
	number := func(text string) uint64 {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			title = strings.TrimSpace(comment)
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
		var err error
		switch key {
		case "hex":
			var part []byte
			part, err = hex.DecodeString(strings.ReplaceAll(value, " ", ""))
			raw = append(raw, part...)
		case "type":
			n, name, _ := strings.Cut(value, " ")
			f.Type = Type(number(n))
			if f.Type.String() != name {
				t.Errorf("%s: type %s is called %s here and %s there", title, n, f.Type, name)
			}
		case "flags":
			f.Flags = uint8(number(value))
		case "code":
			f.Code = uint16(number(value))
		case "id":
			f.ID = uint32(number(value))
		case "head":
			var head string
			head, err = strconv.Unquote(value)
			f.Head = []byte(head)
		case "body":
			var body string
			body, err = strconv.Unquote(value)
			f.Body = []byte(body)
		}
		if err != nil {
			t.Fatalf("%s: %q: %v", title, line, err)
		}
	}
	return f, raw, title
}
