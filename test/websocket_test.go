package test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// webSocket is the client's end of a WebSocket (RFC 6455), just enough of it for tests.
type webSocket struct {
	*testkit.Client
	r *bufio.Reader
	t testing.TB
}

// Opcodes (RFC 6455 §5.2).
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// openWebSocket shakes hands over a connection.
func openWebSocket(t testing.TB, c *testkit.Client, path string, headers ...string) *webSocket {
	t.Helper()
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	c.Send(testkit.Request("GET", path, "", append(headers, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+key)...))
	w := &webSocket{c, bufio.NewReader(c), t}
	res, err := http.ReadResponse(w.r, nil)
	if err != nil {
		t.Fatalf("the WebSocket was not opened: %v", err)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Fatalf("the WebSocket was not opened: %+v", res)
	}
	return w
}

// send sends one masked frame.
func (w *webSocket) send(opcode byte, payload string) {
	w.t.Helper()
	frame := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	frame = append(frame, mask...)
	for i := range len(payload) {
		frame = append(frame, payload[i]^mask[i%4])
	}
	w.Send(string(frame))
}

// receive reads one frame; servers send theirs unmasked and, here, whole.
func (w *webSocket) receive() (opcode byte, payload string) {
	w.t.Helper()
	var head [2]byte
	w.read(head[:])
	n := uint64(head[1])
	switch n {
	case 126:
		var long [2]byte
		w.read(long[:])
		n = uint64(binary.BigEndian.Uint16(long[:]))
	case 127:
		var long [8]byte
		w.read(long[:])
		n = binary.BigEndian.Uint64(long[:])
	}
	if head[0]&0x80 == 0 || n > 1<<24 {
		w.t.Fatalf("a frame of another kind came: % x", head)
	}
	var text bytes.Buffer
	if _, err := io.CopyN(&text, w.r, int64(n)); err != nil {
		w.t.Fatalf("a frame broke off: %v", err)
	}
	return head[0] & 0x0f, text.String()
}

func (w *webSocket) read(p []byte) {
	w.t.Helper()
	if _, err := io.ReadFull(w.r, p); err != nil {
		w.t.Fatalf("no frame came: %v", err)
	}
}

// cable is a client of Action Cable.
type cable struct {
	*webSocket
	identifier string
}

// openCable opens a cable and subscribes to a channel.
func openCable(t testing.TB, c *testkit.Client, channel string) *cable {
	t.Helper()
	w := openWebSocket(t, c, "/cable", "Sec-WebSocket-Protocol: actioncable-v1-json, actioncable-unsupported", "Origin: http://serval.test")
	k := &cable{w, fmt.Sprintf(`"{\"channel\":\"%s\"}"`, channel)}
	k.expect(`"type":"welcome"`)
	k.send(opText, `{"command":"subscribe","identifier":`+k.identifier+`}`)
	k.expect(`"type":"confirm_subscription"`)
	return k
}

// perform calls an action of the channel.
func (k *cable) perform(action, text string) {
	k.t.Helper()
	k.send(opText, fmt.Sprintf(`{"command":"message","identifier":%s,"data":"{\"action\":\"%s\",\"text\":\"%s\"}"}`, k.identifier, action, text))
}

// expect reads the next message that is no ping, and checks that it has text.
func (k *cable) expect(text string) {
	k.t.Helper()
	for {
		opcode, payload := k.receive()
		if opcode == opPing {
			k.send(opPong, payload)
		} else if !strings.Contains(payload, `"type":"ping"`) {
			if opcode != opText || !strings.Contains(payload, text) {
				k.t.Fatalf("got %q (opcode %d), want %q", payload, opcode, text)
			}
			return
		}
	}
}

// hangUp says goodbye and waits for the end. Action Cable answers in kind, unless something else is still to be written.
func (k *cable) hangUp() {
	k.t.Helper()
	k.send(opClose, "\x03\xe8")
	if _, err := io.Copy(io.Discard, k.r); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		k.t.Errorf("the connection did not end but with %v", err)
	}
}
