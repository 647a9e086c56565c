package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is a Socket that is watched, and its other end.
func pair(t *testing.T, readable func(*Socket)) (*Socket, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "peer")
	peer, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	s := New(fds[0], nil)
	t.Cleanup(func() { s.Close(); peer.Close() })
	if readable != nil {
		if err := s.Watch(false, func() { readable(s) }); err != nil {
			t.Fatal(err)
		}
	}
	return s, peer
}

func ignore(*Socket) {}

// soon fails the test when it does not happen.
func soon(t *testing.T, what string, happens <-chan struct{}) {
	t.Helper()
	select {
	case <-happens:
	case <-time.After(20 * time.Second):
		t.Fatal("it did not come about that " + what)
	}
}

func TestTheOwnerIsToldOfWhatComes(t *testing.T) {
	told := make(chan struct{}, 100)
	s, peer := pair(t, func(*Socket) { told <- struct{}{} })
	for _, text := range []string{"first", "second"} {
		if _, err := peer.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		soon(t, "the owner is told of the "+text, told)
		got := make([]byte, 10)
		n := 0
		if err := s.Try(func(fd int) { n, _ = unix.Read(fd, got) }); err != nil || string(got[:n]) != text {
			t.Errorf("it reads %q, %v", got[:max(n, 0)], err)
		}
	}
	if s.Ended() {
		t.Error("the other side is said to have ended")
	}
	peer.Close()
	soon(t, "the owner is told of the end", told)
	if !s.Ended() {
		t.Error("the other side is not said to have ended")
	}
}

func TestWhatCameBeforeTheWatchIsTold(t *testing.T) {
	s, peer := pair(t, nil)
	if _, err := peer.Write([]byte("early")); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 1)
	if err := s.Watch(false, func() { told <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	soon(t, "the owner is told", told)
}

// A goroutine that waits gets what comes; its owner is not bothered.
func TestAGoroutineMayWait(t *testing.T) {
	s, peer := pair(t, ignore)
	want := bytes.Repeat([]byte("0123456789"), 100_000) // more than the buffers hold, both ways
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := s.Write(want); err != nil {
			t.Error(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	both.Go(func() {
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("it reads %d bytes of %d, %v", len(got), len(want), err)
		}
	})
	both.Go(func() {
		if _, err := peer.Write(want); err != nil {
			t.Error(err)
		}
		peer.(*net.UnixConn).CloseWrite() //nolint:errcheck // the reader would wait for ever, and tell
	})
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the peer reads %d bytes of %d, %v", len(got), len(want), err)
	}
	both.Wait()
}

func TestDeadlinesEndAWait(t *testing.T) {
	for name, set := range map[string]func(*Socket) error{
		"that is over": func(s *Socket) error { return s.SetReadDeadline(time.Unix(1, 0)) },
		"that comes":   func(s *Socket) error { return s.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) },
		"set during the wait": func(s *Socket) error {
			time.AfterFunc(20*time.Millisecond, func() { s.SetReadDeadline(time.Unix(1, 0)) })
			return nil
		}, //nolint:errcheck // the read will tell
		"for reading and after": func(s *Socket) error { return s.SetDeadline(time.Now().Add(20 * time.Millisecond)) },
	} {
		t.Run(name, func(t *testing.T) {
			s, peer := pair(t, ignore)
			if err := set(s); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !s.Expired() {
				t.Errorf("the read ends with %v", err)
			}
			if err := s.SetReadDeadline(time.Time{}); err != nil || s.Expired() {
				t.Errorf("there is a deadline still: %v", err)
			}
			peer.Write([]byte("x")) //nolint:errcheck // the read will tell
			if n, err := s.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("without a deadline it reads %d, %v", n, err)
			}
		})
	}
}

func TestClosingEndsAWait(t *testing.T) {
	s, _ := pair(t, ignore)
	time.AfterFunc(10*time.Millisecond, func() { s.Close() })
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read ends with %v", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write says %v", err)
	}
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing twice says %v", err)
	}
	if err := s.SetReadDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline says %v", err)
	}
}

// A number comes to mean another socket as soon as it is free. Nobody may hear of another's bytes.
func TestANewSocketOfTheSameNumberIsAnother(t *testing.T) {
	for range 300 {
		old, peer := pair(t, func(s *Socket) {
			s.Try(func(fd int) { //nolint:errcheck // a closed socket has nothing to read
				got := make([]byte, 4)
				if n, _ := unix.Read(fd, got); n > 0 && string(got[:n]) != "old" {
					t.Errorf("the old one reads %q", got[:n])
				}
			})
		})
		peer.Write([]byte("old")) //nolint:errcheck // whether it is read in time does not matter
		old.Close()
		told := make(chan struct{}, 10)
		next, other := pair(t, func(*Socket) { told <- struct{}{} })
		other.Write([]byte("new")) //nolint:errcheck // it is awaited
		soon(t, "the new one hears", told)
		got := make([]byte, 4)
		if n, err := next.Read(got); string(got[:n]) != "new" {
			t.Fatalf("the new one reads %q, %v", got[:n], err)
		}
	}
}

func TestADuplicateOutlivesTheSocket(t *testing.T) {
	s, peer := pair(t, ignore)
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.Close()
	if _, err := f.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(peer, got); string(got) != "hello" {
		t.Errorf("the peer reads %q, %v", got, err)
	}
}

// Who owns a socket closes it with a lock held that its users want as well, or while it uses the socket itself.
func TestClosingWaitsForNoUser(t *testing.T) {
	s, peer := pair(t, ignore)
	using, closed := make(chan struct{}), make(chan struct{})
	var user sync.WaitGroup
	defer user.Wait()
	user.Go(func() {
		if err := s.Try(func(fd int) {
			close(using)
			soon(t, "it is closed while it is used", closed)
			if _, err := unix.Write(fd, []byte("the last")); err != nil {
				t.Errorf("the descriptor is not there any more for who uses it: %v", err)
			}
			if err := s.Try(func(int) { t.Error("a user is let in after the end") }); !errors.Is(err, net.ErrClosed) {
				t.Errorf("who comes after the end is told %v", err)
			}
		}); err != nil {
			t.Error(err)
		}
	})
	soon(t, "it is used", using)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("who closes it again is told %v", err)
	}
	close(closed)
	peer.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // the read would wait, and tell
	if all, err := io.ReadAll(peer); string(all) != "the last" || err != nil {
		t.Errorf("the peer reads %q, %v: the last user closes the descriptor", all, err)
	}
}
