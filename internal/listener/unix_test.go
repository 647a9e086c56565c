package listener

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestASocketFileAnswersAndGoesWithItsListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b.sock")
	l := mustListen(t, "unix://"+strings.ReplaceAll(path, " ", "%20"))[0]
	if l.Name != "unix://"+path || l.URL != "unix://"+path {
		t.Errorf("have %q, %q", l.Name, l.URL)
	}
	answers(t, l, "unix", path)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if exists(path) {
		t.Error("the socket file is still there")
	}
}

func TestPermissionsAreThoseAskedForWhateverTheUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	dir := t.TempDir()
	for params, want := range map[string]fs.FileMode{
		"": 0o777, "?umask=0117": 0o660, "?umask=0077": 0o700, "?mode=0640": 0o640, "?umask=0&mode=600": 0o600,
	} {
		path := filepath.Join(dir, "s")
		l := mustListen(t, "unix://"+path+params)[0]
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%q: have %o, want %o", params, info.Mode().Perm(), want)
		}
		l.Close()
	}
	if mask := unix.Umask(0o077); mask != 0o077 {
		t.Errorf("the process's umask became %o", mask)
	}
}

func TestTheSocketOfADeadServerIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	_, kill := child(t, "plain", "unix://"+path)
	refused(t, "cannot listen on unix://"+path+": another server is answering there; stop it or choose another path", "unix://"+path)
	if !exists(path) {
		t.Fatal("the living server lost its socket file")
	}
	kill()
	if !exists(path) {
		t.Fatal("a killed server cannot have removed its socket file")
	}
	answers(t, mustListen(t, "unix://"+path)[0], "unix", path)
}

func TestAServerWithAFullBacklogIsAlive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := mustListen(t, "unix://"+path+"?backlog=1")[0]
	full := false
	for i := 0; i < 100 && !full; i++ {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		full = unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == unix.EAGAIN
	}
	if !full {
		t.Fatal("a hundred connections fit into a backlog of 1")
	}
	refused(t, "another server is answering there", "unix://"+path)
	l.Close()
}

func TestOnlySocketsAreReplaced(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		refused(t, "there is a file that is not a socket; move it away or choose another path", "unix://"+path)
	}
	if text, err := os.ReadFile(link); string(text) != "precious" {
		t.Errorf("have %q, %v", text, err)
	}
}

func TestPathsThatCannotBeAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, "the directory "+dir+"/gone does not exist; create it or choose another path", "unix://"+dir+"/gone/s")
	refused(t, "a part of the path is not a directory; choose another path", "unix://"+dir+"/file/s")
}

func TestADirectoryOfOthersIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	said, _ := child(t, "nobody", "unix:///etc/serval-test.sock")
	want := "error cannot listen on unix:///etc/serval-test.sock: this user may not write there; choose another path or change its permissions"
	if len(said) != 1 || said[0] != want {
		t.Errorf("have %q\nwant %q", said, want)
	}
}

func TestTheSocketFileOfASuccessorStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := mustListen(t, "unix://"+path)[0]
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	successor := mustListen(t, "unix://"+path)[0]
	l.Close()
	answers(t, successor, "unix", path)
}

func TestAbstractNamesHaveNoFile(t *testing.T) {
	name := fmt.Sprintf("serval-test-%d", os.Getpid())
	l := mustListen(t, "unix://@"+name)[0]
	if l.URL != "unix://@"+name || l.Name != l.URL {
		t.Errorf("have %q, %q", l.Name, l.URL)
	}
	answers(t, l, "unix", "@"+name)
	refused(t, "another process listens on that name; stop it or choose another name", "unix://@"+name)
	if exists("@" + name) {
		t.Error("a file of that name appeared")
	}
	l.Close()
	if c, err := net.Dial("unix", "@"+name); err == nil {
		c.Close()
		t.Error("somebody still answers")
	}
}

func TestTheLongestPathsAndNamesAreOpened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("p", maxUnixPath-len(dir)-1))
	name := fmt.Sprintf("%0*d", maxAbstract, os.Getpid())
	for _, l := range mustListen(t, "unix://"+path, "unix://@"+name) {
		answers(t, l, "unix", strings.TrimPrefix(l.URL, "unix://"))
	}
}
