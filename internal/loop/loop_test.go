package loop

import (
	"io"
	"net"
	"os"
	"serval/internal/testkit"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// While others have to wait, prompt sockets are heard at once, and the others within moments.
func TestPromptSocketsDoNotWait(t *testing.T) {
	Hold(func() (bool, time.Duration) { return true, 0 })
	defer Hold(func() (bool, time.Duration) { return false, 0 })
	heard := make(chan string, 100)
	s, peer := pair(t, func(*Socket) { heard <- "client" })
	_ = s
	p, worker := pair(t, nil)
	if err := p.Watch(true, func() { heard <- "worker" }); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Millisecond)
	for range 20 {
		worker.Write([]byte("x")) //nolint:errcheck // it is awaited
		peer.Write([]byte("x"))   //nolint:errcheck // as above
		got := map[string]bool{}
		for len(got) < 2 {
			select {
			case who := <-heard:
				got[who] = true
			case <-time.After(20 * time.Second):
				t.Fatalf("only these were heard: %v", got)
			}
		}
	}
}

func TestAnAlarmRingsInTime(t *testing.T) {
	rang := make(chan struct{}, 100)
	a, err := NewAlarm(func() { rang <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	for _, wait := range []time.Duration{0, 3 * time.Millisecond, 30 * time.Millisecond} {
		began := time.Now()
		a.Set(began.Add(wait))
		soon(t, "the alarm rings", rang)
		if took := time.Since(began); took < wait {
			t.Errorf("it rang after %s in place of %s", took, wait)
		}
	}
	a.Set(time.Now().Add(time.Hour))
	a.Set(time.Now().Add(time.Millisecond)) // earlier than that for which the loop sleeps
	soon(t, "the alarm rings at the earlier time", rang)
	select {
	case <-rang:
		t.Error("it rang again")
	case <-time.After(20 * time.Millisecond):
	}
}

func TestAStoppedAlarmIsSilent(t *testing.T) {
	rang := make(chan struct{}, 100)
	a, err := NewAlarm(func() { rang <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	a.Set(time.Now().Add(10 * time.Millisecond))
	a.Stop()
	other, err := NewAlarm(func() { rang <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer other.Stop()
	other.Set(time.Now().Add(30 * time.Millisecond))
	soon(t, "the other one rings", rang)
	if len(rang) > 0 {
		t.Error("the stopped one rang as well")
	}
}

// An event costs no allocation: there are tens of thousands a second.
func TestAnEventAllocatesNothing(t *testing.T) {
	testkit.NeedNoRace(t)
	told := make(chan struct{}, 1)
	buf := make([]byte, 16)
	read := func(fd int) { unix.Read(fd, buf) } //nolint:errcheck // what was written is there
	s, peer := pair(t, func(s *Socket) {
		s.Try(read) //nolint:errcheck // it is open
		told <- struct{}{}
	})
	_ = s
	message := []byte("x")
	if n := testing.AllocsPerRun(500, func() {
		peer.Write(message) //nolint:errcheck // it is awaited
		<-told
	}); n > 0 {
		t.Errorf("%v allocations per event", n)
	}
}

// BenchmarkEcho is what a message there and back costs when the loop answers; BenchmarkEchoByGoroutine is its plain twin.
func BenchmarkEcho(b *testing.B) {
	ours, theirs := descriptors(b)
	buf := make([]byte, 16)
	echo := func(fd int) {
		if n, _ := unix.Read(fd, buf); n > 0 {
			unix.Write(fd, buf[:n]) //nolint:errcheck // the other side waits for it
		}
	}
	s := New(ours, nil)
	defer s.Close()
	if err := s.Watch(false, func() { s.Try(echo) }); err != nil { //nolint:errcheck // it is open
		b.Fatal(err)
	}
	exchange(b, theirs)
}

func BenchmarkEchoByGoroutine(b *testing.B) {
	ours, theirs := descriptors(b)
	f := os.NewFile(uintptr(ours), "ours")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	go io.Copy(conn, struct{ io.Reader }{conn}) //nolint:errcheck // it ends with the connection
	exchange(b, theirs)
}

func descriptors(b *testing.B) (ours, theirs int) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(fds[1]) }) //nolint:errcheck // nothing was written that matters
	return fds[0], fds[1]
}

func exchange(b *testing.B, fd int) {
	b.ReportAllocs()
	buf := make([]byte, 16)
	for b.Loop() {
		if _, err := unix.Write(fd, buf[:1]); err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Read(fd, buf); err != nil {
			b.Fatal(err)
		}
	}
}
