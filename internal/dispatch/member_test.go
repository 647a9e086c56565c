package dispatch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serval/internal/worker"
)

// A worker that speaks frame by frame: /path?script runs the script, with the request's id as id. Serval's own runtime would
// not say what these tests need to be said.
const scriptedWorker = `
require "socket"
REQUESTS = UNIXSocket.for_fd(3)
CONTROL = UNIXSocket.for_fd(4)
RESPONSE, HEAD, CHUNK, FINISH, FILE, STREAM, HINTS, HIJACK, FREE = *10..18
BUSY, PARTIAL = 1, 2
def say(type, id, flags: 0, code: 200, head: "", body: "", io: nil)
  frame = [12 + head.bytesize + body.bytesize, type, flags, code, id, head.bytesize].pack("NCCnNN") + head + body
  io ? REQUESTS.sendmsg(frame, 0, nil, Socket::AncillaryData.unix_rights(io)) : REQUESTS.write(frame)
end
def delivered
  text, _, _, *more = CONTROL.recvmsg(65_536, 0, 256, scm_rights: true)
  [text.unpack1("xN"), more.flat_map { |m| m.unix_rights.to_a }.first]
end
CONTROL.send("R\0\0\0\0", 0)
while (prefix = REQUESTS.read(16))
  length, type, _, _, id, size = prefix.unpack("NCCnNN")
  rest = REQUESTS.read(length - 12)
  eval(rest.byteslice(0, size).split("\0")[2]) if type == 2
end
`

// scriptedPool is a pool of such workers.
func scriptedPool(t *testing.T, cfg Config) (*Pool, *testLog) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.rb")
	if err := os.WriteFile(path, []byte(scriptedWorker), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Launch = func(index int, h worker.Handler) (*worker.Worker, error) {
		return worker.Start(worker.Config{Ruby: "ruby", Script: path, Dir: t.TempDir(), Env: os.Environ(), Index: index, Stdout: os.Stdout, Stderr: os.Stderr}, h)
	}
	return started(t, cfg)
}

// record is a request whose answer is written down call by call.
type record struct {
	Request
	mu    sync.Mutex
	calls []string
	busy  bool // a call is under way
	done  chan struct{}
}

// run dispatches a request that makes the worker run a script.
func run(p *Pool, verb, script string) *record {
	r := &record{done: make(chan struct{})}
	r.Start()
	r.Add(method, []byte(verb))
	r.Add(path, []byte("/"))
	r.Add(query, []byte(script))
	r.Finish(keys, nil, false)
	r.Line = []byte(verb + " /")
	r.Repeatable = verb == "GET"
	r.Responder = r
	p.Dispatch(&r.Request)
	return r
}

// note writes a call down. last says that no other may follow.
func (r *record) note(last bool, format string, args ...any) {
	r.mu.Lock()
	if r.busy {
		r.calls = append(r.calls, "(two calls at a time)")
	}
	r.busy = true
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
	r.mu.Unlock()
	time.Sleep(time.Millisecond) // so that another call would come in between
	r.mu.Lock()
	r.busy = false
	r.mu.Unlock()
	if last {
		close(r.done) // panics when it was not the last
	}
}

func (r *record) Whole(status int, _, body []byte) { r.note(true, "whole %d %s", status, body) }
func (r *record) Head(status int, _, first []byte) { r.note(false, "head %d %s", status, first) }
func (r *record) Chunk(data []byte)                { r.note(false, "chunk %s", data) }
func (r *record) Stream(rest *os.File)             { rest.Close(); r.note(false, "stream") }
func (r *record) End(ok bool)                      { r.note(true, "end %v", ok) }
func (r *record) Hints([]byte)                     { r.note(false, "hints") }
func (r *record) Fail(status int, _ string)        { r.note(true, "fail %d", status) }
func (r *record) File(status int, _ []byte, f *os.File, _, _ int64) {
	f.Close()
	r.note(true, "file %d", status)
}
func (r *record) Hijack(give Give) {
	if r.began { // as a connection does
		give(nil, nil)
		r.note(false, "hijack refused")
		return
	}
	give(nil, nil)
	r.note(true, "hijack")
}
func (r *record) HijackHead(status int, _, first []byte, give Give) {
	give(nil, nil)
	r.note(true, "hijack head %d %s", status, first)
}

// story is what came of the request, once it is over.
func (r *record) story(t *testing.T) string {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("it is not over, after %v", r.calls)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.calls, ", ")
}

func TestAnswersOfAllKinds(t *testing.T) {
	p, _ := scriptedPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	for script, want := range map[string]string{
		`say(RESPONSE, id, body: "all")`:                                                         "whole 200 all",
		`say(RESPONSE, id, body: "all", flags: BUSY); say(FREE, id)`:                             "whole 200 all",
		`say(HEAD, id, code: 201, body: "a"); say(CHUNK, id, body: "b"); say(FINISH, id)`:        "head 201 a, chunk b, end true",
		`say(HEAD, id); say(FINISH, id, flags: 4 | BUSY); say(FREE, id)`:                         "head 200 , end false",
		`say(HEAD, id); say(STREAM, id, io: UNIXSocket.pair[0]); say(FINISH, id)`:                "head 200 , stream, end true",
		`say(HINTS, id); say(HINTS, id); say(RESPONSE, id)`:                                      "hints, hints, whole 200 ",
		`say(FILE, id, body: [0, 5].pack("Q>2"), io: STDIN)`:                                     "file 200",
		`say(HIJACK, id); delivered; say(FREE, id)`:                                              "hijack",
		`say(HEAD, id, code: 101, body: "x", flags: PARTIAL); delivered; say(FREE, id)`:          "hijack head 101 x",
		`say(HEAD, id); say(HIJACK, id); delivered; say(CHUNK, id, body: "on"); say(FINISH, id)`: "head 200 , hijack refused, chunk on, end true",
	} {
		if story := run(p, "GET", script).story(t); story != want {
			t.Errorf("%s: %s", script, story)
		}
	}
	eventually(t, "all threads are free", func() bool { return p.Stats().Held == 0 })
}

// A worker that loses track must not lose requests: it is ended, and nobody waits for what will not come.
func TestAWorkerThatSpeaksOutOfTurnIsReplaced(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"an end without a head":     {`say(FINISH, id)`, "fail 502"},
		"a chunk without a head":    {`say(CHUNK, id)`, "fail 502"},
		"a stream without a head":   {`say(STREAM, id, io: STDIN)`, "fail 502"},
		"two heads":                 {`say(HEAD, id); say(HEAD, id)`, "head 200 , end false"},
		"a response after a head":   {`say(HEAD, id); say(RESPONSE, id)`, "head 200 , end false"},
		"a file after a head":       {`say(HEAD, id); say(FILE, id, io: STDIN)`, "head 200 , end false"},
		"free without a response":   {`say(FREE, id)`, "fail 502"},
		"free in the middle of one": {`say(HEAD, id); say(FREE, id)`, "head 200 , end false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, log := scriptedPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
			if story := run(p, "POST", test.script+"; sleep").story(t); story != test.want {
				t.Errorf("the client saw %s", story)
			}
			if story := run(p, "GET", `say(RESPONSE, id, body: "next")`).story(t); story != "whole 200 next" {
				t.Errorf("the next one saw %s", story)
			}
			eventually(t, "the log says what it did", func() bool { return strings.Contains(log.text(), "killed by Serval because it sent") })
		})
	}
}

// What comes for a request that is over, or never was, harms nobody.
func TestFramesOfUnknownRequestsAreIgnored(t *testing.T) {
	p, _ := scriptedPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	pid := p.Stats().PIDs[0]
	for _, frame := range []string{
		`say(FREE, ID)`, `say(FINISH, ID)`, `say(RESPONSE, ID, body: "again")`, `say(HEAD, ID)`, `say(CHUNK, ID)`, `say(HINTS, ID)`,
		`say(HIJACK, ID)`, `say(HEAD, ID, flags: PARTIAL)`, `say(FILE, ID, io: STDIN)`, `say(STREAM, ID, io: STDIN)`, `say(77, ID)`,
	} {
		for _, id := range []string{"id", "0", "0xffff_ffff", "id + 1"} {
			script := `say(RESPONSE, id, body: "one"); ` + strings.ReplaceAll(frame, "ID", id)
			if story := run(p, "GET", script).story(t); story != "whole 200 one" {
				t.Errorf("%s: %s", script, story)
			}
		}
	}
	if story := run(p, "GET", `say(RESPONSE, id, body: "last")`).story(t); story != "whole 200 last" || p.Stats().PIDs[0] != pid {
		t.Errorf("at last %s, by process %v", story, p.Stats().PIDs)
	}
}

// The kernel drops descriptors for which the front has no room.
func TestAFileThatDoesNotArriveIsAFailure(t *testing.T) {
	p, log := scriptedPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	for script, want := range map[string]string{
		`say(FILE, id, body: [0, 5].pack("Q>2"))`:                             "fail 502",
		`say(HEAD, id); say(STREAM, id); say(FINISH, id)`:                     "head 200 , end false",
		`say(FILE, id, body: "short", io: STDIN)`:                             "fail 502",
		`say(FILE, id, flags: BUSY, body: [0, 5].pack("Q>2")); say(FREE, id)`: "fail 502",
	} {
		if story := run(p, "GET", script).story(t); story != want {
			t.Errorf("%s: %s", script, story)
		}
	}
	eventually(t, "all threads are free", func() bool { return p.Stats().Held == 0 })
	if !strings.Contains(log.text(), "ulimit -n") {
		t.Errorf("the operator reads %s", log.text())
	}
}

// Hints and the limit in time come from different goroutines. A responder must not be called by both, nor after the end.
func TestARequestIsNotGivenUpWhileItsHintsAreWritten(t *testing.T) {
	p, _ := scriptedPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10, RequestTimeout: 50 * time.Millisecond})
	for range 2 {
		story := run(p, "GET", `loop { say(HINTS, id) }`).story(t)
		if !strings.HasSuffix(story, "hints, fail 504") || strings.Contains(story, "two calls") {
			t.Errorf("the client saw …%s", story[max(0, len(story)-100):])
		}
	}
}

// A body file is handed over without the lock. Its client may leave meanwhile, and others may be waiting.
func TestACancelledUploadLosesNobody(t *testing.T) {
	p, _ := scriptedPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 10})
	for i := range 100 {
		body, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		upload := &record{done: make(chan struct{})}
		upload.Start()
		upload.Add(method, []byte("POST"))
		upload.Add(path, []byte("/"))
		upload.Add(query, []byte(`of, file = delivered; raise "#{of} is not #{id}" unless of == id; file&.close; say(RESPONSE, id)`))
		upload.Finish(keys, nil, true)
		upload.Line, upload.Responder, upload.Body = []byte("POST /"), upload, body
		var racing sync.WaitGroup
		racing.Go(func() { p.Dispatch(&upload.Request) })
		racing.Go(func() {
			for range i % 10 {
				time.Sleep(10 * time.Microsecond)
			}
			p.Cancel(&upload.Request)
			body.Close()
		})
		after := run(p, "GET", `say(RESPONSE, id, body: "next")`)
		racing.Wait()
		if story := after.story(t); story != "whole 200 next" {
			t.Fatalf("the one behind it saw %s", story)
		}
	}
	eventually(t, "all threads are free", func() bool { return p.Stats().Held == 0 })
}

// A worker may die while its successor is booting, which may take minutes. Its requests must not wait for that.
func TestAWorkerThatDiesWhileItIsReplacedIsMissedAtOnce(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "slow")
	script := strings.Replace(scriptedWorker, `CONTROL.send("R`, fmt.Sprintf(`sleep 0.01 while File.exist?(%q)
CONTROL.send("R`, slow), 1)
	path := filepath.Join(t.TempDir(), "worker.rb")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	var launched sync.Map
	p, log := started(t, Config{Workers: 1, Threads: 2, QueueLimit: 10, Launch: func(index int, h worker.Handler) (*worker.Worker, error) {
		w, err := worker.Start(worker.Config{Ruby: "ruby", Script: path, Dir: t.TempDir(), Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}, h)
		launched.Store(w, true)
		return w, err
	}})
	if err := os.WriteFile(slow, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := p.Stats().PIDs[0]
	held := run(p, "POST", `sleep`)
	p.mu.Lock()
	p.members[0].ask(retirement{reason: "for a test"})
	p.mu.Unlock()
	eventually(t, "its successor boots", func() bool {
		n := 0
		launched.Range(func(any, any) bool { n++; return true })
		return n == 2
	})
	syscall.Kill(old, syscall.SIGKILL)
	if story := held.story(t); story != "fail 502" {
		t.Errorf("the request it held saw %s", story)
	}
	queued := run(p, "POST", `say(RESPONSE, id, body: "by the next")`) // not by the dead one
	if s := p.Stats(); s.Queued != 1 || s.Held != 0 || s.Ready != 0 {
		t.Errorf("while nobody serves, the pool has %+v", s)
	}
	os.Remove(slow)
	if story := queued.story(t); story != "whole 200 by the next" {
		t.Errorf("the request that waited saw %s", story)
	}
	eventually(t, "the log says how the old one ended", func() bool { return strings.Contains(log.text(), "SIGKILL") })
}
