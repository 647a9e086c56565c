package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Server answers what Puma's control server answers, and more: see docs/reference/control.md. It is not made for many
// callers; those past maxCallers wait.
type Server struct {
	op      Operator
	stopped chan struct{} // closed when the server that is controlled has ended
	over    sync.Once
	turn    sync.Mutex     // held while something runs that changes the workers
	running sync.WaitGroup // runs, and listeners

	mu      sync.Mutex      // guards following
	waiting map[string]*run // commands that have not begun yet
	ending  *run            // once it was asked to stop
	https   []*http.Server
}

const (
	maxCallers = 64

	// patience is how long workers may take to answer; a full garbage collection of a large heap takes seconds.
	patience = 20 * time.Second

	// drainEvery is how often those who wait for the end hear of it.
	drainEvery = 200 * time.Millisecond
)

// New makes a server that listens nowhere yet.
func New(op Operator) *Server {
	return &Server{op: op, stopped: make(chan struct{}), waiting: map[string]*run{}}
}

// Access says who may do what.
type Access struct {
	Token    string // empty: nobody needs one
	DataOnly bool   // only what changes nothing: stats and gc-stats (Puma's data_only)
}

// Serve answers on a listener until it is closed by the function returned. That leaves calls under way alone.
func (s *Server) Serve(l net.Listener, access Access) (closeListener func()) {
	h := &http.Server{
		Handler:                      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handle(w, r, access) }),
		ReadHeaderTimeout:            10 * time.Second,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     stdlog.New(io.Discard, "", 0), // malformed requests are no news
	}
	h.SetKeepAlivesEnabled(false)
	s.mu.Lock()
	s.https = append(s.https, h)
	s.mu.Unlock()
	limited := &limitedListener{Listener: l, seats: make(chan struct{}, maxCallers)}
	s.running.Go(func() { h.Serve(limited) }) //nolint:errcheck // it ends when the listener is closed
	return func() { l.Close() }
}

// Close tells those who wait for the end that it has come, and ends all calls. To be called when the server that is
// controlled has ended; it may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	ending, servers := s.ending, s.https
	s.mu.Unlock()
	if ending != nil {
		ending.end(nil)
	}
	s.over.Do(func() { close(s.stopped) })
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, h := range servers {
		if h.Shutdown(ctx) != nil {
			h.Close()
		}
	}
	s.running.Wait()
}

var lastSegment = regexp.MustCompile(`/([^/]+)$`)

// dataCommands are those that data_only leaves.
var dataCommands = map[string]bool{"stats": true, "gc-stats": true}

func (s *Server) handle(w http.ResponseWriter, r *http.Request, access Access) {
	if !admits(access.Token, r.URL.RawQuery) {
		text(w, http.StatusForbidden, "Invalid auth token")
		return
	}
	command := ""
	if m := lastSegment.FindStringSubmatch(r.URL.EscapedPath()); m != nil {
		command = m[1]
	}
	do, known := s.commands()[command]
	switch {
	case !known:
		text(w, http.StatusNotFound, "Unsupported action")
	case access.DataOnly && !dataCommands[command]:
		text(w, http.StatusNotFound, "Command \""+command+"\" unavailable")
	default:
		do(w, r)
	}
}

func (s *Server) commands() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"stop":                    func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.end(s.op.Stop)) },
		"halt":                    func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, s.end(s.op.Halt)) },
		string(Hot):               s.restart(Hot),
		string(Phased):            s.restart(Phased),
		string(Refork):            s.restart(Refork),
		"reload-worker-directory": s.reloadWorkerDirectory,
		"worker-count-up":         s.changing("worker-count-up", func(func(Event)) error { return s.op.Scale(1) }),
		"worker-count-down":       s.changing("worker-count-down", func(func(Event)) error { return s.op.Scale(-1) }),
		"reopen-log":              func(w http.ResponseWriter, _ *http.Request) { s.op.ReopenLogs(); ok(w) },
		"info":                    func(w http.ResponseWriter, _ *http.Request) { s.op.ShowThreads(); ok(w) },
		"gc":                      s.collect,
		"gc-stats":                s.gcStats,
		"stats":                   func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, StatsOf(s.op)) },
		"thread-backtraces":       s.backtraces,
	}
}

// restart makes the handler of a kind of restart.
func (s *Server) restart(kind Kind) http.HandlerFunc {
	begin := s.changing(string(kind), func(report func(Event)) error { return s.op.Restart(kind, report) })
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.op.Available(kind); err != nil && !waits(r) {
			unavailable(w, string(kind))
			return
		}
		begin(w, r)
	}
}

// reloadWorkerDirectory does nothing, since each generation looks anew where its directory's links lead. Puma's single
// mode does not know it.
func (s *Server) reloadWorkerDirectory(w http.ResponseWriter, _ *http.Request) {
	if !s.op.Stats().Cluster {
		unavailable(w, "reload-worker-directory")
		return
	}
	ok(w)
}

// changing makes the handler of a command that changes the workers. One at a time runs; whoever asks for what waits for its
// turn already gets that.
func (s *Server) changing(command string, do func(report func(Event)) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		one := s.waiting[command]
		if one == nil {
			one = newRun()
			s.waiting[command] = one
			s.running.Go(func() {
				s.turn.Lock()
				defer s.turn.Unlock()
				s.mu.Lock()
				delete(s.waiting, command)
				s.mu.Unlock()
				one.end(do(one.report))
			})
		}
		s.mu.Unlock()
		s.answer(w, r, one)
	}
}

// end asks the server to end, and reports of its last requests until it has.
func (s *Server) end(how func()) *run {
	how()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil {
		one := newRun()
		s.ending = one
		s.running.Go(func() { s.watchDraining(one) })
	}
	return s.ending
}

func (s *Server) watchDraining(one *run) {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	var last Event
	for {
		st := s.op.Stats()
		now := Event{Step: "draining", Queued: st.Queued, Total: len(st.Workers)}
		for _, w := range st.Workers {
			now.Held += w.Held
		}
		if now != last {
			one.report(now)
			last = now
		}
		select {
		case <-tick.C:
		case <-s.stopped:
			return
		}
	}
}

// answer says at once that a command was taken on, or reports of it until it is done, if the caller wants to wait.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, one *run) {
	if !waits(r) {
		ok(w)
		return
	}
	w.Header().Set("Content-Type", eventStream)
	w.WriteHeader(http.StatusOK)
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	flush.Flush() //nolint:errcheck // a caller that left shows in its context
	one.follow(r.Context().Done(), func(e Event) {
		out.Encode(e) //nolint:errcheck // as above
		flush.Flush() //nolint:errcheck // as above
	})
}

// eventStream is the type of newline-delimited JSON.
const eventStream = "application/x-ndjson"

// waits reports whether the caller wants to wait. Puma 5.6.5 takes no other parameter beside the token, so clients that may
// be talking to it say so with a header.
func waits(r *http.Request) bool {
	for pair := range strings.FieldsFuncSeq(r.URL.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		if pair == "wait=1" || pair == "wait=true" {
			return true
		}
	}
	return strings.Contains(r.Header.Get("Accept"), eventStream)
}

func ok(w http.ResponseWriter) { reply(w, http.StatusOK, "application/json", `{ "status": "ok" }`) }

func unavailable(w http.ResponseWriter, command string) {
	reply(w, http.StatusNotFound, "application/json", `{ "error": "`+strings.ReplaceAll(command, "-", "_")+` not available" }`)
}

func text(w http.ResponseWriter, status int, body string) { reply(w, status, "text/plain", body) }

func reply(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, body) //nolint:errcheck // the caller left
}

// writeJSON answers with one line, which pumactl relies on.
func writeJSON(w http.ResponseWriter, value any) {
	line, err := json.Marshal(value)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, http.StatusOK, "application/json", string(line))
}

func failed(w http.ResponseWriter, err error) {
	line, _ := json.Marshal(map[string]string{"error": err.Error()}) //nolint:errchkjson // strings
	reply(w, http.StatusInternalServerError, "application/json", string(line))
}

// limitedListener has so many connections open at most; others wait in the kernel's queue.
type limitedListener struct {
	net.Listener
	seats chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	l.seats <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.seats
		return nil, err
	}
	return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.seats })}, nil
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

var errNoWorker = errors.New("no worker serves just now")
