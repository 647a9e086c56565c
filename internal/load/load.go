// Package load sends requests to a server and keeps an account of how each one ended. Tests and benchmarks share it.
package load

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says what to send, and how often.
type Config struct {
	URL       string        // where to, as Serval logs it: "http://127.0.0.1:9292", "https://…", "unix:///run/app.sock"
	Rate      int           // requests a second; 0: 100
	Offset    time.Duration // how long after Start the first is due: loads with the same rate need not send in step
	Seed      uint64        // not 0: requests come at random with this Rate on average, at the same times for the same seed
	KeepAlive bool          // connections are used again, else each request has its own
	Spread    int           // not 0: there are so many kept connections, which take turns; a request that is due waits for a free one
	Method    string        // empty: GET
	Path      string        // empty: /
	Body      string        // sent with a Content-Length
	Timeout   time.Duration // how long one request may take; 0: 10 s

	// Check says what is wrong with a response with status 200. nil: nothing is.
	Check func(body []byte) error

	// Clients, if not zero, makes for a closed loop: so many clients, each of which sends the next request a Pause after
	// the response to the one before. Rate means nothing then.
	Clients int
	Pause   time.Duration
}

// Load sends requests at a fixed rate, whatever becomes of those before: a server that stalls does not slow it down, so
// an outage of d costs about Rate×d requests and can be compared. It repeats nothing: a connection that the server closes
// between two requests fails the second one, as it would a proxy's POST.
type Load struct {
	cfg     Config
	network string
	address string
	secure  *tls.Config // nil: without TLS
	request string      // as it is sent
	cancel  context.CancelFunc
	sending sync.WaitGroup   // the pacemaker, or the clients
	asking  sync.WaitGroup   // requests under way
	places  chan *connection // with Spread: those that are idle, longest first; nil stands for one that is yet to be made

	mu      sync.Mutex // guards following
	results []result
	idle    []*connection
	open    map[*connection]bool
	dialled int
}

// result is how one request ended.
type result struct {
	due, began, ended time.Time
	failure           string // empty: it did not fail
}

// connection is one with what was read ahead on it.
type connection struct {
	net.Conn
	r *bufio.Reader
}

// Start begins to send. Stop ends it.
func Start(cfg Config) *Load {
	cfg.Rate = cmp.Or(cfg.Rate, 100)
	cfg.Method = cmp.Or(cfg.Method, "GET")
	cfg.Path = cmp.Or(cfg.Path, "/")
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	l := &Load{cfg: cfg, open: map[*connection]bool{}}
	l.network, l.address = "tcp", strings.TrimPrefix(cfg.URL, "http://")
	if address, ok := strings.CutPrefix(cfg.URL, "https://"); ok {
		l.address, l.secure = address, &tls.Config{InsecureSkipVerify: true} //nolint:gosec // whose server it is is known
	}
	if path, ok := strings.CutPrefix(cfg.URL, "unix://"); ok {
		l.network, l.address = "unix", path
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.request = cfg.request()
	if cfg.Spread > 0 {
		l.places = make(chan *connection, cfg.Spread)
		for range cfg.Spread {
			l.places <- nil
		}
	}
	if cfg.Clients == 0 {
		l.sending.Go(func() { l.send(ctx) })
	}
	for range cfg.Clients {
		l.sending.Go(func() { l.converse(ctx) })
	}
	return l
}

// request is the text of the request. A POST without a body says so, since servers may ask for a length.
func (c Config) request() string {
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: load.test\r\n", c.Method, c.Path)
	if !c.KeepAlive {
		text += "Connection: close\r\n"
	}
	if c.Body != "" || c.Method == "POST" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(c.Body))
	}
	return text + "\r\n" + c.Body
}

// Stop sends no more, waits for what is under way, and reports on all of it.
func (l *Load) Stop() Report {
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
func (l *Load) Between(from, to time.Time) Report { return Over([]Span{{from, to}}, l) }

// Span is a stretch of time.
type Span struct{ From, To time.Time }

func (s Span) has(t time.Time) bool { return !t.Before(s.From) && (s.To.IsZero() || t.Before(s.To)) }

// Over reports on several loads as if they were one, at certain times. Silence is counted within each of these.
func Over(spans []Span, loads ...*Load) Report {
	chosen := make([][]result, len(spans))
	for _, l := range loads {
		l.mu.Lock()
		for _, r := range l.results {
			if i := slices.IndexFunc(spans, func(s Span) bool { return s.has(r.due) }); i >= 0 {
				chosen[i] = append(chosen[i], r)
			}
		}
		l.mu.Unlock()
	}
	return reportOn(chosen...)
}

// Dialled is how many connections were made so far.
func (l *Load) Dialled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dialled
}

// Served is how many requests have been answered well so far.
func (l *Load) Served() int {
	r := l.Between(time.Time{}, time.Time{})
	return r.Sent - r.Failed
}

func (l *Load) send(ctx context.Context) {
	began := time.Now().Add(l.cfg.Offset)
	for offset := range l.cfg.arrivals() {
		due := began.Add(offset)
		if !sleepUntil(ctx, due) {
			return
		}
		l.asking.Go(func() { l.record(due) })
	}
}

// arrivals are when requests are due, from the start on. At random means independently of each other, as the requests of many
// people are (a Poisson process): a fixed step would keep step with whatever else is periodic.
func (c Config) arrivals() iter.Seq[time.Duration] {
	gap := time.Second / time.Duration(c.Rate)
	if c.Seed == 0 {
		return func(yield func(time.Duration) bool) {
			for i := 0; yield(time.Duration(i) * time.Second / time.Duration(c.Rate)); i++ {
			}
		}
	}
	return func(yield func(time.Duration) bool) {
		random := rand.New(rand.NewPCG(c.Seed, 0))
		for at := time.Duration(0); yield(at); {
			at += time.Duration(random.ExpFloat64() * float64(gap))
		}
	}
}

// timerGrain is how coarse the runtime's timers are: it waits in epoll_wait, which counts in milliseconds.
const timerGrain = 2 * time.Millisecond

// sleepUntil waits to within some 0.1 ms, and reports false when ctx ended.
func sleepUntil(ctx context.Context, due time.Time) bool {
	if wait := time.Until(due); wait > timerGrain {
		select {
		case <-ctx.Done():
		case <-time.After(wait - timerGrain):
		}
	}
	if wait := time.Until(due); wait > 0 && ctx.Err() == nil {
		rest := syscall.NsecToTimespec(wait.Nanoseconds())
		syscall.Nanosleep(&rest, nil) //nolint:errcheck // woken early by a signal, it sends early by less than the grain
	}
	return ctx.Err() == nil
}

// converse is one client of a closed loop.
func (l *Load) converse(ctx context.Context) {
	for ctx.Err() == nil {
		l.record(time.Now())
		select {
		case <-ctx.Done():
		case <-time.After(l.cfg.Pause):
		}
	}
}

// record makes one request and keeps how it went.
func (l *Load) record(due time.Time) {
	r := result{due: due, began: time.Now()}
	r.failure = failureOf(l.ask())
	r.ended = time.Now()
	l.mu.Lock()
	l.results = append(l.results, r)
	l.mu.Unlock()
}

// ask makes one request.
func (l *Load) ask() error {
	deadline := time.Now().Add(l.cfg.Timeout)
	conn, err := l.take(deadline)
	if err != nil {
		return err
	}
	again, err := l.exchange(conn, deadline)
	if err != nil || !again || !l.cfg.KeepAlive {
		l.close(conn)
		conn = nil
	}
	l.put(conn)
	return err
}

// take takes the connection that was idle for the shortest time, or makes one. With Spread it waits for a place.
func (l *Load) take(deadline time.Time) (*connection, error) {
	conn, err := l.idleOne(deadline)
	if conn != nil || err != nil {
		return conn, err
	}
	if conn, err = l.dial(deadline); err != nil {
		l.put(nil)
	}
	return conn, err
}

// idleOne is an idle connection; nil if one is to be made.
func (l *Load) idleOne(deadline time.Time) (*connection, error) {
	if l.places != nil {
		select {
		case conn := <-l.places:
			return conn, nil
		case <-time.After(time.Until(deadline)):
			return nil, os.ErrDeadlineExceeded
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.idle) - 1
	if last < 0 {
		return nil, nil
	}
	conn := l.idle[last]
	l.idle = l.idle[:last]
	return conn, nil
}

// put gives back what take has taken: a connection that can be used again, or nil.
func (l *Load) put(conn *connection) {
	if l.places != nil {
		l.places <- conn
		return
	}
	if conn != nil {
		l.mu.Lock()
		l.idle = append(l.idle, conn)
		l.mu.Unlock()
	}
}

func (l *Load) dial(deadline time.Time) (*connection, error) {
	inner, err := (&net.Dialer{Deadline: deadline}).Dial(l.network, l.address)
	if err != nil {
		return nil, err
	}
	if l.secure != nil {
		inner.SetDeadline(deadline) //nolint:errcheck // the handshake will tell
		secured := tls.Client(inner, l.secure)
		if err := secured.Handshake(); err != nil {
			inner.Close()
			return nil, err
		}
		inner = secured
	}
	conn := &connection{inner, bufio.NewReader(inner)}
	l.mu.Lock()
	l.open[conn] = true
	l.dialled++
	l.mu.Unlock()
	return conn, nil
}

func (l *Load) close(conn *connection) {
	l.mu.Lock()
	delete(l.open, conn)
	l.mu.Unlock()
	conn.Close()
}

// exchange sends the request and reads the response. again says that the connection can carry another.
func (l *Load) exchange(conn *connection, deadline time.Time) (again bool, err error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return false, err
	}
	// A server may answer and close before it has read everything: what it said counts, not that we could not go on.
	_, unsent := io.WriteString(conn, l.request)
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

// Report is how a load went.
type Report struct {
	Sent   int            // requests that have ended, well or not
	Failed int            // those that got no whole response with status 200
	Kinds  map[string]int // the failed ones by what went wrong: "reset", "refused", "status 503"

	P50, P99, Max time.Duration // how long the answered ones took
	Silence       time.Duration // the longest time without an answer
	Outage        time.Duration // all times without an answer that were longer than OutageFrom, together
	Lag           time.Duration // the most that a request was sent late: what this machine adds to all of the above

	// Waits are how long the answered ones took from the time they were due, sorted. A request that had to be sent late because
	// something stalled has waited all that time; counted from when it was sent, the stall would be told once and hide from the
	// rest ("coordinated omission").
	Waits []time.Duration
}

// OutageFrom is when silence counts as an outage: longer than a busy machine would make it.
const OutageFrom = 50 * time.Millisecond

// Resets are the requests whose connection broke.
func (r Report) Resets() int { return r.Kinds["reset"] + r.Kinds["closed without an answer"] }

func (r Report) String() string {
	text := fmt.Sprintf("%d of %d requests failed", r.Failed, r.Sent)
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		text += fmt.Sprintf(", %d: %s", r.Kinds[kind], kind)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
	return fmt.Sprintf("%s; p50 %s, p99 %s, max %s; longest silence %s; sent late by %s at most",
		text, ms(r.P50), ms(r.P99), ms(r.Max), ms(r.Silence), ms(r.Lag))
}

func reportOn(spans ...[]result) Report {
	report := Report{Kinds: map[string]int{}}
	var took []time.Duration
	for _, results := range spans {
		var ends []time.Time
		for _, r := range results {
			report.Sent++
			report.Lag = max(report.Lag, r.began.Sub(r.due))
			if r.failure != "" {
				report.Failed++
				report.Kinds[r.failure]++
				continue
			}
			took = append(took, r.ended.Sub(r.began))
			report.Waits = append(report.Waits, r.ended.Sub(r.due))
			ends = append(ends, r.ended)
		}
		report.listen(ends)
	}
	if len(took) == 0 {
		return report
	}
	slices.Sort(took)
	slices.Sort(report.Waits)
	last := len(took) - 1
	report.P50, report.P99, report.Max = took[last/2], took[last*99/100], took[last]
	return report
}

// listen looks for silence between the times at which answers were complete.
func (r *Report) listen(ends []time.Time) {
	slices.SortFunc(ends, time.Time.Compare)
	for i := 1; i < len(ends); i++ {
		silence := ends[i].Sub(ends[i-1])
		r.Silence = max(r.Silence, silence)
		if silence > OutageFrom {
			r.Outage += silence
		}
	}
}
