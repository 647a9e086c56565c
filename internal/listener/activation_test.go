package listener

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// passed is a socket for another server, as systemd passes it.
type passed struct {
	name string
	file *os.File
}

// socketFor opens what systemd would for ListenStream=address.
func socketFor(t *testing.T, name, network, address string) (s passed, uri string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if inner, ok := l.(*net.UnixListener); ok {
		inner.SetUnlinkOnClose(false)
	}
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	uri = network + "://" + l.Addr().String()
	l.Close()
	t.Cleanup(func() { f.Close() })
	return passed{name, f}, uri
}

// activate starts another server that gets sockets from "systemd".
func activate(t *testing.T, use string, sockets []passed, uris ...string) (said []string, kill func()) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$; exec "$@"`, "sh", self(t)}, uris...)...)
	var names []string
	for _, s := range sockets {
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.file)
		names = append(names, s.name)
	}
	cmd.Env = []string{
		"LISTEN_FDS=" + strconv.Itoa(len(sockets)), "LISTEN_FDNAMES=" + strings.Join(names, ":"), useVar + "=" + use,
	}
	return run(t, cmd, "server")
}

func expect(t *testing.T, said []string, want ...string) {
	t.Helper()
	if !slices.Equal(said, want) {
		t.Errorf("the server said\n%s\nand not\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

func TestActivatedSocketsAreUsedForTheBindsThatNameThem(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.sock")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	tcp, tcpURI := socketFor(t, "web.socket", "tcp", "127.0.0.1:0")
	unix, _ := socketFor(t, "app", "unix", path)
	abs, absURI := socketFor(t, "abs", "unix", "@serval-test-"+filepath.Base(dir)+t.Name())

	said, kill := activate(t, "", []passed{tcp, unix, abs}, "unix://"+link+"/app.sock", tcpURI, absURI, "tcp://127.0.0.1:0")
	last := said[len(said)-1]
	expect(t, said,
		"url unix://"+path, "activated app unix://"+link+"/app.sock",
		"url "+strings.Replace(tcpURI, "tcp", "http", 1), "activated web.socket "+tcpURI,
		"url "+absURI, "activated abs "+absURI,
		last) // a bind that systemd has no socket for is opened as ever
	if !strings.HasPrefix(last, "url http://127.0.0.1:") {
		t.Errorf("it said %q", said)
	}
	kill()
	if !exists(path) {
		t.Error("the file of systemd's socket is gone")
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("a client is refused while systemd holds the socket: %v", err)
	} else {
		conn.Close()
	}
}

func TestWildcardsOfBothFamiliesAreTheSameSocket(t *testing.T) {
	socket, uri := socketFor(t, "web", "tcp", ":0")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(uri, "tcp://"))
	for bind, name := range map[string]string{
		"tcp://0.0.0.0:" + port: "tcp://0.0.0.0:" + port,
		"tcp://:" + port:        "tcp://[::]:" + port,
	} {
		said, kill := activate(t, "", []passed{socket}, bind)
		expect(t, said, "url "+strings.Replace(uri, "tcp", "http", 1), "activated web "+name)
		kill()
	}
}

func TestLocalhostIsWhatSystemdHasOfIt(t *testing.T) {
	socket, uri := socketFor(t, "web", "tcp", "127.0.0.1:0")
	said, _ := activate(t, "", []passed{socket}, strings.Replace(uri, "127.0.0.1", "localhost", 1))
	expect(t, said, "url "+strings.Replace(uri, "tcp", "http", 1), "activated web "+uri)
}

func TestSocketsThatNoBindNamesAreClosedUsedOrUsedOnly(t *testing.T) {
	socket, uri := socketFor(t, "web", "tcp", "127.0.0.1:0")
	url := strings.Replace(uri, "tcp", "http", 1)
	bind := "unix://" + filepath.Join(t.TempDir(), "s")

	said, kill := activate(t, "", []passed{socket}, bind)
	expect(t, said, "notice systemd's socket "+uri+" (web) is closed: no bind names it, so clients that connect there get no answer; "+
		"bind to it, or write bind_to_activated_sockets", "url "+bind)
	kill()
	said, kill = activate(t, "true", []passed{socket}, bind)
	expect(t, said, "url "+bind, "url "+url, "activated web "+uri)
	kill()
	os.Remove(strings.TrimPrefix(bind, "unix://")) // the killed one's
	said, kill = activate(t, "only", []passed{socket}, bind)
	expect(t, said, "url "+url, "activated web "+uri)
	kill()
	said, _ = activate(t, "only", nil, bind) // started by hand: nothing was passed
	expect(t, said, "url "+bind)
}

func TestWhatIsNoListeningSocketIsNotUsed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	udp, err := packets.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	said, _ := activate(t, "true", []passed{{"pipe", r}, {"udp", udp}})
	if len(said) != 2 || !strings.Contains(said[0], "(pipe): it is no socket") || !strings.Contains(said[1], "(udp): the socket does not listen") {
		t.Errorf("it said %q", said)
	}
}

func TestSocketsOfAnotherProcessAreLeftAlone(t *testing.T) {
	socket, uri := socketFor(t, "web", "tcp", "127.0.0.1:0")
	cmd := exec.Command(self(t))
	cmd.ExtraFiles = []*os.File{socket.file}
	cmd.Env = []string{"LISTEN_FDS=1", "LISTEN_PID=1", useVar + "=true"}
	said, _ := run(t, cmd, "server")
	expect(t, said)
	refused(t, "the port is taken", uri) // it is still there, and somebody else's
}

func TestAPortThatSystemdHasOnAnotherAddressIsNamed(t *testing.T) {
	socket, uri := socketFor(t, "web.socket", "tcp", "127.0.0.1:0")
	said, _ := activate(t, "", []passed{socket}, strings.Replace(uri, "127.0.0.1", "0.0.0.0", 1))
	if len(said) != 1 || !strings.Contains(said[0], "systemd has that port, but as "+uri+" (web.socket): make the bind and the socket unit alike") {
		t.Errorf("it said %q", said)
	}
}

func TestChildrenDoNotInheritActivatedSockets(t *testing.T) {
	socket, _ := socketFor(t, "web", "tcp", "127.0.0.1:0")
	cmd := exec.Command("sh", "-c", `export LISTEN_PID=$$; exec "$0"`, self(t))
	cmd.ExtraFiles = []*os.File{socket.file}
	cmd.Env = []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=web"}
	said, _ := run(t, cmd, "parent")
	if len(said) != 2 || said[0] != "fd 3 false" || said[1] != "LISTEN_FDS= LISTEN_PID= LISTEN_FDNAMES=" {
		t.Errorf("its child said %q", said)
	}
}

// self is the path of this test's binary.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
