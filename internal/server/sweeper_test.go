package server

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"serval/internal/dispatch"
)

// A client that takes its response slowly is not one that takes nothing. What the socket and the kernel's idea of
// when it is worth writing again make of it must not matter.
func TestASlowButSteadyReaderIsNotCut(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	file := tempFile(t, body)
	for name, answer := range map[string]func(dispatch.Responder){
		"memory": func(r dispatch.Responder) { r.Whole(200, nil, body) },
		"file":   func(r dispatch.Responder) { r.File(200, nil, file, 0, int64(len(body))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &app{handle: func(r *dispatch.Request) { answer(r.Responder) }}
			_, addr, _ := serving(t, Config{WriteTimeout: 600 * time.Millisecond}, a)
			c := dial(t, addr)
			c.Conn.(*net.TCPConn).SetReadBuffer(16 << 10)
			c.send("GET / HTTP/1.0\r\n\r\n")
			got := 0
			for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(50 * time.Millisecond) {
				n, err := io.ReadFull(c.Conn, make([]byte, 4<<10))
				got += n
				if err != nil {
					t.Fatalf("after %d bytes, in %s: %v", got, time.Since(began), err)
				}
			}
			rest, err := io.ReadAll(c.Conn)
			if got += len(rest); err != nil || got < len(body) {
				t.Errorf("of %d bytes, %d arrived, %v", len(body), got, err)
			}
		})
	}
}

func tempFile(t *testing.T, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err == nil {
		_, err = f.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The end of the connection is the end of such a body, so a connection that is ended early has to be reset.
func TestABodyThatEndsWithItsConnectionIsNotCutSilently(t *testing.T) {
	for name, cut := range map[string]func(*Server){
		"by the write timeout": func(*Server) {},
		"by a shutdown": func(s *Server) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{handle: func(r *dispatch.Request) {
				r.Responder.Head(200, nil, make([]byte, 16<<20))
			}}
			s, addr, _ := serving(t, Config{WriteTimeout: 300 * time.Millisecond}, a)
			c := dial(t, addr)
			c.send("GET / HTTP/1.0\r\n\r\n")
			c.Peek(1)
			cut(s)
			eventually(t, "it is cut", func() bool { return s.Connections() == 0 })
			if all, err := io.ReadAll(c.Reader); err == nil {
				t.Errorf("the client takes %d bytes for the whole body", len(all))
			}
		})
	}
}
