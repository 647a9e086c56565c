package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 40 * time.Second

// manager is the end of the conversation that is systemd's.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T, path string) *manager {
	t.Helper()
	if path == "" {
		dir, err := os.MkdirTemp("", "s-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		path = filepath.Join(dir, "notify")
	}
	m := &manager{t: t, path: path}
	m.listen()
	return m
}

func (m *manager) listen() {
	m.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: m.path})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	m.conn = conn
}

// next is the next message, line by line.
func (m *manager) next() []string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if err != nil {
		m.t.Fatalf("systemd hears nothing: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(buf[:n]), "\n"), "\n")
}

// until waits for a message with this line.
func (m *manager) until(line string) []string {
	m.t.Helper()
	for {
		if message := m.next(); slices.Contains(message, line) {
			return message
		}
	}
}

// silent checks that none of the messages that come within d has such a line.
func (m *manager) silent(line string, d time.Duration) {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			m.t.Fatal(err)
		}
		if strings.Contains(string(buf[:n]), line) {
			m.t.Fatalf("systemd heard %q", buf[:n])
		}
	}
}

// complaints are what an operator reads.
type complaints struct {
	mu    sync.Mutex
	lines []string
}

func (c *complaints) Warn(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

func start(t *testing.T, environ ...string) (*Notifier, *complaints) {
	t.Helper()
	log := &complaints{}
	n := New(environ, log)
	t.Cleanup(n.Close)
	return n, log
}

func TestSystemdHearsTheLifeOfAServer(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	n, log := start(t, "NOTIFY_SOCKET="+m.path)

	m.until("STATUS=loading the app")
	m.until("EXTEND_TIMEOUT_USEC=20000000") // the app may boot longer than the unit allows
	n.Watch(nil, func() string { return "2/2 workers\nready" })
	n.Ready()
	ready := m.until("READY=1")
	if !slices.Contains(ready, "MAINPID="+strconv.Itoa(os.Getpid())) || !slices.Contains(ready, "STATUS=2/2 workers ready") {
		t.Errorf("systemd heard %q", ready)
	}

	before := monotonic()
	over := n.Restarting("phased restart")
	message := m.until("RELOADING=1")
	usec, err := strconv.ParseInt(strings.TrimPrefix(message[1], "MONOTONIC_USEC="), 10, 64)
	if since := time.Duration(usec) * time.Microsecond; err != nil || since < before.Truncate(time.Microsecond) || since > monotonic() {
		t.Errorf("systemd heard %q, and the restart began after %s", message, before)
	}
	if message[2] != "STATUS=phased restart" {
		t.Errorf("systemd heard %q", message)
	}
	second := n.Restarting("hot restart")
	m.until("RELOADING=1") // an answer of its own to who asked for it
	over()
	over() // what is over is over
	m.silent("READY=1", 50*time.Millisecond)
	second()
	if message := m.until("READY=1"); !slices.Contains(message, "STATUS=2/2 workers ready") {
		t.Errorf("systemd heard %q", message)
	}

	late := n.Restarting("hot restart")
	n.Stopping("stopping", time.Hour)
	m.until("RELOADING=1")
	if message := m.until("STOPPING=1"); !slices.Contains(message, "STATUS=stopping") || !slices.Contains(message, "EXTEND_TIMEOUT_USEC=20000000") {
		t.Errorf("systemd heard %q", message)
	}
	late()
	n.Ready()
	m.silent("READY=1", 50*time.Millisecond)
	if said := log.all(); len(said) > 0 {
		t.Errorf("the log says %q", said)
	}
}

func TestAFailureToStartIsTold(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	n, _ := start(t, "NOTIFY_SOCKET="+m.path)
	n.Failed("the app did not boot:\na typo")
	m.until("STATUS=the app did not boot: a typo")
}

func TestAChangedStatusIsToldAndAnUnchangedOneIsNot(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	n, _ := start(t, "NOTIFY_SOCKET="+m.path)
	var requests atomic.Int32
	n.Watch(nil, func() string { return fmt.Sprintf("%d requests", requests.Load()) })
	n.Ready()
	m.until("STATUS=0 requests")
	m.silent("STATUS=", statusEvery+statusEvery/2)
	requests.Store(7)
	m.until("STATUS=7 requests")
}

func TestSignsOfLifeComeTwiceAsOftenAsTheyAreWanted(t *testing.T) {
	t.Parallel()
	m := newManager(t, "@serval-test-"+strconv.Itoa(os.Getpid())) // an abstract name
	const wanted = 400 * time.Millisecond
	start(t, "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=400000", "WATCHDOG_PID="+strconv.Itoa(os.Getpid()))
	m.until("WATCHDOG=1")
	const signs = 8
	took := time.Duration(0)
	for range 5 { // this machine may be too busy now and then
		began := time.Now()
		for range signs {
			m.until("WATCHDOG=1")
		}
		if took = time.Since(began); took <= signs*wanted {
			break
		}
	}
	if took < (signs-2)*wanted/2 || took > signs*wanted {
		t.Errorf("%d signs came in %s", signs, took)
	}
}

func TestAStuckFrontGivesNoSignOfLife(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	n, _ := start(t, "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=100000")
	var stuck sync.Mutex
	n.Watch(func() { stuck.Lock(); defer stuck.Unlock() }, nil)
	n.Ready()
	m.until("WATCHDOG=1")
	stuck.Lock()
	m.silent("nothing", 200*time.Millisecond) // what was under way
	m.silent("WATCHDOG=1", 400*time.Millisecond)
	stuck.Unlock()
	m.until("WATCHDOG=1")
}

func TestOnlyThePatientOnesGetMoreTimeToStop(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	n, _ := start(t, "NOTIFY_SOCKET="+m.path)
	n.Ready()
	m.until("READY=1")
	if message := n.moreTime(time.Now().Add(time.Hour)); message != "" {
		t.Errorf("a server that is ready asks for time: %q", message)
	}
	n.Stopping("", time.Minute)
	m.until("STOPPING=1")
	n.mu.Lock()
	defer n.mu.Unlock()
	n.extended = time.Time{}
	if n.moreTime(time.Now().Add(30*time.Second)) == "" || n.moreTime(time.Now().Add(61*time.Second)) != "" {
		t.Error("it should ask for time during one minute")
	}
}

func TestWithoutSystemdNothingIsSaid(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	for _, environ := range [][]string{
		nil,
		{"NOTIFY_SOCKET="},
		{"NOTIFY_SOCKET=" + m.path, "PUMA_SKIP_SYSTEMD=1"},
	} {
		n, log := start(t, environ...)
		n.Watch(nil, nil)
		n.Ready()
		n.Failed("")
		n.Restarting("")()
		n.Stopping("", 0)
		if n != nil || len(log.all()) > 0 {
			t.Errorf("%q: there is somebody to tell, and the log says %q", environ, log.all())
		}
	}
	m.silent("", 10*time.Millisecond)
}

func TestTheWatchdogOfAnotherProcessIsNone(t *testing.T) {
	for usec, want := range map[string]time.Duration{"": 0, "3000000": 3 * time.Second} {
		if d, err := watchdogOf([]string{"WATCHDOG_USEC=" + usec}); d != want || err != nil {
			t.Errorf("%q: %s, %v", usec, d, err)
		}
	}
	if d, err := watchdogOf([]string{"WATCHDOG_USEC=3000000", "WATCHDOG_PID=1"}); d != 0 || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	for _, wrong := range []string{"soon", "0", "-1", "9223372036854775807"} {
		if _, err := watchdogOf([]string{"WATCHDOG_USEC=" + wrong}); err == nil || !strings.Contains(err.Error(), "set WatchdogSec=") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestADeafSystemdIsComplainedAboutOnceAndFoundAgain(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	n, log := start(t, "NOTIFY_SOCKET="+m.path)
	n.Ready()
	m.until("READY=1")
	m.conn.Close()
	os.Remove(m.path)
	for range 3 {
		n.Restarting("")()
	}
	said := log.all()
	if len(said) != 1 || !strings.Contains(said[0], "is NOTIFY_SOCKET that of a running systemd?") {
		t.Errorf("the log says %q", said)
	}
	m.listen()
	n.Restarting("")()
	m.until("READY=1")
}

func TestAnAddressThatIsNoneIsComplainedAbout(t *testing.T) {
	for _, path := range []string{"notify", "vsock:2:1"} {
		if n, log := start(t, "NOTIFY_SOCKET="+path); n != nil || len(log.all()) != 1 {
			t.Errorf("%s: %v", path, log.all())
		}
	}
}
