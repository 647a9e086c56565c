package loop

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAcceptedConnectionsAreSockets(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			inner, err := net.Listen(network, address)
			if network == "tcp6" && errors.Is(err, unix.EADDRNOTAVAIL) {
				t.Skip("this machine has no IPv6")
			}
			if err != nil {
				t.Fatal(err)
			}
			l, err := Listen(inner)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial(l.Addr().Network(), l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			nc, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok && tcp.String() != client.LocalAddr().String() {
				t.Errorf("the client is %s, not %s", tcp, client.LocalAddr())
			}
			if network != "unix" && nc.LocalAddr().String() != l.Addr().String() {
				t.Errorf("its own address is %s, not %s", nc.LocalAddr(), l.Addr())
			}
			s := nc.(*Socket)
			if network != "unix" {
				s.Try(func(fd int) { //nolint:errcheck // the values will tell
					delay, _ := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
					alive, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
					if delay != 1 || alive != 1 {
						t.Errorf("TCP_NODELAY %d, SO_KEEPALIVE %d", delay, alive)
					}
				})
			}
			if err := s.Watch(false, func() {}); err != nil {
				t.Fatal(err)
			}
			client.Write([]byte("hello")) //nolint:errcheck // the read will tell
			got := make([]byte, 5)
			if _, err := io.ReadFull(nc, got); string(got) != "hello" {
				t.Errorf("it reads %q, %v", got, err)
			}
		})
	}
}

func TestAcceptEndsByItsDeadlineAndByClose(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { l.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // Accept will tell
	if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Accept ends with %v", err)
	}
	l.SetDeadline(time.Time{}) //nolint:errcheck // as above
	time.AfterFunc(10*time.Millisecond, func() { l.Close() })
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ends with %v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("somebody listens still")
	}
}

func TestAConnectionOfPackageNetBecomesASocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, err := From(nc)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := nc.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the old one is open: %v", err)
	}
	s.Write([]byte("hello")) //nolint:errcheck // the client will tell
	got := make([]byte, 5)
	if _, err := io.ReadFull(client, got); string(got) != "hello" {
		t.Errorf("the client reads %q, %v", got, err)
	}
}
