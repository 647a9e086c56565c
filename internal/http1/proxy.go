package http1

import (
	"bytes"
	"net/netip"
)

// proxyLine is the longest line of version 1 of the PROXY protocol, its end included, in bytes (proxy-protocol.txt, §2.1).
const proxyLine = 107

var proxyStart = []byte("PROXY ")

// ParseProxy reads the line that a proxy which speaks version 1 of the PROXY protocol sends first on a connection. It
// returns the client's address and the length of the line; the address is invalid where the proxy does not know it
// (UNKNOWN). A length of 0 says that there is no such line. done is false while more bytes are needed to tell. A line that
// begins like one and is none is a 400.
func ParseProxy(in []byte) (client netip.Addr, n int, done bool, err error) {
	if begin := in[:min(len(in), len(proxyStart))]; !bytes.HasPrefix(proxyStart, begin) {
		return client, 0, true, nil
	}
	end := bytes.Index(in[:min(len(in), proxyLine)], []byte("\r\n"))
	switch {
	case end < 0 && len(in) < proxyLine:
		return client, 0, false, nil
	case end < 0:
		return client, 0, true, bad("the PROXY line is too long")
	}
	words := bytes.Split(in[len(proxyStart):end], []byte(" "))
	if string(words[0]) == "UNKNOWN" {
		return client, end + 2, true, nil
	}
	if len(words) == 5 {
		client, _ = netip.ParseAddr(string(words[1]))
	}
	family := map[string]bool{"TCP4": client.Is4(), "TCP6": client.Is6()}
	if !family[string(words[0])] {
		return netip.Addr{}, 0, true, bad("the PROXY line is not one of version 1")
	}
	return client.Unmap().WithZone(""), end + 2, true, nil
}
