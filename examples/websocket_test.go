package examples

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// say sends a message as one text frame of a WebSocket client (RFC 6455, section 5.2). Its mask is zero, which leaves
// the text as it is.
func say(t *testing.T, c *testkit.Client, message map[string]string) {
	t.Helper()
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	const finalText, masked, longer = 0x81, 0x80, 126
	frame := []byte{finalText, masked | byte(len(text))}
	if len(text) >= longer {
		frame = []byte{finalText, masked | longer, byte(len(text) >> 8), byte(len(text))}
	}
	frame = append(frame, 0, 0, 0, 0)
	c.Send(string(append(frame, text...)))
}

// await reads messages until one contains part; pings and greetings come in between.
func await(t *testing.T, c *testkit.Client, part string) {
	t.Helper()
	for {
		if message := hear(t, c); strings.Contains(message, part) {
			return
		} else if strings.Contains(message, "reject") {
			t.Fatalf("waiting for %q, heard %q", part, message)
		}
	}
}

// hear reads one frame of a server, shorter than 64 KiB.
func hear(t *testing.T, c *testkit.Client) string {
	t.Helper()
	length := int(octets(t, c, 2)[1])
	if length == 126 {
		long := octets(t, c, 2)
		length = int(long[0])<<8 | int(long[1])
	}
	return string(octets(t, c, length))
}

func octets(t *testing.T, c *testkit.Client, n int) []byte {
	t.Helper()
	data := make([]byte, n)
	if _, err := io.ReadFull(c, data); err != nil {
		t.Fatalf("the WebSocket ended: %v", err)
	}
	return data
}
