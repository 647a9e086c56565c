package testkit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Client is a connection on which a test says exactly what it wants. Its reads and writes fail after Patience.
type Client struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

// NewClient wraps a connection and closes it when the test ends.
func NewClient(t testing.TB, conn net.Conn) *Client {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * Patience))
	return &Client{conn, bufio.NewReader(conn), t}
}

// Read reads what the server sent and no response took.
func (c *Client) Read(p []byte) (int, error) { return c.r.Read(p) }

// Send writes bytes as they are.
func (c *Client) Send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, raw); err != nil {
		c.t.Fatalf("cannot send: %v", err)
	}
}

// CloseWrite ends the sending side.
func (c *Client) CloseWrite() {
	c.t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// Reset closes the connection so that the server sees it at once, by a RST.
func (c *Client) Reset() {
	c.t.Helper()
	conn := c.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// Line reads a line and returns it without its end, for conversations that are not HTTP.
func (c *Client) Line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("no line came, only %q: %v", line, err)
	}
	return strings.TrimRight(line, "\r\n")
}

// Head reads a response's head as it is, with its blank line.
func (c *Client) Head() string {
	c.t.Helper()
	var head strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			c.t.Fatalf("no whole head came, only %q: %v", head.String(), err)
		}
		if line == "\r\n" {
			return head.String()
		}
	}
}

// Response reads one response, which must be whole.
func (c *Client) Response(method string) *Response {
	c.t.Helper()
	r, err := c.TryResponse(method)
	if err != nil {
		c.t.Fatalf("no whole response to %s: %v (so far: %+v)", method, err, r)
	}
	return r
}

// TryResponse reads one response. When its body breaks off, it returns the response so far and the error.
func (c *Client) TryResponse(method string) (*Response, error) {
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	return &Response{
		Status: res.StatusCode, Proto: res.Proto, Header: res.Header, Body: string(body),
		Length: res.ContentLength, Chunked: len(res.TransferEncoding) > 0, Close: res.Close,
	}, err
}

// End checks that the server ends the connection, and sends nothing before that.
func (c *Client) End() {
	c.t.Helper()
	if rest, err := c.Rest(); rest != "" || err != nil {
		c.t.Errorf("instead of the connection's end came %q, %v", rest, err)
	}
}

// Rest reads to the end of the connection. A reset counts as an end.
func (c *Client) Rest() (string, error) {
	rest, err := io.ReadAll(c.r)
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil
	}
	return string(rest), err
}

// Response is what a client got.
type Response struct {
	Status  int
	Proto   string
	Header  http.Header
	Body    string
	Length  int64 // its Content-Length; -1: none
	Chunked bool
	Close   bool // the connection is at its end
}

// Request is the text of a request, with a Host and, where there is a body, its length.
func Request(method, path, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: serval.test\r\n", method, path)
	for _, line := range headers {
		b.WriteString(line + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// Chunked is a body in chunked coding, one chunk per part.
func Chunked(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String() + "0\r\n\r\n"
}
