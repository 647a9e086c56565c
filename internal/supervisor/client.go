package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Client asks the supervisor of an app. It may be used by many goroutines.
type Client struct{ socket string }

// ErrNotRunning is the error when there is no supervisor.
var ErrNotRunning = errors.New("the supervisor does not run")

// NewClient is a client for the supervisor with a state directory.
func NewClient(stateDir string) *Client { return &Client{Socket(stateDir)} }

// Status is how all processes are.
func (c *Client) Status(ctx context.Context) ([]Status, error) {
	r, err := c.ask(ctx, request{Do: "status"})
	return r.Status, err
}

// Start is Supervisor.Start.
func (c *Client) Start(ctx context.Context, specs ...Spec) error {
	_, err := c.ask(ctx, request{Do: "start", Specs: specs})
	return err
}

// Restart is Supervisor.Restart.
func (c *Client) Restart(ctx context.Context, specs ...Spec) error {
	_, err := c.ask(ctx, request{Do: "restart", Specs: specs})
	return err
}

// Stop is Supervisor.Stop.
func (c *Client) Stop(ctx context.Context, names ...string) error {
	_, err := c.ask(ctx, request{Do: "stop", Names: names})
	return err
}

// Remove is Supervisor.Remove.
func (c *Client) Remove(ctx context.Context, names ...string) error {
	_, err := c.ask(ctx, request{Do: "remove", Names: names})
	return err
}

// End stops everything and has the supervisor end.
func (c *Client) End(ctx context.Context) error {
	_, err := c.ask(ctx, request{Do: "end"})
	return err
}

// ask sends a request and waits until it is done, or ctx is over; what was begun goes on then.
func (c *Client) ask(ctx context.Context, r request) (answer reply, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	switch {
	case errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED):
		return answer, ErrNotRunning
	case errors.Is(err, syscall.EACCES):
		return answer, fmt.Errorf("the supervisor belongs to another user: ask as that one or as root")
	case err != nil:
		return answer, fmt.Errorf("cannot ask the supervisor: %w", err)
	}
	defer conn.Close()
	undo := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a unix socket has deadlines
	defer undo()
	err = json.NewEncoder(conn).Encode(r)
	if err == nil {
		err = json.NewDecoder(bufio.NewReader(conn)).Decode(&answer)
	}
	switch {
	case ctx.Err() != nil:
		return answer, context.Cause(ctx)
	case err != nil:
		return answer, fmt.Errorf("the supervisor ended before it was done: %w", err)
	case answer.Error != "":
		return answer, errors.New(answer.Error)
	}
	return answer, nil
}
