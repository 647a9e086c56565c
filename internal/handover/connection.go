package handover

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"serval/internal/listener"
	"serval/internal/server"
)

// Give sends a client's connection. It is what server.Release takes.
func (c *Channel) Give(t server.Transfer) error {
	socket, ok := t.Conn.(syscall.Conn)
	if !ok {
		return errors.New("a connection without a descriptor cannot be passed on")
	}
	text := binary.BigEndian.AppendUint64(nil, uint64(t.Requests))
	text = append(append(text, byte(len(t.Remote))), t.Remote...) // an address, 45 bytes at most
	return c.SendSocket(Connection, append(text, t.Input...), socket)
}

// Transfer is the connection that a message brought.
func (m Message) Transfer() (server.Transfer, error) {
	if m.FD < 0 {
		return server.Transfer{}, errors.New("a connection came without a socket")
	}
	f := os.NewFile(uintptr(m.FD), "client")
	defer f.Close()
	if len(m.Text) < 9 || len(m.Text) < 9+int(m.Text[8]) {
		return server.Transfer{}, fmt.Errorf("a connection came with %d bytes, which is too few", len(m.Text))
	}
	remote, input := m.Text[9:9+int(m.Text[8])], m.Text[9+int(m.Text[8]):]
	conn, err := net.FileConn(f)
	if err != nil {
		return server.Transfer{}, err
	}
	return server.Transfer{Conn: conn, Requests: int64(binary.BigEndian.Uint64(m.Text)), Remote: remote, Input: input}, nil
}

// Announce sends a listener that was opened here, and leaves its socket file to the other front.
func (c *Channel) Announce(l *listener.Listener) error {
	text, err := json.Marshal(l.Pass())
	if err != nil {
		return err
	}
	socket, ok := l.Listener.(syscall.Conn)
	if !ok {
		return errors.New("a listener without a descriptor cannot be passed on")
	}
	l.Disown()
	return c.SendSocket(Listening, text, socket)
}

// Listener is the listener that a message brought. Its socket file is this process's from now on.
func (m Message) Listener() (*listener.Listener, error) {
	if m.FD < 0 {
		return nil, errors.New("a listener came without a socket")
	}
	defer m.Drop()
	var passed listener.Passed
	if err := json.Unmarshal(m.Text, &passed); err != nil {
		return nil, fmt.Errorf("a listener came with a description that cannot be read: %w", err)
	}
	l, err := listener.Inherit(passed, m.FD)
	if err == nil {
		l.Own()
	}
	return l, err
}
