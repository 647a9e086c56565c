package handover

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"serval/internal/server"
)

// channels are both ends of a socket between two fronts.
func channels(t *testing.T) (one, other *Channel) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*Channel
	for i, fd := range pair {
		if ends[i], err = newChannel(fd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ends[i].Close)
	}
	return ends[0], ends[1]
}

// connected is a connection between a client and a server.
func connected(t *testing.T) (client, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); accepted.Close() })
	return client, accepted
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	one, other := channels(t)
	long := bytes.Repeat([]byte("long"), 1<<20)
	go func() {
		for _, text := range [][]byte{nil, []byte("short"), long} {
			if err := one.Send(Failed, text); err != nil {
				t.Error(err)
			}
		}
		one.Close()
	}()
	for _, want := range [][]byte{nil, []byte("short"), long} {
		m, err := other.Receive()
		if err != nil || m.Kind != Failed || !bytes.Equal(m.Text, want) || m.FD != -1 {
			t.Fatalf("%d bytes arrived as %s, %d bytes, descriptor %d, %v", len(want), m.Kind, len(m.Text), m.FD, err)
		}
	}
	if _, err := other.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end comes %v", err)
	}
}

// Every connection is another one: the response must go to the client that asked.
func TestConnectionsArriveWithTheirOwnSockets(t *testing.T) {
	one, other := channels(t)
	const n = 400
	clients := make([]net.Conn, n)
	var giving sync.WaitGroup
	for i := range n {
		client, accepted := connected(t)
		clients[i] = client
		giving.Go(func() {
			input := strings.Repeat(fmt.Sprint(i)+" ", i*10)
			if err := one.Give(server.Transfer{Conn: accepted, Input: []byte(input), Requests: int64(i), Remote: []byte(input[:min(len(input), 9)])}); err != nil {
				t.Error(err)
			}
			accepted.Close()
		})
	}
	for range n {
		m, err := other.Receive()
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Transfer()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat(fmt.Sprint(got.Requests)+" ", int(got.Requests)*10); string(got.Input) != want || string(got.Remote) != want[:min(len(want), 9)] {
			t.Errorf("connection %d came with %d bytes, from %q", got.Requests, len(got.Input), got.Remote)
		}
		fmt.Fprintf(got.Conn, "you are %d", got.Requests)
		got.Conn.Close()
	}
	giving.Wait()
	for i, c := range clients {
		if text, err := io.ReadAll(c); string(text) != fmt.Sprintf("you are %d", i) || err != nil {
			t.Fatalf("client %d read %q, %v", i, text, err)
		}
	}
}

func TestASocketThatWasSentStaysNonBlocking(t *testing.T) {
	one, other := channels(t)
	_, accepted := connected(t)
	if err := one.Give(server.Transfer{Conn: accepted}); err != nil {
		t.Fatal(err)
	}
	m, err := other.Receive()
	if err != nil {
		t.Fatal(err)
	}
	flags, err := unix.FcntlInt(uintptr(m.FD), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("the socket arrived with flags %o, %v", flags, err)
	}
	if flags, err := unix.FcntlInt(uintptr(m.FD), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a program that is started now would inherit it: %o, %v", flags, err)
	}
	m.Drop()
}

func TestNobodyIsWrittenToWhoIsGone(t *testing.T) {
	one, other := channels(t)
	_, accepted := connected(t)
	other.Close()
	if err := one.Give(server.Transfer{Conn: accepted}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("giving a connection to nobody: %v", err)
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		"\x01\xff\xff\xff\xffx":     "a hello of 4294967295 bytes",
		"\x05\x00\x00\x00\x08":      "EOF",
		"\x05\x00":                  "EOF",
		"\x05\x00\x00\x00\x00":      "without a socket",
		"\x04\x00\x00\x00\x02{}":    "without a socket",
		"\x09\x00\x00\x00\x00after": "",
	} {
		one, other := channels(t)
		if _, err := one.socket.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		one.Close()
		m, err := other.Receive()
		switch {
		case err == nil && m.Kind == Connection:
			_, err = m.Transfer()
		case err == nil && m.Kind == Listening:
			_, err = m.Listener()
		}
		if said := fmt.Sprint(err); !strings.Contains(said, says) || err == nil && says != "" {
			t.Errorf("%q: %v, and not %q", text, err, says)
		}
	}
}
