package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/dispatch"
	"serval/internal/wire"
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
	c.socket().SetLinger(0)
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

// Past its deadline a shutdown waits for nobody: not for an app that never answers, whatever its client is doing.
func TestShutdownEndsThoughTheAppNeverAnswers(t *testing.T) {
	for name, send := range map[string]func(*client){
		"client waits":       func(c *client) { c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") },
		"client pipelines":   func(c *client) { c.send(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2)) },
		"client half-closes": func(c *client) { c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); c.socket().CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			began := make(chan bool, 2)
			a := &app{handle: func(*dispatch.Request) { began <- true }}
			s, addr, _ := serving(t, Config{}, a)
			send(dial(t, addr))
			<-began
			time.Sleep(20 * time.Millisecond) // what follows the request is noticed
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.Shutdown(ctx)
			}()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("it waits for the app")
			}
			if a.count() == 0 {
				t.Error("the app was not told")
			}
		})
	}
}

// An app that streams but has nothing to say must not keep the connection of a client that left.
func TestAQuietStreamEndsWithItsClient(t *testing.T) {
	requests := make(chan *dispatch.Request, 1)
	s, addr, _ := serving(t, Config{}, &app{handle: func(r *dispatch.Request) { requests <- r }})
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-requests
	rest, app, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	r.Responder.Head(200, nil, []byte("first"))
	r.Responder.Stream(rest)
	c.Peek(1)
	c.Close()
	eventually(t, "the connection is forgotten", func() bool { return s.Connections() == 0 })
	if _, err := app.Write([]byte("x")); err == nil {
		t.Error("the app can go on writing")
	}
}

// A worker that dies leaves its stream to the processes that the app forked. They must not keep the client waiting.
func TestABrokenStreamEndsThoughSomebodyHoldsIt(t *testing.T) {
	requests := make(chan *dispatch.Request, 1)
	_, addr, _ := serving(t, Config{}, &app{handle: func(r *dispatch.Request) { requests <- r }})
	c := dial(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := <-requests
	rest, forked, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer forked.Close()
	r.Responder.Head(200, nil, []byte("first, "))
	r.Responder.Stream(rest)
	io.WriteString(forked, "last words") //nolint:errcheck // the client will tell
	r.Responder.End(false)
	all, _ := io.ReadAll(c.Reader)
	if !strings.Contains(string(all), "first, ") || !strings.Contains(string(all), "last words") || strings.Contains(string(all), "\r\n0\r\n") {
		t.Errorf("the client read %q", all)
	}
}

// The response ends where the app's own chunks turn out to be none, and the client sees that it is not whole.
func TestChunksOfTheAppThatAreNoneEndTheResponse(t *testing.T) {
	for name, answer := range map[string]func(dispatch.Responder){
		"in the first part": func(r dispatch.Responder) { r.Head(200, []byte("transfer-encoding\x00chunked\x00"), []byte("?")) },
		"later": func(r dispatch.Responder) {
			r.Head(200, []byte("transfer-encoding\x00chunked\x00"), []byte("2\r\nab\r\n"))
			r.Chunk([]byte("?"))
		},
	} {
		for _, ends := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, END %v", name, ends), func(t *testing.T) {
				a := &app{handle: func(r *dispatch.Request) {
					answer(r.Responder)
					if ends {
						r.Responder.End(true)
					}
				}}
				s, addr, log := serving(t, Config{}, a)
				c := dial(t, addr)
				c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if all, _ := io.ReadAll(c.Reader); strings.Contains(string(all), "\r\n0\r\n") {
					t.Errorf("the client takes the body for whole: %q", all)
				}
				eventually(t, "the connection is forgotten", func() bool { return s.Connections() == 0 })
				if !log.has("no sequence of chunks") {
					t.Errorf("the operator reads %q", log.lines)
				}
			})
		}
	}
}

// What an app reads from a socket it hijacked must not have a hole in it.
func TestAHijackWithMoreInputThanCanGoAlongIsRefused(t *testing.T) {
	requests, given := make(chan *dispatch.Request, 1), make(chan *os.File, 1)
	s, addr, log := serving(t, Config{}, &app{handle: func(r *dispatch.Request) { requests <- r }})
	c := dial(t, addr)
	// A large head makes for a large buffer.
	c.send("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 7000)+"\r\n", 10) + "\r\n")
	r := <-requests
	conn := onlyConn(t, s)
	conn.mu.Lock() // nothing is read until all of it is there
	c.send(strings.Repeat("y", wire.MaxText+1))
	eventually(t, "it has arrived", func() bool { return unsent(c.Conn) == 0 })
	conn.mu.Unlock()
	eventually(t, "it is read", func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return len(conn.work.in) > 0
	})
	r.Responder.Hijack(func(socket *os.File, _ []byte) { given <- socket })
	if socket := <-given; socket != nil {
		socket.Close()
		t.Error("the app got the socket without what had come before")
	}
	if !log.has("can go along") {
		t.Errorf("the operator reads %q", log.lines)
	}
}

// unsent is how many bytes of a connection its peer has not got.
func unsent(conn net.Conn) (n int) {
	raw, err := tcp(conn).SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	}
	return n
}

func TestIdlenessIsReportedOnce(t *testing.T) {
	idle := make(chan bool, 10)
	s, _, _ := serving(t, Config{IdleTimeout: time.Millisecond, OnIdle: func() { idle <- true }}, answering())
	<-idle
	for range 3 {
		s.checkIdle()
	}
	if len(idle) > 0 {
		t.Error("it was reported again")
	}
}
