package listener

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestAllAreOpenedOrNone(t *testing.T) {
	taken := mustListen(t, "tcp://127.0.0.1:0")[0]
	free := mustListen(t, "tcp://127.0.0.1:0")[0]
	free.Close()
	path := filepath.Join(t.TempDir(), "s")
	first, last := strings.Replace(free.URL, "http", "tcp", 1), strings.Replace(taken.URL, "http", "tcp", 1)

	refused(t, "the port is taken", "unix://"+path, first, last)
	if exists(path) {
		t.Error("the socket file was left behind")
	}
	mustListen(t, first) // the port was given back
}

func TestADuplicateOutlivesItsListener(t *testing.T) {
	for _, uri := range []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "s")} {
		l := mustListen(t, uri)[0]
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr()
		if err := l.Listener.Close(); err != nil { // not Close, which would take the path away
			t.Error(err)
		}
		inner, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		answers(t, &Listener{Listener: inner}, address.Network(), address.String())
		inner.Close()
		f.Close()
	}
}

func TestClosingEndsAccept(t *testing.T) {
	l := mustListen(t, "tcp://127.0.0.1:0")[0]
	ended := make(chan error)
	go func() { _, err := l.Accept(); ended <- err }()
	l.Close()
	if err := <-ended; err == nil {
		t.Error("Accept returned a connection of a closed listener")
	}
}
