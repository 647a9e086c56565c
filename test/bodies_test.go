package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

func TestEveryKindOfBodyArrives(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	source, err := os.ReadFile(testkit.App(t, "bodies"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, want string
		chunked    bool // else it has a length
	}{
		{"/array", "one\ntwo\nthree\n", false},
		{"/one", "one part\n", false},
		{"/empty", "", false},
		{"/empty-parts", "not empty\n", false},
		{"/each", "one\ntwo\nthree\n", true},
		{"/no-parts", "", false},
		{"/delayed?n=3&s=0.02", "part 0\npart 1\npart 2\n", true},
		{"/proxy", "wrapped\n", false},
		{"/file", string(source), false},
		{"/file-length", string(source), false},
		{"/file-gone", "from each\n", true},
		{"/file-proxy", string(source), false},
		{"/io", string(source), false},
		{"/string?kb=1", alphabet(1 << 10), false},
		{"/string?kb=255", alphabet(255 << 10), false},
		{"/string?mb=3", alphabet(3 << 20), false},
		{"/big-array?mb=3", alphabet(3 << 20), false},
		{"/generate?mb=3", alphabet(3 << 20), true},
		{"/generate?mb=3&length=1", alphabet(3 << 20), false},
		{"/generate?kb=3&length=1", alphabet(3 << 10), false},
		{"/chunked-by-app", "well", true},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/1.0"} {
			c := testkit.DialURL(t, s.URLs[0])
			c.Send("GET " + tt.path + " " + protocol + "\r\nHost: a\r\n\r\n")
			r := c.Response("GET")
			if r.Status != 200 || r.Body != tt.want {
				t.Errorf("%s, %s: got a %d with %d bytes (%.60q), want %d bytes", tt.path, protocol, r.Status, len(r.Body), r.Body, len(tt.want))
			}
			if chunked := tt.chunked && protocol == "HTTP/1.1"; r.Chunked != chunked || tt.chunked != (r.Length == -1) {
				t.Errorf("%s, %s: chunked is %v, the length %d", tt.path, protocol, r.Chunked, r.Length)
			}
			c.Close()
		}
	}
}

// alphabet is what the app generates: the alphabet over and over, begun anew every 64 KiB.
func alphabet(size int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	block := strings.Repeat(letters, 64<<10/len(letters)+1)[:64<<10]
	return strings.Repeat(block, size/len(block)+1)[:size]
}

func TestStreamingBodiesWriteToTheConnection(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "rack3")
	for path, want := range map[string]string{
		"/call": "one\ntwo\n", "/call-slowly": "part 0\npart 1\npart 2\n", "/call-in-a-thread": "from a thread\n",
		"/both": "from each\n", "/each": "part 0\npart 1\npart 2\n", "/frozen": "frozen\n",
	} {
		if r := s.Get(path); r.Status != 200 || r.Body != want || !slices.Equal(r.Header["Set-Cookie"], []string{"a=1", "b=2"}) {
			t.Errorf("%s: got %+v", path, r)
		}
	}
	c := s.Dial()
	c.Send(testkit.Request("GET", "/echo", "", "Connection: Upgrade", "Upgrade: echo"))
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(strings.ToLower(head), "upgrade: echo") {
		t.Errorf("got %q", head)
	}
	for range 3 {
		c.Send("hello\n")
		if line := c.Line(); line != "echo: hello" {
			t.Errorf("got %q", line)
		}
	}
	c.CloseWrite()
	c.End()
	c = s.Dial()
	c.Send(testkit.Request("GET", "/call-raises", ""))
	c.Head()
	if line := c.Line(); line != "one" {
		t.Errorf("got %q", line)
	}
	c.End()
}

func TestPartsArriveWhenTheyAreMade(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "--shutdown-timeout", "1")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/block-later", ""))
	head := c.Head()
	if !strings.Contains(head, "Transfer-Encoding: chunked") {
		t.Errorf("got %q", head)
	}
	if size, part := c.Line(), c.Line(); size != "4" || part != "one" {
		t.Errorf("the first chunk is %q, %q", size, part)
	}
	c.Reset()
	if r := s.Get("/fast"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestABodyIsClosedOnceWhateverBecomesOfIt(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for _, tt := range []struct{ method, path, closed string }{
		{"GET", "/each?tag=each", "each"},
		{"GET", "/no-parts?tag=none", "none"},
		{"HEAD", "/each?tag=head", "head"},
		{"GET", "/proxy?tag=proxy", "proxy"},
		{"GET", "/file?tag=file", "file"},
		{"GET", "/file-gone", "/file-gone"},
		{"GET", "/status?status=204&tag=204", "204"},
		{"GET", "/status?status=304&tag=304", "304"},
		{"GET", "/generate?mb=2&tag=large", "large"},
		{"GET", "/length?declared=5&actual=5&tag=length", "length"},
	} {
		s.Do(tt.method, tt.path, "")
		awaitClosed(t, s, tt.closed)
	}
	s.Get("/file-proxy")
	awaitClosed(t, s, "/file-proxy inside", "/file-proxy")
}

// awaitClosed waits until these bodies, and no others, have been closed since the last look.
func awaitClosed(t *testing.T, s *testkit.Server, want ...string) {
	t.Helper()
	var closed []string
	testkit.WaitFor(t, fmt.Sprintf("%q are closed", want), func() bool {
		closed = append(closed, list(t, s.Get("/closed"))...)
		return len(closed) >= len(want)
	})
	slices.Sort(closed)
	slices.Sort(want)
	if !slices.Equal(closed, want) {
		t.Errorf("closed were %q, want %q", closed, want)
	}
}

func TestABodyIsAsLongAsItsContentLengthOrTheConnectionIsCut(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for _, tt := range []struct {
		declared, actual int
		whole            bool
	}{
		{10, 10, true},
		{5, 10, true},        // the rest is left out
		{400000, 10, false},  // the client must not take it for whole
		{10, 400000, true},   // as above
		{400000, 400, false}, // as above
	} {
		c := testkit.DialURL(t, s.URLs[0])
		c.Send(testkit.Request("GET", fmt.Sprintf("/length?declared=%d&actual=%d", tt.declared, tt.actual), ""))
		r, err := c.TryResponse("GET")
		if (err == nil) != tt.whole || tt.whole && (r.Status != 200 || len(r.Body) != int(r.Length) || len(r.Body) > tt.actual) {
			t.Errorf("%d bytes, announced as %d: got %.200v, %v", tt.actual, tt.declared, r, err)
		}
		if tt.whole { // and the next response begins where it should
			c.Send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.Response("GET"); r.Body != "one part\n" {
				t.Errorf("after %d bytes, announced as %d: %.200v", tt.actual, tt.declared, r)
			}
		}
	}
}

func TestAFileThatIsNoneIsNotSent(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{t.TempDir(), fifo, "/nonexistent", "/dev/zero"} {
		if r := s.Get("/file?file=" + path); r.Body != "from each\n" {
			t.Errorf("%s: got %+v", path, r)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.Get("/file?file=" + empty); r.Status != 200 || r.Length != 0 || r.Body != "" {
		t.Errorf("an empty file: %+v", r)
	}
}

func TestSlowReadersHoldNoThreads(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies", "-w", "1", "-t", "5")
	for _, path := range []string{"/string?mb=5", "/generate?mb=5", "/big-array?mb=5", "/generate?mb=5&length=1"} {
		var slow []*testkit.Client
		for range 5 {
			c := s.Dial()
			c.Send(testkit.Request("GET", path, ""))
			c.Head() // and no more
			slow = append(slow, c)
		}
		began := time.Now()
		if r := s.Get("/one"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
		if took := time.Since(began); took > 30*time.Second { // it would be a minute, --write-timeout
			t.Errorf("%s: behind five slow readers, a request took %s", path, took)
		}
		for _, c := range slow {
			c.Close()
		}
	}
}

func TestSlowSendersHoldNoThreads(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "-t", "1")
	body := strings.Repeat("x", 200_000)
	var slow []*testkit.Client
	for i := range 20 {
		c := s.Dial()
		request := testkit.Request("POST", "/body", body)
		c.Send(request[:len(request)-1-i*10_000]) // some have sent much, some little
		slow = append(slow, c)
	}
	if r := s.Do("POST", "/body", "quick"); r.Body != "quick" {
		t.Errorf("got %+v", r)
	}
	for i, c := range slow {
		c.Send(body[:1+i*10_000])
		if r := c.Response("POST"); r.Body != body {
			t.Errorf("slow sender %d got a %d with %d bytes", i, r.Status, len(r.Body))
		}
	}
}

func TestASlowReaderGetsEverything(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(alphabet(5<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	clients := map[string]*testkit.Client{}
	for _, path := range []string{"/string?mb=5", "/generate?mb=5", "/generate?mb=5&length=1", "/file?file=" + file} {
		c := s.Dial()
		c.Send(testkit.Request("GET", path, "") + testkit.Request("GET", "/one", ""))
		clients[path] = c
	}
	s.Get("/one")
	for path, c := range clients {
		if r := c.Response("GET"); r.Body != alphabet(5<<20) {
			t.Errorf("%s: got %d bytes", path, len(r.Body))
		}
		if r := c.Response("GET"); r.Body != "one part\n" {
			t.Errorf("after %s: got %+v", path, r)
		}
	}
}

func TestAClientThatLeavesEndsTheIterationOfItsBody(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies", "-t", "2")
	for _, leave := range []struct {
		name string
		do   func(*testkit.Client)
	}{{"reset", (*testkit.Client).Reset}, {"close", func(c *testkit.Client) { c.Close() }}} {
		for _, endless := range []string{"/delayed?n=1000000&s=0.01&tag=left", "/generate?mb=100000&tag=left"} {
			c := s.Dial()
			c.Send(testkit.Request("GET", endless, ""))
			c.Head()
			leave.do(c)
			awaitClosed(t, s, "left")
		}
	}
}
