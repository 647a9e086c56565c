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

// each accepts from a new listener until the test ends. The connections come on accepted, the reason of the end on ended.
func each(t testing.TB) (l *Listener, accepted chan net.Conn, ended chan error) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if l, err = Listen(inner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted, ended = make(chan net.Conn, 1000), make(chan error, 1)
	go func() { ended <- l.Each(func(c net.Conn) { accepted <- c }) }()
	return l, accepted, ended
}

func TestTheLoopAcceptsAllWhoCome(t *testing.T) {
	l, accepted, _ := each(t)
	const several = 5 * burst
	want := map[string]bool{}
	for range several {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		want[client.LocalAddr().String()] = true
	}
	for range several {
		nc := <-accepted
		defer nc.Close()
		if from := nc.RemoteAddr().String(); !want[from] {
			t.Errorf("%s is no client, or came twice", from)
		} else {
			delete(want, from)
		}
	}
}

// A burst ends before the queue is empty, and nobody comes after it: those who are left must be accepted all the same.
func TestTheLoopAcceptsThoseWhoWaitedForIt(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const several = 5*burst + 1
	for range several {
		client, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
	}
	l, err := Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, several)
	go l.Each(func(c net.Conn) { accepted <- c }) //nolint:errcheck // it ends with the listener
	for range several {
		(<-accepted).Close()
	}
}

// A client that has sent nothing would only have to be waited for.
func TestWhoIsAcceptedHasSentSomethingOrWasGivenTime(t *testing.T) {
	l, accepted, _ := each(t)
	for _, text := range []string{"hello", ""} {
		began := time.Now()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		time.Sleep(5 * time.Millisecond) // in which the loop would accept it
		client.Write([]byte(text))       //nolint:errcheck // the other side will tell
		nc := <-accepted
		defer nc.Close()
		n, got := 0, make([]byte, 5)
		nc.(*Socket).Try(func(fd int) { n, _ = unix.Read(fd, got) }) //nolint:errcheck // it is open
		sent := string(got[:max(n, 0)])
		if waited := time.Since(began); waited < silence*time.Second/2 && (sent == "" || sent != text) {
			t.Errorf("after %s a client was accepted that had sent %q", waited, sent)
		}
	}
}

func TestAnImpatientListenerAcceptsTheSilentAtOnce(t *testing.T) {
	l, _, _ := each(t)
	wait := func() (seconds int) {
		l.socket.Try(func(fd int) { //nolint:errcheck // it is open
			seconds, _ = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
		})
		return seconds
	}
	if wait() != silence {
		t.Errorf("a client may be silent for %d s", wait())
	}
	if l.Impatient(); wait() != 0 {
		t.Errorf("to one that is impatient, for %d s", wait())
	}
}

func TestTheLoopAcceptsNobodyAfterTheEnd(t *testing.T) {
	l, accepted, ended := each(t)
	l.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // the end will tell
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ends with %v", err)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	l.SetDeadline(time.Time{}) //nolint:errcheck // Accept will tell
	nc, err := l.Accept()      // who came after the end is there still
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if len(accepted) > 0 {
		t.Error("the loop accepted it")
	}
	go func() { ended <- l.Each(func(net.Conn) {}) }()
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close it ends with %v", err)
	}
}

// BenchmarkAccept is what a connection costs that the loop's thread accepts; BenchmarkAcceptByGoroutine is its plain twin.
func BenchmarkAccept(b *testing.B) {
	l, accepted, _ := each(b)
	comeAndGo(b, l.Addr().(*net.TCPAddr), func() net.Conn { return <-accepted })
}

func BenchmarkAcceptByGoroutine(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	comeAndGo(b, l.Addr().(*net.TCPAddr), func() net.Conn {
		nc, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		return nc
	})
}

func comeAndGo(b *testing.B, to *net.TCPAddr, accept func() net.Conn) {
	address := &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}
	said := []byte("hello")
	b.ReportAllocs()
	for b.Loop() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, address)
		}
		if err == nil {
			_, err = unix.Write(fd, said) // or it would be accepted late
		}
		if err != nil {
			b.Fatal(err)
		}
		nc := accept()
		if _, err := nc.Read(said); err != nil {
			b.Fatal(err)
		}
		nc.Close()
		unix.Close(fd) //nolint:errcheck // all was read
	}
}
