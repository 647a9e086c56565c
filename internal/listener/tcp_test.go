package listener

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// answers asserts that a listener takes a connection to an address.
func answers(t *testing.T, l *Listener, network, address string) {
	t.Helper()
	client, err := net.Dial(network, address)
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	served, err := l.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	served.Write([]byte("hello"))
	served.Close()
	if said, err := io.ReadAll(client); string(said) != "hello" {
		t.Errorf("from %s: have %q, %v", address, said, err)
	}
}

func port(t *testing.T, l *Listener) string {
	t.Helper()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestTheURLHasTheRealPortAndTheNameTheOneAskedFor(t *testing.T) {
	l := mustListen(t, "tcp://127.0.0.1:0")[0]
	if l.Name != "tcp://127.0.0.1:0" || l.URL != "http://127.0.0.1:"+port(t, l) || port(t, l) == "0" || l.Notice != "" {
		t.Errorf("have %q, %q, %q", l.Name, l.URL, l.Notice)
	}
	answers(t, l, "tcp", strings.TrimPrefix(l.URL, "http://"))
}

func TestEveryAddressMeansIPv4AndIPv6(t *testing.T) {
	for _, uri := range []string{"tcp://[::]:0", "tcp://:0"} {
		l := mustListen(t, uri)[0]
		if l.URL != "http://[::]:"+port(t, l) {
			t.Errorf("have %s", l.URL)
		}
		answers(t, l, "tcp4", "127.0.0.1:"+port(t, l))
		answers(t, l, "tcp6", "[::1]:"+port(t, l))
	}
}

func TestBothWildcardsOnOnePortAreNoConflict(t *testing.T) {
	probe := mustListen(t, "tcp://[::]:0")[0]
	free := port(t, probe)
	probe.Close()
	for _, order := range [][]string{{"0.0.0.0", "[::]"}, {"[::]", "0.0.0.0"}} {
		two := mustListen(t, "tcp://"+order[0]+":"+free, "tcp://"+order[1]+":"+free)
		for i, l := range two {
			if order[i] == "[::]" {
				answers(t, l, "tcp6", "[::1]:"+free)
			} else {
				answers(t, l, "tcp4", "127.0.0.1:"+free)
			}
		}
		CloseAll(two)
	}
}

func TestLocalhostIsEveryLoopbackAddressOnOnePort(t *testing.T) {
	two := mustListen(t, "tcp://localhost:0")
	if len(two) != 2 || port(t, two[0]) != port(t, two[1]) || two[0].Name == two[1].Name {
		t.Fatalf("have %v", two)
	}
	answers(t, two[0], "tcp", "127.0.0.1:"+port(t, two[0]))
	answers(t, two[1], "tcp", "[::1]:"+port(t, two[1]))
}

func TestATakenPortNamesItsHolder(t *testing.T) {
	l := mustListen(t, "tcp://127.0.0.1:0")[0]
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "[::]", "localhost"} {
		uri := "tcp://" + host + ":" + port(t, l)
		refused(t, fmt.Sprintf("cannot listen on %s: the port is taken by PID %d %s; stop it or choose another with -p",
			uri, os.Getpid(), strings.TrimSpace(string(comm))), uri)
	}
	both := mustListen(t, "tcp://localhost:0") // and not "[::1]:0", whose port some client may have on 127.0.0.1
	both[0].Close()
	refused(t, fmt.Sprintf("the port is taken by PID %d ", os.Getpid()), "tcp://localhost:"+port(t, both[1]))
}

func TestAPortTakenByAnotherProcessIsFreeAfterItsDeath(t *testing.T) {
	said, kill := child(t, "plain", "tcp://127.0.0.1:0")
	uri := strings.Replace(said[0], "url http", "tcp", 1)
	refused(t, "the port is taken by PID ", uri)
	kill()
	mustListen(t, uri)
}

func TestPortsOfRootAreRefusedToOthers(t *testing.T) {
	if first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || len(strings.TrimSpace(string(first))) < 3 {
		t.Skip("this machine lets everybody have low ports")
	}
	kind := "nobody"
	if os.Getuid() != 0 {
		kind = "plain"
	}
	said, _ := child(t, kind, "tcp://127.0.0.1:99")
	want := "error cannot listen on tcp://127.0.0.1:99: ports below 1024 are for root; choose a higher one, " +
		"or give serval the capability CAP_NET_BIND_SERVICE"
	if len(said) != 1 || said[0] != want {
		t.Errorf("have %q\nwant %q", said, want)
	}
}

func TestAddressesOfOthersAreRefused(t *testing.T) {
	refused(t, "192.0.2.1 is not an address of this machine; choose one that is, or 0.0.0.0 for all", "tcp://192.0.2.1:0")
	refused(t, "2001:db8::1 is not an address of this machine", "tcp://[2001:db8::1]:0")
	refused(t, `no address is known for "no such host"; use an address of this machine, as 127.0.0.1`, "tcp://no such host:0")
}

func TestWithoutIPv6EveryAddressBecomesEveryIPv4Address(t *testing.T) {
	said, _ := child(t, "no-ipv6", "tcp://[::]:0")
	if len(said) != 2 || !strings.HasPrefix(said[0], "url http://0.0.0.0:") ||
		!strings.HasPrefix(said[1], "notice tcp://[::]:0 became http://0.0.0.0:") || !strings.HasSuffix(said[1], ": this machine has no IPv6") {
		t.Errorf("have %q", said)
	}
	if said, _ = child(t, "no-ipv6", "tcp://localhost:0"); len(said) != 1 || !strings.HasPrefix(said[0], "url http://127.0.0.1:") {
		t.Errorf("localhost: have %q", said)
	}
	want := "error cannot listen on tcp://[::1]:0: this machine has no IPv6; choose an IPv4 address, as 0.0.0.0 or 127.0.0.1"
	if said, _ = child(t, "no-ipv6", "tcp://[::1]:0"); len(said) != 1 || said[0] != want {
		t.Errorf("have %q\nwant %q", said, want)
	}
}

func TestTheBacklogReachesTheKernel(t *testing.T) {
	for uri, want := range map[string]uint32{"tcp://127.0.0.1:0?backlog=7": 7, "tcp://127.0.0.1:0?backlog=23": 23} {
		l := mustListen(t, uri)[0]
		raw, err := l.Listener.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				t.Error(err)
			} else if info.Sacked != want { // of a listening socket this is its backlog
				t.Errorf("%s: have %d", uri, info.Sacked)
			}
		})
	}
}
