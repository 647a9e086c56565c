package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// loopbacks is what the name localhost means in a bind, whatever /etc/hosts says: every loopback address (Puma).
var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

func listenTCP(b *Bind, all []Bind) ([]*Listener, error) {
	if b.Host == "localhost" {
		return listenLocalhost(b)
	}
	addr, err := resolve(b.Host)
	if err != nil {
		return nil, b.refuse(nil, "%v", err)
	}
	l, err := openTCP(b, addr, b.Port, addr == netip.IPv6Unspecified() && !hasIPv4Twin(b, all))
	if err != nil && addr == netip.IPv6Unspecified() && noIPv6(err) {
		// As Puma 8 does, so that one configuration works on machines with and without IPv6.
		if l, err = openTCP(b, netip.IPv4Unspecified(), b.Port, false); err == nil {
			l.Notice = fmt.Sprintf("%s became %s: this machine has no IPv6", b.URI, l.URL)
		}
	}
	if err != nil {
		return nil, b.tcpError(addr, err)
	}
	return []*Listener{l}, nil
}

// listenLocalhost listens on every loopback address there is, on the same port.
func listenLocalhost(b *Bind) ([]*Listener, error) {
	const tries = 16 // the port the kernel chose for IPv4 may be taken on IPv6
	for try := 1; ; try++ {
		var open []*Listener
		port, err := b.Port, error(nil)
		var failed netip.Addr
		for _, addr := range loopbacks {
			var l *Listener
			if l, err = openTCP(b, addr, port, false); err == nil {
				open = append(open, l)
				port = l.port()
				continue
			}
			if addr.Is6() && noIPv6(err) {
				err = nil
				continue
			}
			failed = addr
			break
		}
		if err == nil {
			return open, nil
		}
		CloseAll(open)
		if b.Port != 0 || try == tries || !errors.Is(err, unix.EADDRINUSE) {
			return nil, b.tcpError(failed, err)
		}
	}
}

// openTCP listens on one address. A dual socket serves IPv4 clients too, whatever net.ipv6.bindv6only says.
func openTCP(b *Bind, addr netip.Addr, port int, dual bool) (*Listener, error) {
	family, sockaddr := sockaddrOf(addr, port)
	fd, err := open(family, sockaddr, b.Backlog, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if family != unix.AF_INET6 {
			return nil
		}
		only := 1
		if dual {
			only = 0
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}, func() error { return nil })
	if err != nil {
		return nil, err
	}
	l, err := wrap(fd, nil)
	if err != nil {
		return nil, err
	}
	l.Name = "tcp://" + net.JoinHostPort(addr.String(), strconv.Itoa(b.Port))
	l.URL = "http://" + net.JoinHostPort(addr.String(), strconv.Itoa(l.port()))
	return l, nil
}

func (l *Listener) port() int { return l.Addr().(*net.TCPAddr).Port }

func sockaddrOf(addr netip.Addr, port int) (family int, sockaddr unix.Sockaddr) {
	if addr.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: addr.As4()}
	}
	sa := &unix.SockaddrInet6{Port: port, Addr: addr.As16()}
	if ifi, err := net.InterfaceByName(addr.Zone()); err == nil {
		sa.ZoneId = uint32(ifi.Index)
	}
	return unix.AF_INET6, sa
}

// hasIPv4Twin reports whether the same port is bound for all of IPv4 too: then the IPv6 socket must leave it alone.
func hasIPv4Twin(b *Bind, all []Bind) bool {
	for i := range all {
		if all[i].Network == "tcp" && all[i].Host == "0.0.0.0" && all[i].Port == b.Port && b.Port != 0 {
			return true
		}
	}
	return false
}

// resolve finds the address of a host: an address is itself, a name is looked up and its first address taken, as
// getaddrinfo's caller would. No host means every address.
func resolve(host string) (netip.Addr, error) {
	if host == "" {
		return netip.IPv6Unspecified(), nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, fmt.Errorf("no address is known for %q; use an address of this machine, as 127.0.0.1", host)
	}
	return addrs[0].Unmap(), nil
}

// noIPv6 recognises what the kernel says where IPv6 is missing or switched off.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
}

// tcpError turns what the kernel said into a sentence.
func (b *Bind) tcpError(addr netip.Addr, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		if who := holder(addr, b.Port); who != "" {
			return b.refuse(err, "the port is taken by %s; stop it or choose another with -p", who)
		}
		return b.refuse(err, "the port is taken; choose another with -p")
	case errors.Is(err, unix.EACCES):
		return b.refuse(err, "ports below 1024 are for root; choose a higher one, or give serval the capability CAP_NET_BIND_SERVICE")
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return b.refuse(err, "%s is not an address of this machine; choose one that is, or 0.0.0.0 for all", addr)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return b.refuse(err, "this machine has no IPv6; choose an IPv4 address, as 0.0.0.0 or 127.0.0.1")
	}
	return b.refuse(err, "%v; choose another address with --bind", err)
}
