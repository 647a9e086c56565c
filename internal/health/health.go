// Package health finds out whether a process is well, by a URL or by a command.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"syscall"
	"time"
)

// Check is a question to a process: one of URL and Command.
type Check struct {
	URL     string        // that is to answer with a status below 400
	Socket  string        // the unix socket to ask for URL on; empty: the URL's host
	Command string        // a shell's, which is to end with 0
	Timeout time.Duration // for the answer

	// Of the command; where they are empty, those of whoever asks.
	Env        []string
	Directory  string
	Credential *syscall.Credential
}

// Ask returns nil when the process is well, and what is wrong otherwise.
func (c Check) Ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err := c.ask(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s gives no answer within %s", c, c.Timeout)
	}
	return err
}

// String is what is asked.
func (c Check) String() string {
	if c.Command != "" {
		return c.Command
	}
	return c.URL
}

func (c Check) ask(ctx context.Context) error {
	if c.Command != "" {
		return c.run(ctx)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if c.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", c.Socket)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return fmt.Errorf("%s cannot be asked: %w", c, err)
	}
	// A redirect is an answer, and where it leads is another matter.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s gives no answer: %w", c, errors.Unwrap(err))
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) //nolint:errcheck // the status is what counts
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers %s", c, response.Status)
	}
	return nil
}

// run runs the command, in a process group of its own so that nothing of it is left.
func (c Check) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.Command)
	cmd.Env, cmd.Dir = c.Env, c.Directory
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.Credential}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

// Watch asks again and again, and calls unwell when there were so many bad answers in a row; say takes each of them. Before the
// first good answer nothing counts for the time of patience, since whoever boots has none to give. It returns when ctx is over.
func (c Check) Watch(ctx context.Context, every, patience time.Duration, failures int, say func(string), unwell func(context.Context) error) error {
	for {
		began, seen, bad := time.Now(), false, 0
		for bad < failures {
			if !sleep(ctx, every) {
				return nil
			}
			err := c.Ask(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err == nil:
				seen, bad = true, 0
			case seen || time.Since(began) > patience:
				bad++
				say(fmt.Sprintf("%v (%d of %d)", err, bad, failures))
			}
		}
		if err := unwell(ctx); err != nil {
			return err
		}
	}
}

// sleep reports whether there is more to do.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
