package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Client talks to a control server, Serval's or Puma's.
type Client struct {
	where string // for sentences
	token string
	http  *http.Client
}

// maxReply is how long an answer may be; thread-backtraces of many threads are the longest.
const maxReply = 64 << 20

// Dial prepares to talk to the control server at a URL: tcp://HOST:PORT, ssl://HOST:PORT, unix://PATH or unix://@NAME. It does
// not connect yet.
func Dial(address, token string) (*Client, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	rest, query, _ := strings.Cut(rest, "?")
	network := scheme
	var secure *tls.Config
	switch scheme {
	case "tcp", "ssl":
		network = "tcp"
		rest = strings.TrimSuffix(rest, "/")
		if _, _, err := net.SplitHostPort(rest); err != nil {
			return nil, fmt.Errorf("the control URL %s has no port: write %s://HOST:PORT", address, scheme)
		}
		if scheme == "ssl" {
			secure = pinned(query)
		}
	case "unix":
		rest = strings.ReplaceAll(rest, "%20", " ")
		if rest == "" || rest == "@" {
			return nil, fmt.Errorf("the control URL %s has no path: write unix:///PATH", address)
		}
	default:
		return nil, fmt.Errorf("the control URL %q is not understood: write tcp://HOST:PORT, ssl://HOST:PORT or unix:///PATH", address)
	}
	return newClient(address, token, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, rest)
		if err != nil || secure == nil {
			return conn, err
		}
		secured := tls.Client(conn, secure)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return secured, nil
	}), nil
}

// pinned trusts the server that has the certificate in the file which the parameters of its URL name. Certificates of control
// servers are mostly self-signed, so where that file cannot be read nothing is verified, as by pumactl; the token still is.
func pinned(query string) *tls.Config {
	secure := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is compared below
	params, err := url.ParseQuery(query)
	if err != nil {
		return secure
	}
	text, err := os.ReadFile(params.Get("cert"))
	if err != nil {
		return secure
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return secure
	}
	secure.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 || !bytes.Equal(raw[0], block.Bytes) {
			return fmt.Errorf("it is not the server whose certificate is in %s", params.Get("cert"))
		}
		return nil
	}
	return secure
}

// DialPrivate prepares to talk to the private control socket of a process.
func DialPrivate(pid int) *Client {
	return newClient(fmt.Sprintf("PID %d", pid), "", func(context.Context) (net.Conn, error) { return dialPrivate(pid) })
}

func newClient(where, token string, dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{where, token, &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}}}
}

// Refused is a control server's no.
type Refused struct {
	Status int
	Text   string // in pumactl's words
}

func (r *Refused) Error() string { return r.Text }

// ErrCut is the error of a connection that ended before the last event.
var ErrCut = errors.New("the connection ended before the command was done")

// Do sends a command and returns the body of the answer.
func (c *Client) Do(ctx context.Context, command string) (string, error) {
	resp, err := c.send(ctx, command, "application/json")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return "", c.unreachable(err)
	}
	return string(body), nil
}

// Reachable returns nil when somebody answers at the address.
func (c *Client) Reachable(ctx context.Context) error {
	conn, err := c.http.Transport.(*http.Transport).DialContext(ctx, "", "")
	if err != nil {
		return c.unreachable(err)
	}
	return conn.Close()
}

// Watch sends a command and hands over all events until it is done. The error is the command's own, or ErrCut. done false and
// no error: the server does not report how commands go, as Puma's does not.
func (c *Client) Watch(ctx context.Context, command string, tell func(Event)) (done bool, err error) {
	resp, err := c.send(ctx, command, eventStream)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), eventStream) {
		return false, nil
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			return false, ErrCut
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return false, fmt.Errorf("%s does not speak the language of control servers: %w", c.where, err)
		}
		switch tell(e); e.Step {
		case StepOK:
			return true, nil
		case StepFailed:
			return true, errors.New(e.Error)
		}
	}
}

func (c *Client) send(ctx context.Context, command, accept string) (*http.Response, error) {
	target := "http://control/" + url.PathEscape(command)
	if c.token != "" {
		target += "?token=" + c.token
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("the control token cannot be sent: %q has letters that no URL may have", c.token)
	}
	req.Header.Set("Accept", accept)
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) //nolint:errcheck // the status says it
	r := &Refused{Status: resp.StatusCode}
	switch resp.StatusCode {
	case http.StatusForbidden:
		r.Text = "Unauthorized access to server (wrong auth token)"
	case http.StatusNotFound:
		r.Text = "Command error: " + string(body)
	default:
		r.Text = fmt.Sprintf("Bad response from server: %d %s", resp.StatusCode, body)
	}
	return nil, r
}

// unreachable says in a sentence why there is no answer.
func (c *Client) unreachable(err error) error {
	var asURL *url.Error
	if errors.As(err, &asURL) {
		err = asURL.Err
	}
	switch {
	case errors.Is(err, ErrOtherUser):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: is the server running?", c.where)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("there is no socket at %s: is the server running?", c.where)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this user may not connect to %s: run this as the server's user", c.where)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the server at %s closed the connection before responding", c.where)
	}
	return fmt.Errorf("cannot talk to the control server at %s: %w", c.where, err)
}

// Stats asks for the statistics.
func (c *Client) Stats(ctx context.Context) (*Report, error) {
	body, err := c.Do(ctx, "stats")
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal([]byte(body), r); err != nil {
		return nil, fmt.Errorf("%s sent statistics that are not understood: %w", c.where, err)
	}
	return r, nil
}

// AwaitAnswer waits until the server has booted again.
func (c *Client) AwaitAnswer(ctx context.Context) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		if r, err := c.Stats(ctx); err == nil && !r.Booting {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
