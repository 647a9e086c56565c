package handover

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/listener"
)

// These tests start their own binary: part says what it plays then.
const part = "SERVAL_TEST_PART"

func TestMain(m *testing.M) {
	if play := parts[os.Getenv(part)]; play != nil {
		play()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var parts = map[string]func(){
	// A front that comes up, opens one more socket, and serves until its parent has no use for it.
	"deputy": func() {
		in := must1(Inherit())
		in.Send(Hello, []byte("1.2.3"))
		more := must1(listener.Listen(must1(listener.ParseAll("/", []string{"unix://@" + os.Args[1]}))))
		must(in.Announce(more[0]))
		in.Send(Ready, nil)
		all := must1(in.Listeners())
		for {
			m, err := in.Receive()
			switch {
			case err != nil:
				return
			case m.Kind == Connection:
				t := must1(m.Transfer())
				fmt.Fprintf(t.Conn, "%s of %d, %d listeners, NOTIFY_SOCKET=%q, %s=%q", t.Input, t.Requests, len(all), os.Getenv("NOTIFY_SOCKET"), variable, os.Getenv(variable))
				t.Conn.Close()
			case m.Kind == Ready:
				in.Send(Over, nil)
				return
			}
		}
	},
	"refuses": func() {
		in := must1(Inherit())
		in.Send(Hello, nil)
		in.Send(Failed, []byte("the app did not boot\n"))
	},
	"other version": func() {
		text := strings.Replace(os.Getenv(variable), fmt.Sprintf(`"version":%d`, Version), `"version":77`, 1)
		os.Setenv(variable, text)
		if _, err := Inherit(); err == nil {
			panic("a protocol that is not known was taken for known")
		}
	},
	"hangs": func() {
		in := must1(Inherit())
		in.Send(Hello, nil)
		in.Receive() //nolint:errcheck // its end is what is waited for
	},
	"talks nonsense": func() {
		in := must1(Inherit())
		in.Send(Over, nil)
		in.Receive() //nolint:errcheck // as above
	},
	"ends": func() { os.Exit(3) },

	// A front that hands over to a deputy, changes its program, and takes over again.
	"main": func() {
		if in := must1(Inherit()); in.Is(Deputy) {
			panic("a deputy plays the main part")
		} else if in.Is(Main) {
			all := must1(in.Listeners())
			in.Settle()
			in.Send(Ready, nil)
			m, err := in.Receive()
			in.Leave(time.Minute)
			fmt.Printf("pid %d, %d listeners, then %s %v, deputy gone: %v, NOTIFY_SOCKET=%s\n",
				os.Getpid(), len(all), m.Kind, err, in.Ended(), os.Getenv("NOTIFY_SOCKET"))
			for _, l := range all {
				fmt.Println(l.URL)
			}
			return
		}
		p := CalledAs(os.Args)
		open := must1(listener.Listen(must1(listener.ParseAll("/", []string{"tcp://127.0.0.1:0"}))))
		fmt.Printf("pid %d\n%s\n", os.Getpid(), open[0].URL)
		s := must1(p.Start(withPart("deputy"), open))
		must1(s.Await(time.Minute, nil))
		panic(s.Succeed(withPart("main"), open))
	},
}

// withPart is the environment in which this binary plays a part. A variable that is there twice has its first value.
func withPart(name string) []string { return append([]string{part + "=" + name}, os.Environ()...) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must1[T any](v T, err error) T {
	must(err)
	return v
}

// starting starts this binary as a deputy that plays a part.
func starting(t *testing.T, name string) (*Successor, []*listener.Listener) {
	t.Helper()
	binds, err := listener.ParseAll("/", []string{"tcp://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	open, err := listener.Listen(binds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.CloseAll(open) })
	s, err := Program{Path: self(t), Args: []string{"serval", t.TempDir()}}.Start(append([]string{"NOTIFY_SOCKET=/x"}, withPart(name)...), open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s, open
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestADeputyTakesConnectionsAndEndsWithItsParentsInterest(t *testing.T) {
	s, open := starting(t, "deputy")
	version, err := s.Await(time.Minute, nil)
	if err != nil || version != "1.2.3" || len(s.Opened) != 1 {
		t.Fatalf("the deputy is of version %q, opened %d, %v", version, len(s.Opened), err)
	}
	if conn, err := net.Dial("unix", s.Opened[0].Addr().String()); err != nil {
		t.Errorf("what the deputy opened is not open: %v", err)
	} else {
		conn.Close()
	}
	client, accepted := connected(t)
	if _, err := client.Write(nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SendSocket(Connection, []byte("\x00\x00\x00\x00\x00\x00\x00\x07\x00input"), accepted.(syscall.Conn)); err != nil {
		t.Fatal(err)
	}
	accepted.Close()
	said, err := bufio.NewReader(client).ReadString(0)
	if want := `input of 7, 1 listeners, NOTIFY_SOCKET="", SERVAL_HANDOVER=""`; said != want {
		t.Errorf("the deputy says %q, %v", said, err)
	}
	// The socket that both have is still one that nobody waits in.
	fd, err := open[0].Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("the shared socket has the flags %o, %v", flags, err)
	}
	s.Leave(time.Minute)
	if s.status != "exit status 0" {
		t.Errorf("the deputy ended with %s", s.status)
	}
}

func TestADeputyThatDoesNotComeUpSaysWhy(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	for name, want := range map[string]struct {
		patience time.Duration
		stop     chan struct{}
		says     string
	}{
		"refuses":        {time.Minute, nil, "the app did not boot"},
		"other version":  {time.Minute, nil, "this is version 1 of the handover's protocol, and the running server's is 77"},
		"ends":           {time.Minute, nil, "ended before it was ready (exit status 3)"},
		"talks nonsense": {time.Minute, nil, "the new program says over before it is ready"},
		"hangs":          {time.Second, nil, "the new program is not ready within 1s"},
		"deputy":         {time.Minute, stop, "the server is stopping"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := starting(t, name)
			_, err := s.Await(want.patience, want.stop)
			if err == nil && want.stop != nil {
				return // it was faster than the stop
			}
			if err == nil || !strings.Contains(err.Error(), want.says) {
				t.Errorf("the error is %v", err)
			}
			select {
			case <-s.ended:
			default:
				t.Error("the deputy is still there")
			}
		})
	}
}

func TestTheMainProcessKeepsItsNumberAndItsSockets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self(t), filepath.Join(t.TempDir(), "more"))
	cmd.Env = append([]string{"NOTIFY_SOCKET=/x"}, withPart("main")...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, errs.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 5 {
		t.Fatalf("it says %q", lines)
	}
	pid, url := lines[0], lines[1]
	if want := pid + ", 2 listeners, then over <nil>, deputy gone: true, NOTIFY_SOCKET=/x"; lines[2] != want {
		t.Errorf("it says %q, want %q", lines[2], want)
	}
	if lines[3] != url || !strings.HasPrefix(lines[4], "unix://@") {
		t.Errorf("it listens on %q", lines[3:])
	}
}

func TestAProgramThatCannotBeRunIsNotStarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serval")
	if err := os.WriteFile(path, []byte("text"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Program{Path: path, Args: []string{"serval"}}.Start(nil, nil)
	if !errors.Is(err, syscall.ENOEXEC) || !strings.Contains(err.Error(), path+" cannot be run") {
		t.Errorf("the error is %v", err)
	}
}

func TestAProgramHasChangedWhenAnotherIsInItsPlace(t *testing.T) {
	dir := t.TempDir()
	own, err := os.ReadFile(self(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "serval")
	p := Program{Path: path}
	put := func(data []byte, mode os.FileMode) {
		t.Helper()
		os.Remove(path)
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
	}
	if p.Changed() {
		t.Error("a program that is not there is another one")
	}
	put(own, 0o755)
	if p.Changed() {
		t.Error("a copy of the program is another one")
	}
	put(append(own, 0), 0o755)
	if !p.Changed() {
		t.Error("another program is taken for the same")
	}
	other := bytes.Clone(own)
	other[len(other)-1]++
	put(other, 0o755)
	if !p.Changed() {
		t.Error("another program of the same size is taken for the same")
	}
	put(append(own, 0), 0o644)
	if p.Changed() {
		t.Error("a file that cannot be run is a program")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self(t), path); err != nil {
		t.Fatal(err)
	}
	if p.Changed() {
		t.Error("a link to the program is another one")
	}
	// Whoever calls it by a link gets what the link leads to by then.
	if called := CalledAs([]string{path}); called.Path != path {
		t.Errorf("a program that was called by the link %s is found at %s", path, called.Path)
	}
	if called := CalledAs([]string{"some other name"}); called.Path != self(t) {
		t.Errorf("a program with another name is found at %s", called.Path)
	}
}

func TestWithoutAnInheritanceThereIsNone(t *testing.T) {
	if in, err := Inherit(); in != nil || err != nil || in.Is(Deputy) || in.Is(Main) {
		t.Errorf("a front that was started afresh inherits %v, %v", in, err)
	}
	t.Setenv(variable, "nonsense")
	if _, err := Inherit(); err == nil || !strings.Contains(err.Error(), "unset it") {
		t.Errorf("nonsense was taken for an inheritance: %v", err)
	}
	text, err := json.Marshal(note{Version: Version, Role: Main, Channel: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(variable, string(text))
	if _, err := Inherit(); err == nil {
		t.Error("a descriptor that is not open was taken for an inheritance")
	}
	if left := os.Getenv(variable); left != "" {
		t.Errorf("workers would hear of it: %s", left)
	}
}
