package worker

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"serval/internal/wire"

	"golang.org/x/sys/unix"
)

// control is the front's end of a control socket: messages, and questions that wait for their answers.
type control struct {
	conn *net.UnixConn

	mu       sync.Mutex // guards following
	last     uint32     // the last question's number
	answers  map[question]chan reply
	closed   bool
	lastBeat time.Time // when the other side last answered a ping
}

// question tells answers apart: backtraces are asked for by the number of a request, all else by numbers in turn.
type question struct {
	backtrace bool
	id        uint32
}

type reply struct {
	text string
	err  error
}

var (
	errNoAnswer = errors.New("it did not answer in time")
	errEnded    = errors.New("it has ended")
)

func newControl() (*control, *os.File, error) {
	conn, theirs, err := socketpair(unix.SOCK_SEQPACKET, "control")
	if err != nil {
		return nil, nil, err
	}
	return &control{conn: conn, answers: map[question]chan reply{}, lastBeat: time.Now()}, theirs, nil
}

// send sends one message and copies of the files with it.
func (c *control) send(m wire.Message, files ...*os.File) error {
	packet := wire.AppendMessage(nil, m)
	return withDescriptors(files, nil, func(fds []int) error {
		if len(fds) == 0 {
			_, err := c.conn.Write(packet)
			return err
		}
		_, _, err := c.conn.WriteMsgUnix(packet, unix.UnixRights(fds...), nil)
		return err
	})
}

// withDescriptors calls do with the numbers of files. None of them can be closed by another goroutine meanwhile, so that no
// number can come to mean another file.
func withDescriptors(files []*os.File, fds []int, do func(fds []int) error) error {
	if len(files) == 0 {
		return do(fds)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) {
		err = withDescriptors(files[1:], append(fds, int(fd)), do)
	})
	return errors.Join(controlErr, err)
}

// ask sends a question and waits for its answer.
func (c *control) ask(kind byte, text string, wait time.Duration, files ...*os.File) (string, error) {
	c.mu.Lock()
	c.last++
	id := c.last
	c.mu.Unlock()
	return c.inquire(question{id: id}, wire.Message{Kind: kind, ID: id, Text: []byte(text)}, wait, files...)
}

func (c *control) inquire(q question, m wire.Message, wait time.Duration, files ...*os.File) (string, error) {
	answer := make(chan reply, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return "", errEnded
	}
	c.answers[q] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		if c.answers[q] == answer {
			delete(c.answers, q)
		}
		c.mu.Unlock()
	}()
	if err := c.send(m, files...); err != nil {
		return "", err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case r := <-answer:
		return r.text, r.err
	case <-timer.C:
		return "", errNoAnswer
	}
}

// answered hands an answer to whoever waits for it; false when m is none.
func (c *control) answered(m wire.Message) bool {
	q, r := question{id: m.ID}, reply{text: string(m.Text)}
	switch m.Kind {
	case wire.Backtrace:
		q.backtrace = true
	case wire.Answer:
	case wire.Failed:
		r = reply{err: errors.New(r.text)}
	case wire.CheckIn:
		c.mu.Lock()
		c.lastBeat = time.Now()
		c.mu.Unlock()
		return true
	default:
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := c.answers[q]; answer != nil {
		answer <- r
		delete(c.answers, q)
	}
	return true
}

// listen hands over messages until the socket ends; answers go to those who wait for them.
func (c *control) listen(handle func(wire.Message)) {
	packet := make([]byte, wire.MaxMessage)
	for {
		n, err := c.conn.Read(packet)
		if err != nil || n == 0 {
			return
		}
		m, err := wire.DecodeMessage(packet[:n])
		if err != nil || c.answered(m) {
			continue
		}
		handle(m)
	}
}

// hush lets no call wait for long any more: the other side is gone, though a process that it forked may hold its end open.
func (c *control) hush() {
	c.conn.SetWriteDeadline(time.Now().Add(-time.Second))         //nolint:errcheck // a closed socket ends the write as well
	c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) //nolint:errcheck // its last words are in the buffer
}

// close tells those who wait that no answer will come.
func (c *control) close() {
	c.mu.Lock()
	c.closed = true
	for q, answer := range c.answers {
		answer <- reply{err: errEnded}
		delete(c.answers, q)
	}
	c.mu.Unlock()
	c.conn.Close()
}

func (c *control) beat() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastBeat
}

// try sends a message unless it would have to wait: a process that hangs does not read.
func (c *control) try(m wire.Message) error {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	packet := wire.AppendMessage(nil, m)
	var sent error
	err = raw.Control(func(fd uintptr) { sent = unix.Send(int(fd), packet, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) })
	return errors.Join(err, sent)
}
