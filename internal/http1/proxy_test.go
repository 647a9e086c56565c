package http1

import (
	"errors"
	"strings"
	"testing"
)

func TestAProxyLineNamesTheClient(t *testing.T) {
	long := "PROXY TCP6 " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "ffff 65535 65535\r\n"
	for line, want := range map[string]string{
		"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n":  "192.0.2.7",
		"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n": "2001:db8::7",
		"PROXY UNKNOWN\r\n":                     "invalid IP",
		"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": "invalid IP",
		long:                                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		in := line + "GET / HTTP/1.1\r\n"
		for n := range len(line) {
			if _, _, done, err := ParseProxy([]byte(in[:n])); done || err != nil {
				t.Fatalf("after %q it is done: %v, %v", in[:n], done, err)
			}
		}
		client, n, done, err := ParseProxy([]byte(in))
		if client.String() != want || in[n:] != "GET / HTTP/1.1\r\n" || !done || err != nil {
			t.Errorf("%q: %s, %d bytes, %v, %v", line, client, n, done, err)
		}
	}
}

func TestARequestIsNoProxyLine(t *testing.T) {
	for _, in := range []string{"GET / HTTP/1.1\r\n", "PUT /", "PROPFIND / HTTP/1.1\r\n", "PROXYING / HTTP/1.1", "\r\n", "x"} {
		if _, n, done, err := ParseProxy([]byte(in)); n != 0 || !done || err != nil {
			t.Errorf("%q: %d bytes, %v, %v", in, n, done, err)
		}
	}
}

func TestABadProxyLineIsRefused(t *testing.T) {
	for _, in := range []string{
		"PROXY \r\n", "PROXY TCP4\r\n", "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n", "PROXY TCP4 me you 1 2\r\n", "PROXY SCTP 192.0.2.7 192.0.2.1 1 2\r\n",
		"PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n", "PROXY TCP4 " + strings.Repeat("1", 100) + "\r\n",
	} {
		_, _, done, err := ParseProxy([]byte(in))
		var refused *Error
		if !done || !errors.As(err, &refused) || refused.Status != 400 {
			t.Errorf("%q: %v, %v", in, done, err)
		}
	}
}
