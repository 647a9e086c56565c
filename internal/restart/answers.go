package restart

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"serval/internal/process"
)

// answers is a server that is known by its answers alone: it serves when it answers a request.
type answers struct {
	Web
	pid      int
	image    string
	children []process.ID
	since    time.Time
}

const (
	// signPatience is how long a server may show no sign of a restart after the signal.
	signPatience = 3 * time.Second

	answerPatience = 5 * time.Second
)

// look asks the server, where it listens on a unix socket.
func (a *answers) look(ctx context.Context) (bool, string, error) {
	if a.Service.Socket == "" {
		return true, "", nil
	}
	return a.answered(ctx), "", nil
}

// restarted waits for a sign of the restart, then for an answer.
func (a *answers) restarted(ctx context.Context) (bool, string, error) {
	if a.since.IsZero() {
		a.since = time.Now()
	}
	image, err := process.Image(a.pid)
	changed := err == nil && image != a.image || !slices.Equal(a.children, process.Children(a.pid))
	late := time.Since(a.since) > signPatience
	if !changed && !late {
		return false, "", nil
	}
	done, how, err := a.look(ctx)
	if done && !changed {
		a.Warn(fmt.Sprintf("%s answers, and nothing is to be seen of a restart after %s: does it know that signal?", cmp.Or(a.Service.Process.Server, "it"), a.Service.Process.RestartSignal))
	}
	return done, how, err
}

// answered asks for the health check's page, or for the app's first one, and takes any answer.
func (a *answers) answered(ctx context.Context) bool {
	path := "/"
	if health := a.Service.Process.Health; health != nil && health.URL != "" {
		path = health.URL
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", a.Service.Socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerPatience)) //nolint:errcheck // a unix socket has deadlines
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: serval\r\nConnection: close\r\n\r\n", path); err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}
