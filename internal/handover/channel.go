// Package handover brings a running server into another program without its clients noticing: listening sockets and clients'
// connections pass from one front to another. docs/explanation/hot-restart.md tells the whole story.
package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is what a message is about. The numbers are the protocol's.
type Kind byte

const (
	Hello      Kind = iota + 1 // a front has started, and speaks the protocol; Text is its version of Serval
	Ready                      // it serves: the other one may give its connections away
	Failed                     // it does not come up; Text says why
	Listening                  // it has opened a socket: Text is a listener.Passed as JSON, and a descriptor comes with it
	Connection                 // a client's connection: Text is requests (8 bytes, big endian) and input, and a descriptor comes with it
	Over                       // that was the last connection
)

func (k Kind) String() string {
	if k < Hello || k > Over {
		return fmt.Sprintf("message %d", byte(k))
	}
	return [...]string{"hello", "ready", "failed", "listening", "connection", "over"}[k-Hello]
}

// Message is what one front says to the other.
type Message struct {
	Kind Kind
	Text []byte
	FD   int // a descriptor that came along, which is the receiver's to close; -1: none
}

const (
	// maxText is the most a message may hold, in bytes: what was read of a connection ahead of its requests, at most.
	maxText = 64 << 20

	headSize = 5 // the kind, and the length of the text as 4 bytes, big endian

	// sendPatience is how long a front may take to receive. It does nothing else meanwhile that could take long.
	sendPatience = 10 * time.Second
)

// Channel is one front's side of the socket between two. Any number of goroutines may send, one may receive.
type Channel struct {
	socket *net.UnixConn
	mu     sync.Mutex // held while a message is written
}

// newChannel takes the descriptor of a stream socket over.
func newChannel(fd int) (*Channel, error) {
	f := os.NewFile(uintptr(fd), "handover")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("the socket to the other front is none: %w", err)
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("the socket to the other front is not a unix socket")
	}
	return &Channel{socket: socket}, nil
}

// Send sends a message without a descriptor.
func (c *Channel) Send(kind Kind, text []byte) error { return c.send(kind, text, -1) }

// SendSocket sends a message and a socket, which stays open here, too.
func (c *Channel) SendSocket(kind Kind, text []byte, socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	closed := raw.Control(func(fd uintptr) { err = c.send(kind, text, int(fd)) })
	if closed != nil {
		return closed
	}
	return err
}

func (c *Channel) send(kind Kind, text []byte, fd int) error {
	if len(text) > maxText {
		return fmt.Errorf("a %s of %d bytes is too long", kind, len(text))
	}
	head := binary.BigEndian.AppendUint32([]byte{byte(kind)}, uint32(len(text)))
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket.SetWriteDeadline(time.Now().Add(sendPatience)) //nolint:errcheck // the write will tell
	for {
		// The head alone carries the descriptor, so whoever reads the text need not look for one.
		n, _, err := c.socket.WriteMsgUnix(head, rights, nil)
		if errors.Is(err, unix.ETOOMANYREFS) { // as many descriptors are on their way as the process may have open
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		head, rights = head[n:], nil
		if len(head) == 0 {
			break
		}
	}
	_, err := c.socket.Write(text)
	return err
}

// Receive waits for the next message. The error is io.EOF when the other front is gone, or has closed its side.
func (c *Channel) Receive() (Message, error) {
	m := Message{FD: -1}
	head := make([]byte, headSize)
	rights := make([]byte, unix.CmsgSpace(4))
	for have := 0; have < headSize; {
		n, nr, _, _, err := c.socket.ReadMsgUnix(head[have:], rights)
		if err == nil && nr > 0 {
			m.FD, err = descriptor(rights[:nr])
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			m.Drop()
			return Message{FD: -1}, err
		}
		have += n
	}
	m.Kind = Kind(head[0])
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxText {
		m.Drop()
		return Message{FD: -1}, fmt.Errorf("a %s of %d bytes came from the other front", m.Kind, size)
	}
	m.Text = make([]byte, size)
	if _, err := io.ReadFull(c.socket, m.Text); err != nil {
		m.Drop()
		return Message{FD: -1}, err
	}
	return m, nil
}

// descriptor takes the one descriptor out of a control message.
func descriptor(rights []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("%d control messages came from the other front: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("%d descriptors came from the other front: %w", len(fds), err)
	}
	return fds[0], nil
}

// Drop closes the descriptor of a message that is of no use.
func (m Message) Drop() {
	if m.FD >= 0 {
		unix.Close(m.FD)
	}
}

// Close ends the conversation. The other front takes it for this one's end.
func (c *Channel) Close() { c.socket.Close() }
