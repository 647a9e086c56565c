package test

import (
	"testing"

	"serval/internal/testkit"
)

func TestTheProxyProtocolNamesTheClientOfAConnection(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "-w", "1", "--remote-address", "proxy_protocol:v1")
	remote := func(c *testkit.Client) any {
		t.Helper()
		return object(t, c.Response("GET"))["REMOTE_ADDR"]
	}
	c := s.Dial()
	for part := range []byte("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n") {
		c.Send("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"[part : part+1])
	}
	for range 2 { // it holds for all requests of the connection
		c.Send(testkit.Request("GET", "/", ""))
		if got := remote(c); got != "192.0.2.7" {
			t.Errorf("REMOTE_ADDR is %v", got)
		}
	}
	// The line comes once, and first: later on it is a bad request.
	c.Send("PROXY TCP4 192.0.2.8 198.51.100.1 56324 443\r\n")
	if r := c.Response("GET"); r.Status != 400 && r.Status != 505 {
		t.Errorf("got %+v", r)
	}
	plain := s.Dial()
	plain.Send(testkit.Request("GET", "/", ""))
	if got := remote(plain); got != "127.0.0.1" {
		t.Errorf("without a line REMOTE_ADDR is %v", got)
	}
	bad := s.Dial()
	bad.Send("PROXY TCP4 nobody 198.51.100.1 56324 443\r\n" + testkit.Request("GET", "/", ""))
	if r := bad.Response("GET"); r.Status != 400 {
		t.Errorf("a bad line got %+v", r)
	}
}
