package listener

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder names the process that listens on a port, as "PID 123 ruby", or is empty when that cannot be told: the
// sockets of other users' processes are visible only to root.
func holder(addr netip.Addr, port int) string {
	sockets := listening(addr, port)
	if len(sockets) == 0 {
		return ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !sockets[target] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return fmt.Sprintf("PID %s %s", pid, bytes.TrimSpace(name))
	}
	return ""
}

// listening finds the sockets that listen on a port in the way of addr, as /proc/PID/fd shows them: "socket:[INODE]".
func listening(addr netip.Addr, port int) map[string]bool {
	found := map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode … (proc_pid_net(5))
			fields := strings.Fields(lines.Text())
			const stateListen = "0A"
			if len(fields) < 10 || fields[3] != stateListen {
				continue
			}
			local, ok := parseLocal(fields[1])
			if ok && int(local.Port()) == port && inTheWay(local.Addr(), addr) {
				found["socket:["+fields[9]+"]"] = true
			}
		}
		f.Close()
	}
	return found
}

// inTheWay reports whether a socket on one address keeps another from being opened on the same port. A wildcard of
// either family is in everybody's way, since a dual IPv6 one takes IPv4 too.
func inTheWay(taken, wanted netip.Addr) bool {
	return taken == wanted || taken.IsUnspecified() || wanted.IsUnspecified()
}

// parseLocal reads the kernel's "0100007F:2454": an address in network order, printed as 32-bit words of the machine's
// own byte order, and a port.
func parseLocal(text string) (netip.AddrPort, bool) {
	host, portHex, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	port, err := strconv.ParseUint(portHex, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}
