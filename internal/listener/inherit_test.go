package listener

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// heir is a second listener on the same socket, as another process would have it.
func heir(t *testing.T, l *Listener) *Listener {
	t.Helper()
	fd, err := l.Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	other, err := Inherit(l.Pass(), fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other
}

func TestAnInheritedListenerIsTheSameToTheOutside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, uri := range []string{"tcp://127.0.0.1:0", "unix://" + path, "unix://@" + path} {
		first := mustListen(t, uri)[0]
		second := heir(t, first)
		if second.Name != first.Name || second.URL != first.URL || second.bind != first.bind {
			t.Errorf("%s became %+v", uri, second.Pass())
		}
		answers(t, first, first.Addr().Network(), first.Addr().String())
		first.Disown()
		first.Close()
		answers(t, second, second.Addr().Network(), second.Addr().String())
		serving, opened, surplus, err := Rebind([]*Listener{second}, parse(t, uri))
		if err != nil || len(serving) != 1 || len(opened)+len(surplus) > 0 {
			t.Errorf("for %s the inherited listener was not used: %v", uri, err)
		}
	}
}

func TestASocketFileGoesWithItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := mustListen(t, "unix://"+path)[0]
	heir(t, first).Close()
	if !exists(path) {
		t.Fatal("a process that does not own the file removed it")
	}
	second := heir(t, first)
	second.Own()
	first.Disown()
	first.Close()
	if !exists(path) {
		t.Fatal("the first process removed the file that it had given away")
	}
	second.Close()
	if exists(path) {
		t.Error("the owner did not remove the file")
	}
}

func TestAFileThatWasReplacedIsNotInherited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := mustListen(t, "unix://"+path)[0]
	passed := first.Pass()
	passed.Inode++ // as if the path named another file by now
	fd, err := first.Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	second, err := Inherit(passed, fd)
	if err != nil {
		t.Fatal(err)
	}
	second.Own()
	second.Close()
	if !exists(path) {
		t.Error("the file of another server was removed")
	}
}

func TestWhatIsNoSocketIsNotInherited(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	if _, err := Inherit(Passed{Name: "tcp://x"}, pipe[0]); err == nil {
		t.Error("a pipe became a listener")
	}
	if _, err := Inherit(Passed{Name: "tcp://x"}, 1<<20); err == nil {
		t.Error("a descriptor that is not open became a listener")
	}
}
