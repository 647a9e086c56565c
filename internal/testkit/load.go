package testkit

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// LoadConfig says what to send, and how often.
type LoadConfig struct {
	URL       string        // where to, as Serval logs it: "http://127.0.0.1:9292", "unix:///run/app.sock"
	Rate      int           // requests a second; 0: 100
	KeepAlive bool          // connections are used again, else each request has its own
	Method    string        // empty: GET
	Path      string        // empty: /
	Body      string        // sent with a Content-Length
	Timeout   time.Duration // how long one request may take; 0: 10 s

	// Check says what is wrong with a response with status 200. nil: nothing is.
	Check func(body []byte) error
}

// Load sends requests at a fixed rate, whatever becomes of those before: a server that stalls does not slow it down, so
// an outage of d costs about Rate×d requests and can be compared. It repeats nothing: a connection that the server closes
// between two requests fails the second one, as it would a proxy's POST.
type Load struct {
	cfg     LoadConfig
	network string
	address string
	cancel  context.CancelFunc
	sending sync.WaitGroup // the pacemaker
	asking  sync.WaitGroup // requests under way

	mu      sync.Mutex // guards following
	results []loadResult
	idle    []*loadConn
	open    map[*loadConn]bool
}

// loadResult is how one request ended.
type loadResult struct {
	due, began, ended time.Time
	failure           string // empty: it did not fail
}

// loadConn is a connection with what was read ahead on it.
type loadConn struct {
	net.Conn
	r *bufio.Reader
}

// StartLoad begins to send. Stop ends it.
func StartLoad(cfg LoadConfig) *Load {
	cfg.Rate = cmp.Or(cfg.Rate, 100)
	cfg.Method = cmp.Or(cfg.Method, "GET")
	cfg.Path = cmp.Or(cfg.Path, "/")
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	l := &Load{cfg: cfg, open: map[*loadConn]bool{}}
	l.network, l.address = "tcp", strings.TrimPrefix(cfg.URL, "http://")
	if path, ok := strings.CutPrefix(cfg.URL, "unix://"); ok {
		l.network, l.address = "unix", path
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.sending.Go(func() { l.send(ctx) })
	return l
}

// Stop sends no more, waits for what is under way, and reports on all of it.
func (l *Load) Stop() LoadReport {
	l.cancel()
	l.sending.Wait()
	l.asking.Wait()
	l.mu.Lock()
	for conn := range l.open {
		conn.Close()
	}
	clear(l.open)
	l.idle = nil
	l.mu.Unlock()
	return l.Between(time.Time{}, time.Time{})
}

// Between reports on the requests that were due in this time and have ended. The zero time stands for the beginning and for now.
func (l *Load) Between(from, to time.Time) LoadReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	var chosen []loadResult
	for _, r := range l.results {
		if !r.due.Before(from) && (to.IsZero() || r.due.Before(to)) {
			chosen = append(chosen, r)
		}
	}
	return reportOn(chosen)
}

// Served is how many requests have been answered well so far.
func (l *Load) Served() int {
	r := l.Between(time.Time{}, time.Time{})
	return r.Sent - r.Failed
}

func (l *Load) send(ctx context.Context) {
	began := time.Now()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(l.cfg.Rate))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		l.asking.Go(func() {
			r := loadResult{due: due, began: time.Now()}
			r.failure = failureOf(l.ask())
			r.ended = time.Now()
			l.mu.Lock()
			l.results = append(l.results, r)
			l.mu.Unlock()
		})
	}
}

// ask makes one request.
func (l *Load) ask() error {
	deadline := time.Now().Add(l.cfg.Timeout)
	conn, err := l.connect(deadline)
	if err != nil {
		return err
	}
	again, err := l.exchange(conn, deadline)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && again && l.cfg.KeepAlive {
		l.idle = append(l.idle, conn)
		return nil
	}
	delete(l.open, conn)
	conn.Close()
	return err
}

// connect takes the connection that was idle for the shortest time, or makes one.
func (l *Load) connect(deadline time.Time) (*loadConn, error) {
	l.mu.Lock()
	if last := len(l.idle) - 1; last >= 0 {
		conn := l.idle[last]
		l.idle = l.idle[:last]
		l.mu.Unlock()
		return conn, nil
	}
	l.mu.Unlock()
	inner, err := (&net.Dialer{Deadline: deadline}).Dial(l.network, l.address)
	if err != nil {
		return nil, err
	}
	conn := &loadConn{inner, bufio.NewReader(inner)}
	l.mu.Lock()
	l.open[conn] = true
	l.mu.Unlock()
	return conn, nil
}

// exchange sends the request and reads the response. again says that the connection can carry another.
func (l *Load) exchange(conn *loadConn, deadline time.Time) (again bool, err error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return false, err
	}
	var headers []string
	if !l.cfg.KeepAlive {
		headers = append(headers, "Connection: close")
	}
	// A server may answer and close before it has read everything: what it said counts, not that we could not go on.
	_, unsent := io.WriteString(conn, Request(l.cfg.Method, l.cfg.Path, l.cfg.Body, headers...))
	res, err := http.ReadResponse(conn.r, &http.Request{Method: l.cfg.Method})
	if err != nil {
		return false, cmp.Or(unsent, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return false, err
	case res.StatusCode != http.StatusOK:
		return !res.Close, statusError(res.StatusCode)
	case l.cfg.Check != nil:
		return !res.Close, l.cfg.Check(body)
	}
	return !res.Close, nil
}

type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// failureOf is a short name for what went wrong, to count by. No request is left without an end, so none is lost from sight.
func failureOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ENOENT):
		return "no socket"
	case errors.Is(err, syscall.EAGAIN):
		return "backlog full"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed without an answer"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return err.Error()
}

// LoadReport is how a load went.
type LoadReport struct {
	Sent   int            // requests that have ended, well or not
	Failed int            // those that got no whole response with status 200
	Kinds  map[string]int // the failed ones by what went wrong: "reset", "refused", "status 503"

	P50, P99, Max time.Duration // how long the answered ones took
	Silence       time.Duration // the longest time without an answer
	Lag           time.Duration // the most that a request was sent late: what this machine adds to all of the above
}

// Resets are the requests whose connection broke.
func (r LoadReport) Resets() int { return r.Kinds["reset"] + r.Kinds["closed without an answer"] }

func (r LoadReport) String() string {
	text := fmt.Sprintf("%d of %d requests failed", r.Failed, r.Sent)
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		text += fmt.Sprintf(", %d: %s", r.Kinds[kind], kind)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
	return fmt.Sprintf("%s; p50 %s, p99 %s, max %s; longest silence %s; sent late by %s at most",
		text, ms(r.P50), ms(r.P99), ms(r.Max), ms(r.Silence), ms(r.Lag))
}

func reportOn(results []loadResult) LoadReport {
	report := LoadReport{Sent: len(results), Kinds: map[string]int{}}
	var took []time.Duration
	var ends []time.Time
	for _, r := range results {
		report.Lag = max(report.Lag, r.began.Sub(r.due))
		if r.failure != "" {
			report.Failed++
			report.Kinds[r.failure]++
			continue
		}
		took = append(took, r.ended.Sub(r.began))
		ends = append(ends, r.ended)
	}
	if len(took) == 0 {
		return report
	}
	slices.Sort(took)
	slices.SortFunc(ends, time.Time.Compare)
	for i := 1; i < len(ends); i++ {
		report.Silence = max(report.Silence, ends[i].Sub(ends[i-1]))
	}
	last := len(took) - 1
	report.P50, report.P99, report.Max = took[last/2], took[last*99/100], took[last]
	return report
}
