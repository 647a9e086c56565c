package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"serval/internal/dispatch"
)

// The connection's goroutine may be anywhere between two reads when it is to hand the socket over. It must hear of it
// all the same, though the client sends nothing that would wake it.
func TestAHijackIsHeardAtAnyMoment(t *testing.T) {
	var turn int
	a := &app{handle: func(r *dispatch.Request) {
		turn++
		go func(spin int) {
			for range spin {
				runtime.Gosched()
			}
			r.Responder.Hijack(func(socket *os.File, _ []byte) {
				io.WriteString(socket, "hello") //nolint:errcheck // the client will tell
				socket.Close()
			})
		}(turn % 40)
	}}
	_, addr, _ := serving(t, Config{}, a)
	for i := range 2000 {
		c := dial(t, addr)
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if all, err := io.ReadAll(c.Reader); string(all) != "hello" || err != nil {
			t.Fatalf("try %d: the client read %q, %v", i, all, err)
		}
		c.Close()
	}
}

// What the front still has to write goes first, and the app's own bytes after it.
func TestAHijackWaitsForTheBacklog(t *testing.T) {
	first := bytes.Repeat([]byte("first "), 1<<20)
	given := make(chan struct{})
	a := &app{handle: func(r *dispatch.Request) {
		r.Responder.HijackHead(200, nil, first, func(socket *os.File, leftover []byte) {
			fmt.Fprintf(socket, "then %q", leftover)
			socket.Close()
			close(given)
		})
	}}
	_, addr, _ := serving(t, Config{}, a)
	c := dial(t, addr)
	c.send("GET / HTTP/1.0\r\n\r\n")
	c.Peek(1)
	c.send("early") // wakes the connection's goroutine while the backlog is being written
	select {
	case <-given:
		t.Error("the socket was given away while the front was writing")
	case <-time.After(100 * time.Millisecond):
	}
	all, err := io.ReadAll(c.Reader)
	if want := string(first) + `then "early"`; err != nil || !strings.HasSuffix(string(all), want) {
		t.Errorf("the client read %d bytes, at the end %q, %v", len(all), all[max(0, len(all)-20):], err)
	}
}

// A worker whose app hijacked waits for the socket, so it must hear when there is none.
func TestAHijackOfAClientThatLeftIsAnswered(t *testing.T) {
	given := make(chan *os.File, 1)
	a := &app{handle: func(r *dispatch.Request) {
		r.Responder.HijackHead(200, nil, make([]byte, 8<<20), func(socket *os.File, _ []byte) { given <- socket })
	}}
	_, addr, _ := serving(t, Config{}, a)
	c := dial(t, addr)
	c.send("GET / HTTP/1.0\r\n\r\n")
	c.Peek(1)
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
	select {
	case socket := <-given:
		if socket != nil {
			socket.Close()
		}
	case <-time.After(20 * time.Second):
		t.Error("the app waits for ever")
	}
}
