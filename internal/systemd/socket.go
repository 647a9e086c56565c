package systemd

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// sendTimeout is how long one message may wait for room in systemd's queue.
const sendTimeout = time.Second

// socket is where systemd listens. It stays connected, so that a front without a free descriptor can still be heard.
type socket struct {
	addr *net.UnixAddr
	conn *net.UnixConn
}

func newSocket(path string) (*socket, error) {
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
		return nil, fmt.Errorf("NOTIFY_SOCKET=%q is neither a path nor an abstract name: unset it, or set PUMA_SKIP_SYSTEMD=1", path)
	}
	return &socket{addr: &net.UnixAddr{Net: "unixgram", Name: path}}, nil
}

// send sends one message. A connection that broke, because systemd made its socket anew, is tried again once.
func (s *socket) send(message string) error {
	for old := s.conn != nil; ; old = false {
		err := s.try(message)
		if err == nil {
			return nil
		}
		s.close()
		if !old {
			return fmt.Errorf("%w; is NOTIFY_SOCKET that of a running systemd?", err)
		}
	}
}

func (s *socket) try(message string) (err error) {
	if s.conn == nil {
		if s.conn, err = net.DialUnix(s.addr.Net, nil, s.addr); err != nil {
			return err
		}
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err = s.conn.Write([]byte(message))
	return err
}

func (s *socket) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}
