package test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/testkit"
)

const (
	large   = 200 << 20 // bytes of a body
	mayGrow = 32 << 20  // bytes of memory it may cost
	warmUp  = 2 << 20   // bytes of a body before, so that what is loaded once does not count
)

// source makes a body of any length, no part of which is like another, and its digest.
type source struct {
	left   int
	sha256 hash.Hash
	random *rand.ChaCha8
}

func newSource(size int) *source {
	return &source{left: size, sha256: sha256.New(), random: rand.NewChaCha8([32]byte{})}
}

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), s.left)]
	s.random.Read(p)
	s.left -= len(p)
	s.sha256.Write(p)
	return len(p), nil
}

func (s *source) digest() string { return hex.EncodeToString(s.sha256.Sum(nil)) }

// upload posts a body and compares what the app says of it.
func upload(t *testing.T, s *testkit.Server, size int, chunked bool) {
	t.Helper()
	body := newSource(size)
	req, err := http.NewRequest("POST", s.URLs[0]+"/digest", body)
	if err != nil {
		t.Fatal(err)
	}
	if !chunked {
		req.ContentLength = int64(size)
	}
	res, err := testkit.HTTPClient.Do(req)
	if err != nil {
		t.Fatalf("uploading %d MB: %v", size>>20, err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	got := object(t, &testkit.Response{Body: string(text)})
	if got["size"] != float64(size) || got["sha256"] != body.digest() {
		t.Errorf("%d bytes with digest %s became %v", size, body.digest(), got)
	}
}

// download gets a body and returns how long it was, with its digest.
func download(t *testing.T, s *testkit.Server, path string) (size int, digest string) {
	t.Helper()
	res, err := testkit.HTTPClient.Get(s.URLs[0] + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: after %d bytes: %v (%s)", path, n, err, res.Status)
	}
	return int(n), hex.EncodeToString(sum.Sum(nil))
}

// constantMemory runs do and checks that neither front nor worker grew much.
func constantMemory(t *testing.T, s *testkit.Server, what string, do func()) {
	t.Helper()
	pids := map[string]int{"front": s.PID, "worker": s.Worker().PID}
	before := map[string]int64{}
	for name, pid := range pids {
		before[name] = testkit.PeakMemory(t, pid)
	}
	do()
	for name, pid := range pids {
		if grown := testkit.PeakMemory(t, pid) - before[name]; grown > mayGrow {
			t.Errorf("%s made the %s grow by %d MB", what, name, grown>>20)
		}
	}
}

// eachWay runs a test without TLS, and with it.
func eachWay(t *testing.T, test func(t *testing.T, bind string)) {
	t.Run("tcp", func(t *testing.T) { test(t, "tcp://127.0.0.1:0") })
	t.Run("ssl", func(t *testing.T) { test(t, testkit.SSLBind(t, "")) })
}

func TestALargeUploadCostsNoMemory(t *testing.T) {
	t.Parallel()
	eachWay(t, largeUpload)
}

func largeUpload(t *testing.T, bind string) {
	s := testkit.Start(t, "echo", "--spool-dir", t.TempDir(), "-b", bind)
	for _, chunked := range []bool{false, true} {
		upload(t, s, warmUp, chunked)
		constantMemory(t, s, fmt.Sprintf("an upload, chunked: %v,", chunked), func() { upload(t, s, large, chunked) })
	}
}

func TestALargeDownloadCostsNoMemory(t *testing.T) {
	t.Parallel()
	eachWay(t, largeDownload)
}

func largeDownload(t *testing.T, bind string) {
	s := testkit.Start(t, "bodies", "--spool-dir", t.TempDir(), "-b", bind)
	file := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	body := newSource(large)
	if _, err := io.Copy(f, body); err != nil {
		t.Fatal(err)
	}
	f.Close()

	generated := sha256.New()
	for i := 0; i < large; i += 64 << 10 {
		io.WriteString(generated, alphabet(64<<10))
	}
	for path, want := range map[string]string{
		"/generate?mb=200":          hex.EncodeToString(generated.Sum(nil)),
		"/generate?mb=200&length=1": hex.EncodeToString(generated.Sum(nil)),
		"/file?file=" + file:        body.digest(),
		"/io?file=" + file:          body.digest(),
	} {
		download(t, s, "/generate?mb=2")
		constantMemory(t, s, path, func() {
			if size, digest := download(t, s, path); size != large || digest != want {
				t.Errorf("%s: %d bytes with digest %s, want %d with %s", path, size, digest, large, want)
			}
		})
	}
}

func TestAReaderThatStopsInTheMiddleCostsNoMemory(t *testing.T) {
	t.Parallel()
	eachWay(t, stoppedReader)
}

func stoppedReader(t *testing.T, bind string) {
	s := testkit.Start(t, "bodies", "--spool-dir", t.TempDir(), "-b", bind)
	download(t, s, "/generate?mb=2")
	constantMemory(t, s, "a reader that stopped", func() {
		c := s.Dial()
		c.Send(testkit.Request("GET", "/generate?mb=200&length=1", ""))
		c.Head()
		testkit.WaitFor(t, "the app is done with its body", func() bool { return s.Get("/closed").Body != "[]" })
		sum := sha256.New()
		n, err := io.CopyN(sum, c, large) // what the reader left waiting is all there
		want := sha256.New()
		for i := 0; i < large; i += 64 << 10 {
			io.WriteString(want, alphabet(64<<10))
		}
		if err != nil || string(sum.Sum(nil)) != string(want.Sum(nil)) {
			t.Errorf("it got %d bytes, %v", n, err)
		}
	})
}

func TestSpooledBodiesAreGoneAfterwards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := testkit.Start(t, "echo", "--spool-dir", dir)
	half := s.Dial()
	half.Send("POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
	for range 5 {
		half.Send(string(make([]byte, 100_000)))
	}
	upload(t, s, 1<<20, false)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the spool directory holds %v, %v", entries, err)
	}
	half.Reset()
	testkit.WaitFor(t, "no spooled body is open", func() bool {
		for _, target := range append(testkit.Descriptors(t, s.PID), testkit.Descriptors(t, s.Worker().PID)...) {
			if len(target) > len(dir) && target[:len(dir)] == dir {
				return false
			}
		}
		return true
	})
}

func TestADiskThatIsFullIsTheClientsLossOnly(t *testing.T) {
	t.Parallel()
	// A limit on the size of files stands for the full disk.
	full := []string{"sh", "-c", `ulimit -f 300 && exec "$0" "$@"`, testkit.Binary(t)}
	s := testkit.Command{App: "echo", Program: full}.Start(t)
	if r := s.Do("POST", "/digest", strings.Repeat("x", 1<<20)); r.Status != 503 {
		t.Errorf("an upload got %+v", r)
	}
	s.AwaitLog("the request body could not be written to disk")
	if r := s.Do("POST", "/body", "small"); r.Body != "small" {
		t.Errorf("the next upload got %+v", r)
	}

	// A slow reader's response cannot be kept; then its thread waits.
	s = testkit.Command{App: "bodies", Program: full, Flags: []string{"-t", "2"}}.Start(t)
	for _, path := range []string{"/generate?mb=20&length=1", "/string?mb=20", "/big-array?mb=20"} {
		slow := s.Dial()
		slow.Send(testkit.Request("GET", path, ""))
		head := slow.Head()
		if r := s.Get("/one"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
		if n, err := io.CopyN(io.Discard, slow, 20<<20); err != nil {
			t.Errorf("%s: %d bytes came, %v (%q)", path, n, err, head)
		}
	}
}
