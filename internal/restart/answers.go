package restart

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"serval/internal/process"
	"serval/internal/site"
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

	// blindPatience is how long a server has to stay that listens nobody knows where.
	blindPatience = time.Second

	answerPatience = 5 * time.Second
)

// look asks the server where it listens. One that says nothing of that has to stay for a while.
func (a *answers) look(ctx context.Context) (bool, string, error) {
	if a.since.IsZero() {
		a.since = time.Now()
	}
	network, address := a.door()
	if address == "" {
		return time.Since(a.since) > blindPatience, "", nil
	}
	return a.answered(ctx, network, address), "", nil
}

// door is where the server listens, as far as its command says that.
func (a *answers) door() (network, address string) {
	if a.Service.Socket != "" {
		return "unix", a.Service.Socket
	}
	return "tcp", site.Address(a.Service.Address)
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
		return false, "", fmt.Errorf("it answers, and nothing is to be seen of a restart after %s: does it know that signal? Give it another restart_signal in the manifest, or use serval restart web --hard", a.Service.Process.RestartSignal)
	}
	return done, how, err
}

// answered asks for the health check's page, or for the app's first one, and takes any answer.
func (a *answers) answered(ctx context.Context, network, address string) bool {
	path := "/"
	if health := a.Service.Process.Health; health != nil && health.URL != "" {
		path = health.URL
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerPatience)) //nolint:errcheck // sockets have deadlines
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
