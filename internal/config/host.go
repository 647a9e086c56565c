package config

import (
	"net"
	"os"
	"sync"
)

// defaultHost is where a port without a host listens: on every address, IPv4 and IPv6, where the machine has an IPv6
// address besides the loopback's (Puma 8), on every IPv4 address otherwise.
var defaultHost = sync.OnceValue(func() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "0.0.0.0"
	}
	for _, addr := range addrs {
		ip, ok := addr.(*net.IPNet)
		if ok && ip.IP.To4() == nil && !ip.IP.IsLoopback() {
			return "::"
		}
	}
	return "0.0.0.0"
})

// currentDirectory is PWD if that is where we are, since it keeps the symlinks of a "current" release; the real path
// otherwise.
func currentDirectory(pwd string) (string, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	here, err := os.Stat(".")
	if err != nil {
		return "", err
	}
	if there, err := os.Stat(pwd); err == nil && os.SameFile(here, there) && pwd[0] == '/' {
		return pwd, nil
	}
	return cwd, nil
}
