package server

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"serval/internal/dispatch"
	"serval/internal/listener"
)

// listening opens a listener as the command line does.
func listening(t *testing.T, url string) *listener.Listener {
	t.Helper()
	binds, err := listener.ParseAll(t.TempDir(), []string{url})
	if err != nil {
		t.Fatal(err)
	}
	ls, err := listener.Listen(binds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.CloseAll(ls) })
	return ls[0]
}

// binds are the kinds of listeners there are.
func binds(t *testing.T) []string {
	return []string{"tcp://127.0.0.1:0", "unix://" + t.TempDir() + "/socket"}
}

func dialListener(t *testing.T, l net.Listener) *client {
	t.Helper()
	return dialNetwork(t, l.Addr().Network(), l.Addr().String())
}

// The kernel has told these clients that they are connected, before the server was asked to stop.
func TestShutdownServesWhoWaitsToBeAccepted(t *testing.T) {
	for _, url := range binds(t) {
		t.Run(url, func(t *testing.T) {
			l := listening(t, url)
			var clients []*client
			for i := range 500 {
				c := dialListener(t, l)
				c.send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i))
				clients = append(clients, c)
			}
			s := New(Config{Log: &testLog{}, KeepAliveTimeout: time.Minute}, answering())
			s.Serve(l)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.Shutdown(ctx)
			}()
			for i, c := range clients {
				if _, body := c.response("GET"); body != fmt.Sprintf("GET /%d", i) {
					t.Errorf("client %d got %q", i, body)
				}
				c.Close()
			}
			<-ended
		})
	}
}

// Whoever comes after that should know at once, and go elsewhere.
func TestDuringShutdownNewClientsAreRefused(t *testing.T) {
	for _, url := range binds(t) {
		t.Run(url, func(t *testing.T) {
			l := listening(t, url)
			requests := make(chan *dispatch.Request, 1)
			s := New(Config{Log: &testLog{}, KeepAliveTimeout: time.Minute}, &app{handle: func(r *dispatch.Request) { requests <- r }})
			s.Serve(l)
			running := dialListener(t, l)
			running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			r := <-requests
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.Shutdown(context.Background())
			}()
			eventually(t, "new clients are refused", func() bool {
				c, err := net.Dial(l.Addr().Network(), l.Addr().String())
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			r.Responder.Whole(200, nil, []byte("done"))
			if _, body := running.response("GET"); !strings.Contains(body, "done") {
				t.Errorf("the running request got %q", body)
			}
			running.Close()
			<-ended
		})
	}
}
