package control

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Every server has a private control socket, so that clients can wait for what they asked for even where no control server
// is configured. It has an abstract name (unix(7)): there is no file to leave behind, and a server with a /tmp of its own
// (systemd's PrivateTmp) is found all the same. Names have no permissions, so both sides look at who the other one is: the
// server lets in who may send it signals, and the client wants the very process that it looks for.
const privatePrefix = "@serval-control/"

// ListenPrivate opens this process's private socket. Part of its name is random, so that nobody can take it before.
func ListenPrivate() (net.Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("%s%d/%s", privatePrefix, os.Getpid(), NewToken()), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot open the private control socket: %w", err)
	}
	return privateListener{l}, nil
}

// privateListener turns away who may not send this process signals (kill(2)).
type privateListener struct{ *net.UnixListener }

func (l privateListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := credentials(conn)
		if err == nil && (peer.Uid == 0 || int(peer.Uid) == os.Getuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

// credentials says who opened the other end (SO_PEERCRED).
func credentials(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) { peer, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil {
		return nil, err
	}
	return peer, failure
}

// ErrOtherUser is why a private socket cannot be used.
var ErrOtherUser = errors.New("belongs to another user: run this as that user or as root")

// dialPrivate connects to the private socket of a process.
func dialPrivate(pid int) (net.Conn, error) {
	for _, name := range privateNames(pid) {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"})
		if err != nil {
			continue
		}
		peer, err := credentials(conn)
		switch {
		case err == nil && int(peer.Pid) == pid && os.Getuid() != 0 && int(peer.Uid) != os.Getuid():
			conn.Close()
			return nil, fmt.Errorf("PID %d %w", pid, ErrOtherUser)
		case err == nil && int(peer.Pid) == pid:
			return conn, nil
		}
		conn.Close()
	}
	return nil, fmt.Errorf("PID %d has no private control socket here", pid)
}

// privateNames finds the names of sockets that may be the private one of a process, in the kernel's list of them (proc(5)).
func privateNames(pid int) (names []string) {
	f, err := os.Open("/proc/net/unix")
	if err != nil {
		return nil
	}
	defer f.Close()
	prefix := fmt.Sprintf("%s%d/", privatePrefix, pid)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// Num: RefCount Protocol Flags Type St Inode Path; a flag of 00010000 is that of a socket that listens.
		if fields := strings.Fields(lines.Text()); len(fields) == 8 && fields[3] == "00010000" && strings.HasPrefix(fields[7], prefix) {
			names = append(names, fields[7])
		}
	}
	return names
}
