package listener

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstActivated is the number of the first descriptor that systemd passes (sd_listen_fds(3), SD_LISTEN_FDS_START).
const firstActivated = 3

// activationVars are the variables that speak of such descriptors.
var activationVars = []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}

// Activation is the sockets that systemd opened for this process (systemd.socket(5)). It keeps them open while Serval
// is stopped or starts again, so clients wait instead of being refused; their files are its own and never removed here.
type Activation struct {
	// Notices are lines for the log, about what was passed and cannot be used.
	Notices []string

	sockets []*activated
}

// activated is one of the sockets, until a listener is made of it.
type activated struct {
	fd   int
	name string         // FileDescriptorName=, the socket unit's by default
	tcp  netip.AddrPort // where it listens, if that is a port
	path string         // if that is a path
	abs  string         // if that is an abstract name, without its @
}

// TakeActivation takes the sockets that the environment speaks of, if it speaks to this process. Processes started from
// then on do not get them, nor hear of them.
func TakeActivation() *Activation {
	fds, pid, names := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range activationVars {
		os.Unsetenv(name)
	}
	a := &Activation{}
	n, err := strconv.Atoi(fds)
	if err != nil || pid != strconv.Itoa(os.Getpid()) {
		return a
	}
	name := strings.Split(names, ":")
	for i := range n {
		s := &activated{fd: firstActivated + i, name: "LISTEN_FD_" + strconv.Itoa(firstActivated+i)}
		if names != "" && i < len(name) {
			s.name = name[i]
		}
		unix.CloseOnExec(s.fd)
		if err := s.identify(); err != nil {
			a.note("systemd passed something that cannot be used (%s): %v", s.name, err)
			s.close()
			continue
		}
		a.sockets = append(a.sockets, s)
	}
	return a
}

func (a *Activation) note(format string, args ...any) {
	a.Notices = append(a.Notices, fmt.Sprintf(format, args...))
}

// identify finds out where the socket listens.
func (s *activated) identify() error {
	listens, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	switch {
	case err != nil:
		return fmt.Errorf("it is no socket (%w): write ListenStream= in the socket unit", err)
	case listens == 0:
		return fmt.Errorf("the socket does not listen: write ListenStream= and Accept=no in the socket unit")
	}
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		s.tcp = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr).Unmap()
		if ifi, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil && sa.ZoneId != 0 {
			addr = addr.WithZone(ifi.Name)
		}
		s.tcp = netip.AddrPortFrom(addr, uint16(sa.Port))
	case *unix.SockaddrUnix:
		if name, ok := strings.CutPrefix(sa.Name, "@"); ok {
			s.abs = name
		} else {
			s.path = sa.Name
		}
	default:
		return fmt.Errorf("it is of a kind that HTTP does not run on: write a port or a path after ListenStream=")
	}
	return nil
}

// String is the socket as a bind names it.
func (s *activated) String() string {
	switch {
	case s.path != "":
		return "unix://" + s.path
	case s.abs != "":
		return "unix://@" + s.abs
	}
	return "tcp://" + s.tcp.String()
}

func (s *activated) close() { unix.Close(s.fd) }

// Listen is Listen for binds whose sockets systemd may have opened already: those are used. use says what becomes of
// sockets that no bind names: "" closes them, "true" listens on them too, and "only" listens on them and opens nothing
// else, as long as systemd passed any (Puma 5.1). It can be called once.
func (a *Activation) Listen(binds []Bind, use string) (open []*Listener, err error) {
	defer func() {
		if err != nil {
			CloseAll(open)
			open = nil
		}
		for _, s := range a.sockets {
			s.close()
		}
		a.sockets = nil
	}()
	only := use == "only" && len(a.sockets) > 0
	for i := range binds {
		more, err := a.listen(&binds[i], binds, only)
		if err != nil {
			return open, err
		}
		open = append(open, more...)
	}
	for len(a.sockets) > 0 && use != "" {
		l, err := a.use(0, a.sockets[0].String())
		if err != nil {
			return open, err
		}
		open = append(open, l)
	}
	for _, s := range a.sockets {
		a.note("systemd's socket %s (%s) is closed: no bind names it, so clients that connect there get no answer; "+
			"bind to it, or write bind_to_activated_sockets", s, s.name)
	}
	return open, nil
}

// listen finds the sockets for one bind, or opens them unless only those of systemd count.
func (a *Activation) listen(b *Bind, all []Bind, only bool) (open []*Listener, err error) {
	names, err := b.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		at := a.find(b, name)
		if at < 0 {
			continue
		}
		l, err := a.use(at, name.String())
		if err != nil {
			CloseAll(open)
			return nil, b.refuse(err, "systemd's socket for it cannot be used: %v; look at the socket unit", err)
		}
		l.follow(b)
		open = append(open, l)
	}
	if len(open) > 0 || only {
		return open, nil
	}
	open, err = listen(b, all)
	if other := a.samePort(b); err != nil && other != nil {
		return nil, b.refuse(err, "systemd has that port, but as %s (%s): make the bind and the socket unit alike", other, other.name)
	}
	return open, err
}

// address is what a bind stands for.
type address struct {
	tcp  netip.AddrPort
	unix string // a path, or an abstract name with its @
}

// String is the name of a listener there.
func (n address) String() string {
	if n.unix != "" {
		return "unix://" + n.unix
	}
	return "tcp://" + n.tcp.String()
}

// names are all the addresses that a bind stands for: one, or every loopback address for localhost.
func (b *Bind) names() ([]address, error) {
	switch {
	case b.Abstract != "":
		return []address{{unix: "@" + b.Abstract}}, nil
	case b.Network == "unix":
		return []address{{unix: b.Path}}, nil
	case b.Host == "localhost":
		var all []address
		for _, addr := range loopbacks {
			all = append(all, address{tcp: netip.AddrPortFrom(addr, uint16(b.Port))})
		}
		return all, nil
	}
	addr, err := resolve(b.Host)
	if err != nil {
		return nil, b.refuse(nil, "%v", err)
	}
	return []address{{tcp: netip.AddrPortFrom(addr, uint16(b.Port))}}, nil
}

// find returns the place of the socket for a name, -1 if there is none.
func (a *Activation) find(b *Bind, name address) int {
	wildcard := -1
	for i, s := range a.sockets {
		switch {
		case s.abs != "" && name.unix == "@"+s.abs, s.path != "" && b.Path != "" && samePath(s.path, name.unix):
			return i
		case b.Network != "tcp" || b.Port == 0 || !s.tcp.IsValid():
		case s.tcp == name.tcp:
			return i
		case s.tcp.Port() == name.tcp.Port() && s.tcp.Addr().IsUnspecified() && name.tcp.Addr().IsUnspecified():
			wildcard = i // ListenStream=3000 is [::]:3000, which takes IPv4 too; nobody else could have the port anyway
		}
	}
	return wildcard
}

// samePort is a socket that has a bind's port on another address, or nil.
func (a *Activation) samePort(b *Bind) *activated {
	for _, s := range a.sockets {
		if b.Network == "tcp" && s.tcp.IsValid() && int(s.tcp.Port()) == b.Port {
			return s
		}
	}
	return nil
}

func samePath(one, other string) bool {
	if one == other {
		return true
	}
	real1, err1 := filepath.EvalSymlinks(one)
	real2, err2 := filepath.EvalSymlinks(other)
	return err1 == nil && err2 == nil && real1 == real2
}

// use makes a listener of a socket, and takes it out of the list.
func (a *Activation) use(at int, name string) (*Listener, error) {
	s := a.sockets[at]
	a.sockets = append(a.sockets[:at], a.sockets[at+1:]...)
	l, err := wrap(s.fd, nil)
	if err != nil {
		return nil, err
	}
	l.Name, l.Activated = name, s.name
	l.URL = strings.Replace(s.String(), "tcp://", "http://", 1)
	return l, nil
}
