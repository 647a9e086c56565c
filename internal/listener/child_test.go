package listener

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary runs itself again to be another server: one that can be killed, that is not root, or that lives on
// a machine without IPv6.
const (
	childVar = "LISTENER_TEST_CHILD"
	useVar   = "LISTENER_TEST_USE" // what becomes of activated sockets
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(childVar); kind != "" {
		os.Exit(beChild(kind, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// beChild listens on uris, says how that went, line by line, and stays until its standard input ends.
func beChild(kind string, uris []string) int {
	var err error
	switch kind {
	case "nobody":
		err = syscall.Setuid(65534)
	case "no-ipv6":
		err = forbidIPv6()
	case "parent":
		TakeActivation()
		child := exec.Command("sh", "-c", `[ -e /proc/$$/fd/3 ] && echo fd 3 true || echo fd 3 false
			echo "LISTEN_FDS=$LISTEN_FDS LISTEN_PID=$LISTEN_PID LISTEN_FDNAMES=$LISTEN_FDNAMES"; echo done`)
		child.Stdout = os.Stdout
		if err := child.Run(); err != nil {
			fmt.Println("error", err)
		}
		return 0
	}
	if err != nil {
		fmt.Println("cannot become", kind, err)
		return 1
	}
	a := TakeActivation()
	var listeners []*Listener
	binds, err := ParseAll("/", uris)
	if err == nil {
		listeners, err = a.Listen(binds, os.Getenv(useVar))
	}
	if err != nil {
		fmt.Println("error", err)
	}
	for _, notice := range a.Notices {
		fmt.Println("notice", notice)
	}
	for _, l := range listeners {
		fmt.Println("url", l.URL)
		if l.Activated != "" {
			fmt.Println("activated", l.Activated, l.Name)
		}
		if l.Notice != "" {
			fmt.Println("notice", l.Notice)
		}
	}
	fmt.Println("done")
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// forbidIPv6 has the kernel refuse IPv6 sockets to this process, with the error of a kernel that has no IPv6.
func forbidIPv6() error {
	const numberAt, firstArgAt = 0, 16 // in struct seccomp_data, little-endian (seccomp(2))
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: numberAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: firstArgAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.AF_INET6, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// child starts another server and returns what it said. It ends with the test, or when kill is called.
func child(t *testing.T, kind string, uris ...string) (said []string, kill func()) {
	t.Helper()
	return run(t, exec.Command("/proc/self/exe", uris...), kind)
}

// run starts a command that is another server.
func run(t *testing.T, cmd *exec.Cmd, kind string) (said []string, kill func()) {
	t.Helper()
	cmd.Env = append(append(os.Environ(), cmd.Env...), childVar+"="+kind, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := false
	kill = func() {
		if !gone {
			gone = true
			cmd.Process.Kill()
			in.Close()
			cmd.Wait()
		}
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "done" {
		said = append(said, lines.Text())
	}
	if len(said) > 0 && strings.HasPrefix(said[0], "cannot become") {
		t.Skip(said[0])
	}
	return said, kill
}

func listenOn(uris ...string) ([]*Listener, error) {
	binds, err := ParseAll("/", uris)
	if err != nil {
		return nil, err
	}
	return Listen(binds)
}

// mustListen opens what must open, and closes it with the test.
func mustListen(t *testing.T, uris ...string) []*Listener {
	t.Helper()
	listeners, err := listenOn(uris...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseAll(listeners) })
	return listeners
}

// refused asserts that uris cannot be opened, and why.
func refused(t *testing.T, want string, uris ...string) {
	t.Helper()
	listeners, err := listenOn(uris...)
	if err == nil {
		CloseAll(listeners)
		t.Errorf("%q was opened, want %q", uris, want)
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("%q: have %q\nwant %q", uris, err, want)
	}
}
