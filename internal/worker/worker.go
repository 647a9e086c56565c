// Package worker is one Ruby web worker: its process, its sockets, its boot, its frames and its end.
// What it is given to do and what becomes of the answers is dispatch's affair.
package worker

import (
	"cmp"
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

	"serval/internal/loop"
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

// Handler takes what a worker says. It is called from one goroutine per worker, in order, and must not block. One that is a
// MoldHandler as well also hears the wishes of plugins and hooks in a worker without mold.
type Handler interface {
	// Frame takes one frame; file is the descriptor that came with it, or nil. The handler owns the file.
	// Head and Body of f are good only during the call. An error says in what way the worker broke the protocol: it is
	// killed.
	Frame(f *wire.Frame, file *os.File) error

	// Answers takes whole responses that came together. Deliver follows, before anything else, and is for what the worker need not wait
	// for. The frames are good until then.
	Answers(frames []wire.Frame) error
	Deliver()

	// RetireAsked is called when the worker itself asks to be replaced, from another goroutine than Frame.
	RetireAsked()
}

// Worker is a started worker process.
type Worker struct {
	child
	Index int

	handler Handler
	conn    *loop.Socket // requests
	wake    *os.File
	wakeRaw syscall.RawConn
	sender  sender
	reader  *reader

	outbox      *outbox // nil: it has none; guarded by reading
	undelivered bool    // the handler has answers to deliver; guarded by reading

	reading sync.Mutex // held by who reads frames: the loop's thread, and at last the goroutine that runs the worker
	deaf    bool       // nothing is read any more; guarded by reading
	failing sync.WaitGroup
}

// Start starts a worker process. The worker is then booting; await Boot.
func Start(cfg Config, h Handler) (*Worker, error) {
	w, theirs, err := newWorker(cfg.Index, h)
	if err != nil {
		return nil, err
	}
	defer closeAll(theirs)
	w.process, err = spawn(command(cfg, theirs)) // 3: requests, 4: control, 5 and 6: the wake pipe
	if err != nil {
		w.closeSockets()
		return nil, startError(w.name, cfg.Ruby, err)
	}
	go w.run()
	return w, nil
}

// newWorker is a worker without a process, and the descriptors that the process is to have as 3 to 6.
func newWorker(index int, h Handler) (*Worker, []*os.File, error) {
	w := &Worker{child: newChild("worker " + strconv.Itoa(index)), Index: index, handler: h}
	theirs, err := w.open()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot start %s: %w", w.name, err)
	}
	return w, theirs, nil
}

func startError(name, ruby string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("cannot start %s: %s is not in PATH: install Ruby or name it with --ruby", name, ruby)
	}
	return fmt.Errorf("cannot start %s: %w", name, err)
}

func command(cfg Config, fds []*os.File) *exec.Cmd {
	cmd := exec.Command(cfg.Ruby, cfg.Script)
	cmd.Dir = cfg.Dir
	cmd.Env = slices.Concat(cfg.Env, []string{"SERVAL_WORKER=" + strings.Join(cfg.Settings, "\n")})
	cmd.Stdout, cmd.Stderr = cfg.Stdout, cfg.Stderr
	cmd.ExtraFiles = fds
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
	var ours int
	if ours, end, err = socketFDs(unix.SOCK_STREAM, "requests"); err != nil {
		return theirs, err
	}
	theirs = append(theirs, end)
	w.conn = loop.New(ours, nil)
	if w.control, end, err = newControl(); err != nil {
		return theirs, err
	}
	theirs = append(theirs, end)
	sleeper, waker, err := w.openWake()
	if err != nil {
		return theirs, err
	}
	theirs = append(theirs, sleeper, waker)
	w.reader = newReader(w.conn)
	w.sender.conn, w.sender.write = w.conn, w.sender.writeNow
	return theirs, nil
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
	fd, theirs, err := socketFDs(kind, name)
	if err != nil {
		return nil, nil, err
	}
	ours := os.NewFile(uintptr(fd), name)
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// socketFDs makes a pair of sockets: the front's end, which does not block, and the worker's.
func socketFDs(kind int, name string) (ours int, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	// As large as the kernel allows: a worker that can hand over a whole response need not wait for the front.
	for _, fd := range fds {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20) //nolint:errcheck // a wish
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0]) //nolint:errcheck // nothing was written to it
		unix.Close(fds[1]) //nolint:errcheck // as above
		return -1, nil, err
	}
	return fds[0], os.NewFile(uintptr(fds[1]), name), nil
}

// run reads what the worker says until it is gone.
func (w *Worker) run() {
	if err := w.conn.Watch(true, w.readable); err != nil {
		w.failing.Go(func() { w.readFailed(err) })
	}
	var wg sync.WaitGroup
	wg.Go(func() { w.control.listen(w.hear) })
	<-w.process.done
	// A process that the app forked may hold the sockets open, so their ends are not awaited: what the worker said is
	// there. Nor may a write to it wait any more.
	w.conn.SetDeadline(time.Now().Add(-time.Second)) //nolint:errcheck // it is closed by nobody else
	w.control.hush()
	wg.Wait()
	w.readLast()
	w.sender.flush()
	w.sender.waiting.Wait()
	w.failing.Wait()
	w.closeSockets()
	w.reader.close()
	w.bury()
}

// hear takes one message of the worker.
func (w *Worker) hear(m wire.Message) {
	if w.handle(m) {
		return
	}
	if m.Kind == wire.Retire {
		w.handler.RetireAsked()
		return
	}
	wishes, _ := w.handler.(MoldHandler)
	w.grant(m, wishes)
}

// readable is called by the loop when the worker has written.
func (w *Worker) readable() {
	w.reading.Lock()
	defer w.reading.Unlock()
	w.readFrames()
}

// readLast reads what a worker that is gone has written.
func (w *Worker) readLast() {
	w.reading.Lock()
	defer w.reading.Unlock()
	w.readFrames()
	w.takeOut()
	w.deaf = true
	if w.outbox != nil {
		w.outbox.close()
	}
}

// readFrames hands the frames that are there to the handler.
func (w *Worker) readFrames() {
	for !w.deaf {
		came, drained, err := w.reader.fill()
		if came && err == nil {
			err = w.handleFrames()
		}
		if err != nil {
			w.takeOut() // what it has said until then
			w.fail(err)
		}
		if drained && !w.conn.Ended() || !came {
			return
		}
	}
}

// fail is called when the worker cannot be heard any more.
func (w *Worker) fail(err error) {
	if w.deaf {
		return
	}
	w.deaf = true
	w.failing.Go(func() { w.readFailed(err) })
}

// readFailed ends a worker that cannot be heard any more.
func (w *Worker) readFailed(err error) {
	// A reset is what the end of a process looks like that had not read all yet (unix(7)).
	if errors.Is(err, errWorkerGone) || errors.Is(err, syscall.ECONNRESET) {
		// It is ending, most likely: its sockets close a moment before the process is gone.
		if w.sender.ended() {
			return
		}
		select {
		case <-w.process.done:
			return
		case <-time.After(goneWithin):
		}
	}
	w.mu.Lock()
	w.fault = err
	w.mu.Unlock()
	w.Kill()
}

// goneWithin is how long a process may take to end after its sockets were closed. On a machine that is short of everything,
// the kernel needs its time to take a large one apart.
const goneWithin = 5 * time.Second

func (w *Worker) handleFrames() error {
	f := &w.reader.frame
	for {
		ok, err := w.reader.next(f)
		if err != nil {
			return fmt.Errorf("it sent bytes that are no frame: %w", err)
		}
		if !ok {
			break
		}
		var file *os.File
		switch f.Type {
		case wire.Bell:
			continue // the loop is awake, that was all
		case wire.Outbox:
			if err := w.share(w.reader.file("outbox")); err != nil {
				return err
			}
			continue
		case wire.File, wire.Stream:
			file = w.reader.file(f.Type.String())
		}
		if err := w.handler.Frame(f, file); err != nil {
			return err
		}
	}
	w.sender.flush()
	return w.reader.unclaimed()
}

// share takes an outbox of the worker's into use.
func (w *Worker) share(file *os.File) error {
	if w.outbox != nil {
		return errors.New("it sent a second outbox")
	}
	box, err := openOutbox(file)
	if err != nil {
		return err
	}
	w.outbox = box
	w.conn.Share(outboxOf{w, box})
	return nil
}

// outboxOf is a worker's outbox as the loop sees it.
type outboxOf struct {
	worker *Worker
	*outbox
}

// Look hands what is in the outbox to the handler.
func (o outboxOf) Look() {
	if !o.more() {
		return
	}
	o.worker.reading.Lock()
	defer o.worker.reading.Unlock()
	o.worker.hearOutbox()
}

// Answer has the handler deliver that.
func (o outboxOf) Answer() {
	o.worker.reading.Lock()
	defer o.worker.reading.Unlock()
	o.worker.deliver()
}

// takeOut hands what is in the outbox to the handler and has it delivered.
func (w *Worker) takeOut() {
	w.hearOutbox()
	w.deliver()
}

func (w *Worker) hearOutbox() {
	if w.outbox == nil || w.deaf {
		return
	}
	w.deliver() // what was there before
	frames, err := w.outbox.take()
	w.undelivered = true
	if len(frames) > 0 {
		err = cmp.Or(w.handler.Answers(frames), err)
		w.sender.flush()
	}
	if err != nil {
		w.fail(err)
	}
}

func (w *Worker) deliver() {
	if w.undelivered {
		w.undelivered = false
		w.handler.Deliver()
		w.outbox.release()
	}
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
	if err := w.control.send(m, body); err != nil {
		return errors.Join(err, w.control.send(m))
	}
	return nil
}

// SendSocket hands over a client's socket and what was already read from it. A nil socket says that the client is gone.
func (w *Worker) SendSocket(id uint32, socket *os.File, leftover []byte) error {
	m := wire.Message{Kind: wire.SocketFd, ID: id, Text: leftover}
	if socket == nil {
		return w.control.send(m)
	}
	return w.control.send(m, socket)
}

// Finish tells the worker that no more requests come: it finishes what it runs and leaves.
func (w *Worker) Finish() {
	w.sender.end()
}

func (w *Worker) closeSockets() {
	if w.conn != nil {
		w.conn.Close()
	}
	if w.control != nil {
		w.control.close()
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
