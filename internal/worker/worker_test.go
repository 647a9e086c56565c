package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serval/internal/wire"
)

// What every script of these tests begins with. They are real Ruby processes that say, frame by frame, what the test
// wants to be said: Serval's own runtime would not make such mistakes.
const prelude = `
require "socket"
REQUESTS = UNIXSocket.for_fd(3)
CONTROL = UNIXSocket.for_fd(4)
def message(type, id = 0, text = "") = CONTROL.send([type, id, text].pack("aNa*"), 0)
def frame(type, id, flags: 0, code: 0, head: "", body: "")
  [12 + head.bytesize + body.bytesize, type, flags, code, id, head.bytesize].pack("NCCnNN") + head + body
end
RESPONSE, CHUNK, FILE, FREE = 10, 12, 14, 18
def say(...) = REQUESTS.write(frame(...))
`

// heard is a handler that collects what the worker says.
type heard struct {
	mu      sync.Mutex
	frames  []wire.Frame
	files   map[uint32]string // what was in them, by id
	retired int
	fault   error // what is said of every frame
	answers []wire.Frame
}

func (h *heard) Frame(f *wire.Frame, file *os.File) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := *f
	kept.Head, kept.Body = []byte(string(f.Head)), []byte(string(f.Body))
	h.frames = append(h.frames, kept)
	if file != nil {
		content, _ := io.ReadAll(file)
		file.Close()
		h.files[f.ID] = string(content)
	}
	return h.fault
}

// Answers keeps them until Deliver, which ought to come before they are gone.
func (h *heard) Answers(frames []wire.Frame) error {
	h.answers = frames
	return h.fault
}

func (h *heard) Deliver() {
	for i := range h.answers {
		h.Frame(&h.answers[i], nil) //nolint:errcheck // said already
	}
	h.answers = nil
}

func (h *heard) RetireAsked() {
	h.mu.Lock()
	h.retired++
	h.mu.Unlock()
}

func (h *heard) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.frames)
}

// started is a worker that runs a script.
func started(t *testing.T, script string) (*Worker, *heard) {
	t.Helper()
	if _, err := exec.LookPath("ruby"); err != nil {
		t.Fatal("these tests run real Ruby: install what they need with `make test`")
	}
	path := filepath.Join(t.TempDir(), "script.rb")
	if err := os.WriteFile(path, []byte(prelude+script), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &heard{files: map[uint32]string{}}
	w, err := Start(Config{Ruby: "ruby", Script: path, Dir: t.TempDir(), Env: os.Environ(), Index: 3, Stdout: os.Stdout, Stderr: os.Stderr}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Kill()
		<-w.Exited()
	})
	return w, h
}

// booted is a worker whose script has said that it is ready.
func booted(t *testing.T, script string) (*Worker, *heard) {
	t.Helper()
	w, h := started(t, script)
	if err := w.Boot(30*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	return w, h
}

func awaitExit(t *testing.T, w *Worker) Exit {
	t.Helper()
	select {
	case <-w.Exited():
		return w.Exit()
	case <-time.After(20 * time.Second):
		t.Fatal("the worker does not end")
		return Exit{}
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for wait, deadline := time.Millisecond, time.Now().Add(20*time.Second); !holds(); wait *= 2 {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
		time.Sleep(min(wait, 100*time.Millisecond))
	}
}

func TestAWorkerSaysWhatItIs(t *testing.T) {
	w, _ := booted(t, `message("R", 0, "ruby=3.9\0rack=2.2\0odd\0"); sleep`)
	if w.Fact("ruby") != "3.9" || w.Fact("rack") != "2.2" || w.Fact("rails") != "" {
		t.Errorf("it says %v", w.facts)
	}
	if w.String() != "worker 3" {
		t.Errorf("it is called %s", w)
	}
}

// A worker that repeats itself must not take the front along.
func TestReadyMayBeSaidTwice(t *testing.T) {
	w, h := booted(t, `message("R"); message("R"); say(FREE, 1); sleep`)
	eventually(t, "the frame behind it comes", func() bool { return h.count() == 1 })
	if w.Dead() {
		t.Error("it was ended")
	}
}

func TestTheAppsWordsAreTheBootError(t *testing.T) {
	w, _ := started(t, `message("E", 0, "NoMethodError: it is\n  config.ru:7\n"); exit!(1)`)
	err := w.Boot(30*time.Second, nil)
	var boot *ErrBoot
	if !errors.As(err, &boot) || err.Error() != "NoMethodError: it is\n  config.ru:7" {
		t.Errorf("the error is %v", err)
	}
}

func TestADeathBeforeReadinessIsABootError(t *testing.T) {
	for script, want := range map[string]string{
		`exit!(7)`: "exited with status 7",
		`Process.kill(:KILL, Process.pid); sleep`:                             "was killed by SIGKILL",
		`REQUESTS.write("no frame at all, but long enough to be one"); sleep`: "no frame",
	} {
		w, _ := started(t, script)
		err := w.Boot(30*time.Second, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strconv.Itoa(w.PID())) {
			t.Errorf("%s: the error is %v", script, err)
		}
	}
}

func TestABootThatTakesTooLongSaysWhere(t *testing.T) {
	w, _ := started(t, `
Thread.new { m = CONTROL.recvmsg(100)[0]; message("B", m.unpack1("xN"), "main\n  config.ru:5:in sleep\n") if m[0] == "b" }
sleep`)
	err := w.Boot(2*time.Second, nil)
	if err == nil || !strings.Contains(err.Error(), "2s (--boot-timeout)") || !strings.Contains(err.Error(), "config.ru:5") {
		t.Errorf("the error is %v", err)
	}
	awaitExit(t, w)
}

func TestABootEndsWhenTheServerStops(t *testing.T) {
	w, _ := started(t, `sleep`)
	stop := make(chan struct{})
	close(stop)
	if err := w.Boot(0, stop); err == nil {
		t.Error("it booted")
	}
	awaitExit(t, w)
}

func TestHowAWorkerEndedIsSaid(t *testing.T) {
	for script, want := range map[string]string{
		`exit!(0)`: "exited with status 0",
		`exit!(3)`: "exited with status 3",
		`Process.kill(:ABRT, Process.pid); sleep`: "was killed by SIGABRT",
	} {
		w, _ := booted(t, `message("R"); `+script)
		exit := awaitExit(t, w)
		if text := exit.String(); !strings.HasPrefix(text, want) {
			t.Errorf("%s: %q", script, text)
		}
		if exit.Clean() != (want == "exited with status 0") {
			t.Errorf("%s: clean is %v", script, exit.Clean())
		}
	}
}

func TestFramesMaySplitAnywhere(t *testing.T) {
	_, h := booted(t, `
message("R")
all = frame(RESPONSE, 1, code: 200, head: "a\0b\0", body: "hello") + frame(CHUNK, 2, body: "x" * 200) + frame(FREE, 3)
all.each_char { |c| REQUESTS.write(c); sleep 0.0005 }
REQUESTS.write(all * 500)
sleep`)
	eventually(t, "all came", func() bool { return h.count() == 3*501 })
	for i, f := range h.frames {
		switch want := uint32(i%3 + 1); {
		case f.ID != want:
			t.Fatalf("frame %d has id %d", i, f.ID)
		case want == 1 && (f.Type != wire.Response || f.Code != 200 || string(f.Head) != "a\x00b\x00" || string(f.Body) != "hello"),
			want == 2 && (f.Type != wire.Chunk || len(f.Body) != 200):
			t.Fatalf("frame %d is %+v", i, f)
		}
	}
}

func TestALongFrameArrivesWhole(t *testing.T) {
	_, h := booted(t, `
message("R")
3.times { |i| say(CHUNK, i, body: i.to_s * 3_000_000); say(FREE, i) }
sleep`)
	eventually(t, "all came", func() bool { return h.count() == 6 })
	for i, f := range h.frames {
		if want := strings.Repeat(fmt.Sprint(i/2), 3_000_000); i%2 == 0 && string(f.Body) != want {
			t.Errorf("frame %d has %d bytes, or others", i, len(f.Body))
		}
	}
}

func TestDescriptorsComeWithTheirFrames(t *testing.T) {
	_, h := booted(t, `
require "tempfile"
message("R")
100.times do |i|
  file = Tempfile.create
  file.write("file #{i}")
  file.rewind
  say(CHUNK, i, body: "between")
  REQUESTS.sendmsg(frame(FILE, i, body: "\0" * 16), 0, nil, Socket::AncillaryData.unix_rights(file))
  File.unlink(file)
  file.close
end
sleep`)
	eventually(t, "all came", func() bool { return h.count() == 200 })
	for i := range uint32(100) {
		if h.files[i] != fmt.Sprint("file ", i) {
			t.Errorf("with frame %d came %q", i, h.files[i])
		}
	}
}

func TestAWorkerThatTalksNonsenseIsKilled(t *testing.T) {
	for name, script := range map[string]string{
		"too short a frame":     `REQUESTS.write("\0\0\0\x01" + "x" * 100)`,
		"too long a frame":      `REQUESTS.write("\xff\xff\xff\xff" + "x" * 100)`,
		"a head past the frame": `REQUESTS.write([12, RESPONSE, 0, 200, 1, 999].pack("NCCnNN"))`,
		"descriptors of no frame": `
5.times { REQUESTS.sendmsg(frame(CHUNK, 1, body: "x"), 0, nil, Socket::AncillaryData.unix_rights(STDIN)) }`,
	} {
		t.Run(name, func(t *testing.T) {
			before := descriptors(t)
			w, _ := booted(t, `message("R")
`+script+`
sleep`)
			if exit := awaitExit(t, w); !strings.Contains(exit.String(), "because it sent") {
				t.Errorf("the log says that it %s", exit)
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors are open, before there were %d", after, before)
			}
		})
	}
}

// A worker that cannot be heard any more cannot answer either.
func TestAWorkerThatClosesItsSocketIsEnded(t *testing.T) {
	w, _ := booted(t, `message("R"); REQUESTS.close; sleep`)
	if exit := awaitExit(t, w); !strings.Contains(exit.String(), "closed its socket") {
		t.Errorf("the log says that it %s", exit)
	}
}

// One that was told to finish may take its time after its last word.
// The kernel answers with a reset when a process ends that had not read everything. That is no fault of the worker's.
func TestAWorkerThatWasKilledBeforeItReadIsNotBlamed(t *testing.T) {
	for range 10 {
		w, _ := booted(t, `message("R"); sleep`)
		w.Add([]byte("nobody will ever read this frame"), nil)
		w.Flush()
		w.Kill()
		if exit := awaitExit(t, w); exit.String() != "was killed by SIGKILL" {
			t.Fatalf("the log says that it %s", exit)
		}
	}
}

func TestAWorkerThatFinishesIsNotHurried(t *testing.T) {
	w, _ := booted(t, `message("R"); REQUESTS.read; REQUESTS.close; sleep 0.3; exit!(0)`)
	w.Finish()
	if exit := awaitExit(t, w); !exit.Clean() {
		t.Errorf("it %s", exit)
	}
}

// Whoever wakes threads holds a lock that all requests need.
func TestWakingNeverWaits(t *testing.T) {
	w, _ := booted(t, `message("R"); sleep`) // nobody reads the pipe
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100_000 {
			w.Wake()
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("it waits for the worker")
	}
}

func TestAWakeUpReachesTheWorker(t *testing.T) {
	w, h := booted(t, `message("R"); IO.for_fd(5).readpartial(1); say(FREE, 1); sleep`)
	w.Wake()
	eventually(t, "it is awake", func() bool { return h.count() == 1 })
}

// Apps fork. What they leave behind may hold the worker's sockets, and must hold nothing else up.
func TestAForkedProcessDoesNotKeepADeadWorkerAlive(t *testing.T) {
	w, h := booted(t, `
child = fork { sleep }
message("R", 0, "child=#{child}\0")
say(FREE, 1)
sleep`)
	child, err := strconv.Atoi(w.Fact("child"))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(child, syscall.SIGKILL)
	// Nobody reads the control socket: somebody is sending when the worker dies.
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		for w.SendSocket(1, nil, make([]byte, 60_000)) == nil {
		}
	}()
	time.Sleep(50 * time.Millisecond)
	w.Kill()
	awaitExit(t, w)
	select {
	case <-sending:
	case <-time.After(10 * time.Second):
		t.Error("somebody is still sending")
	}
	if h.count() != 1 {
		t.Errorf("of what it said before, %d frames were heard", h.count())
	}
}

func TestWhatAWorkerSaidLastIsHeard(t *testing.T) {
	w, h := booted(t, `message("R"); 1000.times { |i| say(CHUNK, i, body: "x" * 100) }; Process.kill(:KILL, Process.pid)`)
	awaitExit(t, w)
	if h.count() != 1000 {
		t.Errorf("of 1000 frames, %d were heard", h.count())
	}
}

func TestARetirementIsPassedOn(t *testing.T) {
	_, h := booted(t, `message("R"); message("T"); message("?"); CONTROL.send("x", 0); say(FREE, 1); sleep`)
	eventually(t, "it is", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.retired == 1 })
	eventually(t, "what follows is heard", func() bool { return h.count() == 1 })
}

func TestBodiesAndSocketsReachTheWorker(t *testing.T) {
	w, h := booted(t, `
message("R")
3.times do
  text, _, _, *more = CONTROL.recvmsg(65_536, 0, 256, scm_rights: true)
  io = more.flat_map { |m| m.unix_rights.to_a }.first
  type, id, rest = text.unpack("aNa*")
  say(RESPONSE, id, code: 200, head: type, body: "#{rest}|#{io && io.read(4)}")
end
sleep`)
	body, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	body.WriteString("body")
	body.Seek(0, 0)
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	theirs.WriteString("sock")
	if err := errors.Join(w.SendBody(1, body), w.SendSocket(2, ours, []byte("early")), w.SendSocket(3, nil, nil)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all came", func() bool { return h.count() == 3 })
	for i, want := range []string{"f |body", "h early|sock", "h |"} {
		if f := h.frames[i]; int(f.ID) != i+1 || string(f.Head)+" "+string(f.Body) != want {
			t.Errorf("message %d came as %s %s", f.ID, f.Head, f.Body)
		}
	}
}

// The request is on its way already: its thread must not wait for a body that will not come.
func TestABodyThatCannotBeSentIsSaidToBeNone(t *testing.T) {
	w, h := booted(t, `
message("R")
text, _, _, *more = CONTROL.recvmsg(65_536, 0, 256, scm_rights: true)
say(RESPONSE, text.unpack1("xN"), body: more.flat_map { |m| m.unix_rights.to_a }.size.to_s)
sleep`)
	body, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	w.SendBody(9, body)
	eventually(t, "it is said", func() bool { return h.count() == 1 })
	if f := h.frames[0]; f.ID != 9 || string(f.Body) != "0" {
		t.Errorf("the worker got %s descriptors for request %d", f.Body, f.ID)
	}
}

func TestBacktracesAreAskedForByRequest(t *testing.T) {
	w, _ := booted(t, `
message("R")
loop { m = CONTROL.recvmsg(100)[0]; id = m.unpack1("xN"); message("B", id, "thread of #{id}") unless id == 13 }`)
	for _, id := range []uint32{0, 7} {
		if text := w.Backtraces(id, 20*time.Second); text != fmt.Sprint("thread of ", id) {
			t.Errorf("for %d it says %q", id, text)
		}
	}
	if text := w.Backtraces(13, 50*time.Millisecond); text != "" {
		t.Errorf("a worker that does not answer says %q", text)
	}
	if n := len(w.control.answers); n != 0 {
		t.Errorf("%d answers are still awaited", n)
	}
}

func TestAMissingInterpreterNamesTheFlag(t *testing.T) {
	before := descriptors(t)
	_, err := Start(Config{Ruby: "no-such-ruby", Script: "x", Dir: t.TempDir(), Stdout: os.Stdout, Stderr: os.Stderr}, &heard{})
	if err == nil || !strings.Contains(err.Error(), "no-such-ruby is not in PATH") || !strings.Contains(err.Error(), "--ruby") {
		t.Errorf("the error is %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, before there were %d", after, before)
	}
}

func TestNothingIsLeftOfAWorker(t *testing.T) {
	first, _ := booted(t, `message("R"); exit!`) // so that the poller's own descriptors are there
	awaitExit(t, first)
	before := descriptors(t)
	for range 3 {
		w, _ := booted(t, `message("R"); exit!`)
		awaitExit(t, w)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, before there were %d", after, before)
	}
}

// descriptors is how many this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
