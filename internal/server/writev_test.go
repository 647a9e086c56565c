package server

import (
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// tcpInfo is what the kernel knows about the client's side of a connection.
func tcpInfo(t testing.TB, c *net.TCPConn) (info *unix.TCPInfo) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { //nolint:errcheck // it is open
			info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// A packet for the end alone costs both sides, and an answer to it as well.
func TestTheLastBytesAndTheEndOfTheConnectionComeInOnePacket(t *testing.T) {
	if inTunnel {
		t.Skip("TLS has an end of its own")
	}
	for name, request := range map[string]string{
		"the client asked for the end": "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"HTTP/1.0":                     "GET / HTTP/1.0\r\n\r\n",
		"without a body":               "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"the server wants it":          "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, addr, _ := serving(t, Config{MaxRequests: 1}, hello())
			c := dial(t, addr)
			c.send(request)
			if got, err := io.ReadAll(c); err != nil || len(got) == 0 {
				t.Fatalf("the client got %q, %v", got, err)
			}
			// Without data are: the answer to its SYN, and one to its request, unless that came with the response.
			info := tcpInfo(t, c.socket())
			if others := info.Segs_in - info.Data_segs_in; others > 2 || info.Data_segs_in != 1 {
				t.Errorf("the client got %d packets with data and %d without", info.Data_segs_in, others)
			}
		})
	}
}

// BenchmarkWriteLast sends the last bytes of a connection with its end; BenchmarkWriteAndClose is its plain twin.
func BenchmarkWriteLast(b *testing.B) { benchmarkEnd(b, writeLast) }

func BenchmarkWriteAndClose(b *testing.B) { benchmarkEnd(b, unix.Write) }

func benchmarkEnd(b *testing.B, write func(fd int, p []byte) (int, error)) {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(l) //nolint:errcheck // nothing was written to it
	if err := unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		b.Fatal(err)
	}
	if err := unix.Listen(l, 1); err != nil {
		b.Fatal(err)
	}
	at, err := unix.Getsockname(l)
	if err != nil {
		b.Fatal(err)
	}
	response, got := make([]byte, 120), make([]byte, 4096)
	for b.Loop() {
		ours, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(ours, at)
		}
		if err != nil {
			b.Fatal(err)
		}
		theirs, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
		if err == nil {
			_, err = write(theirs, response)
		}
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(theirs) //nolint:errcheck // the client will tell
		for n := 1; n > 0; {
			if n, err = unix.Read(ours, got); err != nil {
				b.Fatal(err)
			}
		}
		unix.Close(ours) //nolint:errcheck // all was read
	}
}
