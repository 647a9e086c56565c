// Package worker is one Ruby web worker: its process, its sockets, its boot, its frames and its end.
// What it is given to do and what becomes of the answers is dispatch's affair.
package worker

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"serval/internal/wire"

	"golang.org/x/sys/unix"
)

// Config is what a worker process is started with.
type Config struct {
	Ruby     string   // the interpreter, a path or a name in PATH
	Script   string   // the runtime's doorway, worker.rb
	Dir      string   // the app's directory
	Env      []string // the whole environment, NAME=value
	Settings []string // key=value lines for the runtime (docs/reference/wire.md)
	Index    int
	Stdout   *os.File
	Stderr   *os.File
}

// Handler takes what a worker says. It is called from one goroutine per worker, in order, and must not block.
type Handler interface {
	// Frame takes one frame; file is the descriptor that came with it, or nil. The handler owns the file.
	// Head and Body of f are good only during the call. An error says in what way the worker broke the protocol: it is
	// killed.
	Frame(f *wire.Frame, file *os.File) error

	// RetireAsked is called when the worker itself asks to be replaced, from another goroutine than Frame.
	RetireAsked()
}

// Worker is a started worker process.
type Worker struct {
	Index   int
	Started time.Time

	cmd     *exec.Cmd
	handler Handler
	conn    *net.UnixConn // requests
	control *net.UnixConn
	wake    *os.File
	wakeRaw syscall.RawConn
	sender  sender
	reader  *reader
	oom     int64 // the OOM killer's count at start

	ready   chan struct{}     // closed when the worker said ready, or exited
	gone    chan struct{}     // closed when the process is gone
	exited  chan struct{}     // closed when all it said was handled as well
	mu      sync.Mutex        // guards following
	facts   map[string]string // nil: not ready yet
	bootErr string
	fault   error // why it was killed, if it broke the protocol
	exit    Exit
	answers map[uint32]chan string // who waits for backtraces
}

// ErrBoot is the error of a worker whose app did not load. It reads as the app's own words.
type ErrBoot struct{ Text string }

func (e *ErrBoot) Error() string { return strings.TrimRight(e.Text, "\n") }

// Start starts a worker process. The worker is then booting; await Ready.
func Start(cfg Config, h Handler) (*Worker, error) {
	w := &Worker{
		Index: cfg.Index, handler: h,
		ready: make(chan struct{}), gone: make(chan struct{}), exited: make(chan struct{}),
		answers: map[uint32]chan string{},
	}
	theirs, err := w.open()
	if err != nil {
		return nil, fmt.Errorf("cannot start worker %d: %w", cfg.Index, err)
	}
	defer closeAll(theirs)
	w.cmd = command(cfg, theirs)
	w.oom = oomKills()
	w.Started = time.Now()
	if err := w.cmd.Start(); err != nil {
		w.closeSockets()
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("cannot start worker %d: %s is not in PATH: install Ruby or name it with --ruby", cfg.Index, cfg.Ruby)
		}
		return nil, fmt.Errorf("cannot start worker %d: %w", cfg.Index, err)
	}
	go w.run()
	return w, nil
}

func command(cfg Config, fds []*os.File) *exec.Cmd {
	cmd := exec.Command(cfg.Ruby, cfg.Script)
	cmd.Dir = cfg.Dir
	cmd.Env = slices.Concat(cfg.Env, []string{"SERVAL_WORKER=" + strings.Join(cfg.Settings, "\n")})
	cmd.Stdout, cmd.Stderr = cfg.Stdout, cfg.Stderr
	cmd.ExtraFiles = fds // 3: requests, 4: control, 5 and 6: the wake pipe
	return cmd
}

// open makes the sockets and returns the worker's ends.
func (w *Worker) open() (theirs []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(theirs)
			w.closeSockets()
		}
	}()
	var end *os.File
	if w.conn, end, err = socketpair(unix.SOCK_STREAM, "requests"); err != nil {
		return theirs, err
	}
	theirs = append(theirs, end)
	if w.control, end, err = socketpair(unix.SOCK_SEQPACKET, "control"); err != nil {
		return theirs, err
	}
	theirs = append(theirs, end)
	sleeper, waker, err := w.openWake()
	if err != nil {
		return theirs, err
	}
	theirs = append(theirs, sleeper, waker)
	if w.reader, err = newReader(w.conn); err != nil {
		return theirs, err
	}
	raw, err := w.conn.SyscallConn()
	w.sender.conn, w.sender.raw, w.sender.write = w.conn, raw, w.sender.writeReady
	return theirs, err
}

// openWake makes the wake pipe and returns both ends for the worker. The front's end does not block: a full pipe holds
// wake-ups enough, and whoever wakes threads holds the pool's lock.
func (w *Worker) openWake() (sleeper, waker *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	// Files made of descriptors that block: handing one of another kind to exec would make it block, and ours with it.
	sleeper, waker = os.NewFile(uintptr(fds[0]), "wake"), os.NewFile(uintptr(fds[1]), "wake")
	// Wake-ups that nobody slept for stay in the pipe and wake somebody later, for nothing. A page of them is plenty.
	unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, os.Getpagesize()) //nolint:errcheck // a wish
	ours, err := unix.FcntlInt(uintptr(fds[1]), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(ours, true)
		w.wake = os.NewFile(uintptr(ours), "wake")
	}
	if err == nil {
		w.wakeRaw, err = w.wake.SyscallConn()
	}
	if err != nil {
		closeAll([]*os.File{sleeper, waker})
		return nil, nil, err
	}
	return sleeper, waker, nil
}

// socketpair returns the front's end as a connection and the worker's as a file.
func socketpair(kind int, name string) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	// As large as the kernel allows: a worker that can hand over a whole response need not wait for the front.
	for _, fd := range fds {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20) //nolint:errcheck // a wish
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// run reads what the worker says until it is gone. It is the one place that waits for the process.
func (w *Worker) run() {
	var wg sync.WaitGroup
	wg.Go(w.readFrames)
	wg.Go(w.readControl)
	err := w.cmd.Wait()
	close(w.gone)
	// A process that the app forked may hold the sockets open, so their ends are not awaited: what the worker said is
	// there. Nor may a write to it wait any more.
	w.conn.SetDeadline(time.Now().Add(-time.Second))                 //nolint:errcheck // a closed socket ends the read as well
	w.control.SetWriteDeadline(time.Now().Add(-time.Second))         //nolint:errcheck // as above
	w.control.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) //nolint:errcheck // its last words are in the buffer
	wg.Wait()
	w.sender.waiting.Wait()

	w.mu.Lock()
	w.exit = w.exitOf(err)
	for id, answer := range w.answers {
		close(answer)
		delete(w.answers, id)
	}
	w.mu.Unlock()
	w.closeSockets()
	w.reader.close()
	close(w.exited) // before ready, or Boot would take the end of a failed boot for readiness
	select {
	case <-w.ready:
	default:
		close(w.ready)
	}
}

func (w *Worker) exitOf(err error) Exit {
	status, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return Exit{Err: err}
	}
	exit := Exit{Status: status, Fault: w.fault}
	exit.OutOfMemory = status.Signaled() && status.Signal() == syscall.SIGKILL && oomKills() > w.oom
	return exit
}

// readFrames hands frames to the handler until the worker is gone and its last frame has been read.
func (w *Worker) readFrames() {
	fill := w.reader.fill
	for {
		err := fill()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			fill = w.reader.fillNow
			continue
		}
		if err == nil {
			err = w.handleFrames()
		}
		if err != nil {
			w.readFailed(err)
			break
		}
	}
	w.sender.flush()
}

// readFailed ends a worker that cannot be heard any more.
func (w *Worker) readFailed(err error) {
	if errors.Is(err, errWorkerGone) {
		// It is ending, most likely: its sockets close a moment before the process is gone.
		if w.sender.ended() {
			return
		}
		select {
		case <-w.gone:
			return
		case <-time.After(goneWithin):
		}
	}
	w.mu.Lock()
	w.fault = err
	w.mu.Unlock()
	w.Kill()
}

// goneWithin is how long a process may take to end after its sockets were closed.
const goneWithin = time.Second

func (w *Worker) handleFrames() error {
	var f wire.Frame
	for {
		ok, err := w.reader.next(&f)
		if err != nil {
			return fmt.Errorf("it sent bytes that are no frame: %w", err)
		}
		if !ok {
			break
		}
		var file *os.File
		if f.Type == wire.File || f.Type == wire.Stream {
			file = w.reader.file(f.Type.String())
		}
		if err := w.handler.Frame(&f, file); err != nil {
			return err
		}
	}
	w.sender.flush()
	return w.reader.unclaimed()
}

func (w *Worker) readControl() {
	packet := make([]byte, wire.MaxMessage)
	for {
		n, err := w.control.Read(packet)
		if err != nil {
			return
		}
		m, err := wire.DecodeMessage(packet[:n])
		if err != nil {
			continue
		}
		switch m.Kind {
		case wire.Ready:
			w.setReady(m.Text)
		case wire.BootError:
			w.mu.Lock()
			w.bootErr = string(m.Text)
			w.mu.Unlock()
		case wire.Retire:
			w.handler.RetireAsked()
		case wire.Backtrace:
			w.mu.Lock()
			if answer := w.answers[m.ID]; answer != nil {
				answer <- string(m.Text)
				delete(w.answers, m.ID)
			}
			w.mu.Unlock()
		}
	}
}

func (w *Worker) setReady(text []byte) {
	facts := map[string]string{}
	for fact := range bytes.SplitSeq(text, []byte{0}) {
		if name, value, ok := bytes.Cut(fact, []byte("=")); ok {
			facts[string(name)] = string(value)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.facts == nil {
		w.facts = facts
		close(w.ready)
	}
}

// Boot waits until the worker is ready. The error is an *ErrBoot when the app did not load.
func (w *Worker) Boot(timeout time.Duration, stop <-chan struct{}) error {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-w.ready:
	case <-late:
		trace := w.Backtraces(0, time.Second)
		w.Kill()
		<-w.exited
		return &ErrBoot{fmt.Sprintf("the app did not load within %s (--boot-timeout)\n%s", timeout, trace)}
	case <-stop:
		w.Kill()
		<-w.exited
		return errors.New("stopped while booting")
	}
	select {
	case <-w.exited:
	default:
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bootErr != "" {
		return &ErrBoot{w.bootErr}
	}
	return &ErrBoot{fmt.Sprintf("worker %d (PID %d) %s before it was ready", w.Index, w.PID(), w.exit)}
}

// Fact returns what the worker said of itself when it was ready, for example "ruby" → "3.1.2".
func (w *Worker) Fact(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.facts[name]
}

// PID is the worker's process number.
func (w *Worker) PID() int { return w.cmd.Process.Pid }

// Exited is closed when the process is gone and everything it had said was handled.
func (w *Worker) Exited() <-chan struct{} { return w.exited }

// Exit says how it ended, once Exited is closed.
func (w *Worker) Exit() Exit {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.exit
}

// Add puts a REQUEST frame into the worker's queue of frames; Flush sends it.
func (w *Worker) Add(frame []byte, shape *wire.Shape) {
	if shape == nil {
		w.sender.add(0, nil, frame)
		return
	}
	w.sender.add(shape.Number, shape.Define, frame)
}

// Flush sends what was added. It never blocks.
func (w *Worker) Flush() { w.sender.flush() }

// FlushIfLast flushes unless more frames of the worker are at hand: then what they bring about may go in the same write.
// Only the handler may call it, in Frame. It lets a worker go on while its last response is still being written.
func (w *Worker) FlushIfLast() {
	if !w.reader.more() {
		w.sender.flush()
	}
}

var wakeUp = []byte{0}

// Wake wakes one sleeping thread. It never waits.
func (w *Worker) Wake() {
	// Not by wake.Write, which waits while the pipe is full.
	w.wakeRaw.Write(func(fd uintptr) bool { //nolint:errcheck // a dead worker needs no wake-up
		unix.Write(int(fd), wakeUp) //nolint:errcheck // a full pipe holds wake-ups enough
		return true
	})
}

// SendBody hands over the file that holds the body of request id. If that cannot be, the worker is told that there is
// none, so that its thread does not wait for it.
func (w *Worker) SendBody(id uint32, body *os.File) error {
	m := wire.Message{Kind: wire.BodyFd, ID: id}
	if err := w.send(m, body); err != nil {
		return errors.Join(err, w.send(m, nil))
	}
	return nil
}

// SendSocket hands over a client's socket and what was already read from it. A nil socket says that the client is gone.
func (w *Worker) SendSocket(id uint32, socket *os.File, leftover []byte) error {
	return w.send(wire.Message{Kind: wire.SocketFd, ID: id, Text: leftover}, socket)
}

func (w *Worker) send(m wire.Message, file *os.File) error {
	packet := wire.AppendMessage(nil, m)
	if file == nil {
		_, err := w.control.Write(packet)
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	// Inside Control the descriptor cannot be closed by another goroutine, so its number cannot come to mean another file.
	controlErr := raw.Control(func(fd uintptr) {
		_, _, err = w.control.WriteMsgUnix(packet, unix.UnixRights(int(fd)), nil)
	})
	return errors.Join(controlErr, err)
}

// Backtraces asks where the thread that runs request id is (all threads for 0), and waits at most as long as given:
// a worker whose interpreter is stuck does not answer. It returns "" then.
func (w *Worker) Backtraces(id uint32, wait time.Duration) string {
	answer := make(chan string, 1)
	w.mu.Lock()
	w.answers[id] = answer
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.answers, id)
		w.mu.Unlock()
	}()
	if err := w.send(wire.Message{Kind: wire.AskBacktrace, ID: id}, nil); err != nil {
		return ""
	}
	select {
	case text := <-answer:
		return text
	case <-time.After(wait):
		return ""
	case <-w.exited:
		return ""
	}
}

// Finish tells the worker that no more requests come: it finishes what it runs and leaves.
func (w *Worker) Finish() {
	w.sender.end()
}

// Dead says whether the process has ended, which may be known before everything it said was handled.
func (w *Worker) Dead() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, w.PID(), &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0 // an error: it has been waited for already
}

// Signal sends the process a signal.
func (w *Worker) Signal(sig os.Signal) {
	w.cmd.Process.Signal(sig) //nolint:errcheck // one that is gone needs none
}

// Kill ends the process at once.
func (w *Worker) Kill() {
	w.cmd.Process.Kill() //nolint:errcheck // already gone is as good
}

func (w *Worker) String() string { return "worker " + strconv.Itoa(w.Index) }

func (w *Worker) closeSockets() {
	if w.conn != nil {
		w.conn.Close()
	}
	if w.control != nil {
		w.control.Close()
	}
	if w.wake != nil {
		w.wake.Close()
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
