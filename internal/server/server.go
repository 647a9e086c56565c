// Package server is the HTTP front: it owns the clients' sockets, reads requests, has them dispatched and writes the
// responses. A client that sends or reads slowly, leaves, or talks nonsense is dealt with here and costs no Ruby thread.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"serval/internal/dispatch"
	"serval/internal/http1"
	"serval/internal/logs"
	"serval/internal/loop"
)

// Dispatcher runs requests. See dispatch.Pool.
type Dispatcher interface {
	Dispatch(*dispatch.Request)
	Withdraw(*dispatch.Request) bool
	Cancel(*dispatch.Request)
}

// Log takes what an operator should know.
type Log interface {
	Warn(format string, args ...any)
	Error(format string, args ...any)
}

// Config says how clients are treated. Zero durations mean no limit.
type Config struct {
	Limits           http1.Limits
	HeaderTimeout    time.Duration // for a whole request head
	BodyTimeout      time.Duration // for a whole request body
	MinBodyRate      int64         // bytes per second of a body, averaged over 20 s; 0: any
	KeepAliveTimeout time.Duration // between requests; 0: a connection carries one request
	WriteTimeout     time.Duration // for a client to take more of its response
	IdleTimeout      time.Duration // without any request, after which OnIdle is called
	MaxRequests      int           // per connection; 0: any number
	MaxConnections   int           // at once; more get 503. 0: any number
	SpoolDir         string        // where bodies that are too long for memory wait
	SpoolLimit       int64         // bytes of one response that may wait for a slow reader before the app has to; 0: 1 GiB
	HideUnderscores  bool          // headers with underscores in their names do not reach the app
	LocalAddr        string        // REMOTE_ADDR of clients on a unix socket
	RemoteAddr       string        // REMOTE_ADDR of all clients; empty: their own
	ProxyProtocol    bool          // connections may begin with a PROXY line, version 1, which names the client
	RemoteHeader     string        // header whose first address is REMOTE_ADDR, where a request has it; empty: none
	Scheme           string        // rack.url_scheme of all requests, http or https; empty: what the connection is

	Access  func(*logs.Access) // takes finished requests, for the access log; nil: none
	Details bool               // it takes logs.Details, too

	RequestIDs bool // every request has an id: the client's if it is sane, else a new one; the app gets it, and the client
	OnIdle     func()
	Log        Log
}

// Server serves HTTP/1.1 on its listeners.
type Server struct {
	cfg      atomic.Pointer[Config]
	dispatch Dispatcher
	encoder  *encoder
	born     time.Time
	now      atomic.Int64 // since born, set by the sweeper: the time to within sweepEvery
	date     atomic.Pointer[[]byte]
	requests atomic.Int64 // time of the last one, as now
	warned   sync.Map     // kinds of complaint that were made
	throttle throttle

	mu        sync.Mutex // guards following
	conns     map[*conn]struct{}
	turned    int // of those, the ones that are being turned away
	listeners []net.Listener
	over      bool          // no connection may begin any more
	vacant    chan struct{} // closed when no connection is left; nil: nobody waits for that
	draining  atomic.Bool
	releasing atomic.Pointer[release] // nil: it keeps its connections

	relays map[*relay]struct{}

	accepting sync.WaitGroup // accept loops
	relaying  sync.WaitGroup // relays

	running sync.WaitGroup // connections and whoever they started
	sweeper sync.WaitGroup
	stopped chan struct{}
	stop    sync.Once
	onIdle  sync.Once // asked again, whoever stops the server would lose patience
}

// New returns a server that is not listening yet.
func New(cfg Config, d Dispatcher) *Server {
	s := &Server{
		dispatch: d, encoder: newEncoder(),
		born: time.Now(), conns: map[*conn]struct{}{}, relays: map[*relay]struct{}{}, stopped: make(chan struct{}),
	}
	s.Configure(cfg)
	s.tick(s.born.Add(time.Nanosecond))
	s.sweeper.Go(s.sweep)
	return s
}

// Configure changes how clients are treated, from their next request on.
func (s *Server) Configure(cfg Config) {
	if cfg.SpoolLimit <= 0 {
		cfg.SpoolLimit = 1 << 30
	}
	if cfg.LocalAddr == "" {
		cfg.LocalAddr = "127.0.0.1"
	}
	s.cfg.Store(&cfg)
}

func (s *Server) config() *Config { return s.cfg.Load() }

// Serve accepts connections from l until Shutdown, beside whatever else is served. It returns at once.
func (s *Server) Serve(l net.Listener) {
	if watched, err := loop.Listen(l); err == nil {
		l = watched
	}
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	s.accepting.Go(func() { s.accept(l) })
}

// Leave stops accepting from l and closes it. Connections that wait to be accepted are accepted first; those there are
// stay. It returns at once.
func (s *Server) Leave(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.listeners {
		if watched, ok := other.(*loop.Listener); other == l || ok && watched.Listener == l {
			s.listeners = slices.Delete(s.listeners, i, i+1)
			interrupt(other)
			return
		}
	}
}

func (s *Server) listens(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.listeners, l)
}

// interrupt ends an Accept that waits.
func interrupt(l net.Listener) {
	if d, ok := l.(deadliner); !ok || d.SetDeadline(time.Unix(1, 0)) != nil {
		l.Close()
	}
}

func (s *Server) accept(l net.Listener) {
	pause := time.Millisecond
	for {
		err := each(l, func(nc net.Conn) {
			pause = time.Millisecond
			s.start(nc, l)
		})
		if s.draining.Load() || errors.Is(err, net.ErrClosed) || !s.listens(l) {
			s.acceptLast(l)
			return
		}
		if s.releasing.Load() != nil {
			return // who waits to be accepted is the successor's
		}
		// Out of descriptors, most likely. Those that wait are accepted when there are some again.
		s.complain("accept_failed", "cannot accept a connection on %s, trying again in %s: %v", l.Addr(), pause, err)
		time.Sleep(pause)
		pause = min(2*pause, time.Second)
	}
}

// each calls take with each connection that l accepts, until something is wrong.
func each(l net.Listener, take func(net.Conn)) error {
	if watched, ok := l.(*loop.Listener); ok {
		return watched.Each(take)
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		take(nc)
	}
}

// acceptLast takes the connections that wait in the kernel's queue and closes l. Their clients have been told that they
// are connected.
func (s *Server) acceptLast(l net.Listener) {
	defer l.Close()
	if watched, ok := l.(*loop.Listener); ok {
		watched.Impatient()
	}
	d, ok := l.(deadliner)
	for end := time.Now().Add(lastChance); ok && time.Now().Before(end); {
		// Accept looks into the queue before it waits, unless its time is up already.
		if d.SetDeadline(time.Now().Add(20*time.Millisecond)) != nil {
			return
		}
		nc, err := l.Accept()
		if err != nil {
			return
		}
		s.start(nc, l)
	}
}

// deadliner is what TCP and unix listeners are: their Accept can be ended.
type deadliner interface{ SetDeadline(time.Time) error }

// secured is a listener whose clients speak TLS, for as long as TLS is not nil.
type secured interface{ TLS() *tls.Config }

// start begins serving a connection.
func (s *Server) start(nc net.Conn, from net.Listener) {
	if watched, ok := from.(*loop.Listener); ok {
		from = watched.Listener
	}
	var secure *tls.Config
	if l, ok := from.(secured); ok {
		secure = l.TLS()
	}
	if c, err := newConn(s, nc, secure); err != nil {
		nc.Close()
	} else if err := s.begin(c, false); err != nil && !errors.Is(err, errOver) {
		s.complain("accept_failed", "cannot serve a connection: %v", err)
	}
}

var errOver = errors.New("the server has stopped")

// begin serves a connection, or turns it away if there are too many and it is new. It does not wait. An error closes it.
func (s *Server) begin(c *conn, known bool) error {
	full, err := s.list(c, known)
	if err != nil {
		c.nc.Close()
		return err
	}
	c.mu.Lock()
	switch plain := c.sock != nil && c.work == nil && c.tunnel == nil; {
	case full:
		c.hear()
		go c.turnAway()
	case !plain:
		c.attend()
	case known:
		c.turn = resting
		c.hear()
	default: // most requests are there before their connection is accepted
		c.turn = looping
		c.mu.Unlock()
		c.goOn()
		return nil
	}
	c.mu.Unlock()
	return nil
}

// list puts a connection on the list. full says that there are too many.
func (s *Server) list(c *conn, known bool) (full bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false, errOver
	}
	full = !known && s.config().MaxConnections > 0 && len(s.conns)+len(s.relays)-s.turned >= s.config().MaxConnections
	s.conns[c] = struct{}{}
	if full {
		s.turned++
	}
	s.running.Add(1)
	c.surplus = full
	return full, nil
}

// forget takes a connection that has ended off the list.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.surplus {
		s.turned--
	}
	if len(s.conns) == 0 && s.vacant != nil {
		close(s.vacant)
		s.vacant = nil
	}
	s.running.Done()
}

// connected returns who is connected. What is done to them is done without the lock: some of it may have to wait.
func (s *Server) connected() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

// Connections returns how many clients are connected.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Shutdown stops accepting, lets requests under way end, closes idle connections, and returns when none is left. When
// ctx ends first, it closes the rest. Connections that wait to be accepted are accepted first: their clients have been
// told by the kernel that the server is there.
func (s *Server) Shutdown(ctx context.Context) {
	s.draining.Store(true)
	s.mu.Lock()
	listeners := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	for _, l := range listeners {
		interrupt(l)
	}
	for _, c := range s.connected() {
		c.hurry()
	}

	over := make(chan struct{})
	go func() {
		s.accepting.Wait()
		s.running.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
		s.mu.Lock()
		s.over = true
		s.mu.Unlock()
		for _, c := range s.connected() {
			c.cutOff()
		}
		<-over
	}
	s.stop.Do(func() { close(s.stopped) })
	s.sweeper.Wait()
}

// checkIdle calls OnIdle when there was no request for the idle timeout.
func (s *Server) checkIdle() {
	if s.config().IdleTimeout <= 0 || s.config().OnIdle == nil || s.draining.Load() {
		return
	}
	if quiet := time.Duration(s.now.Load() - s.requests.Load()); quiet < s.config().IdleTimeout {
		return
	}
	if !slices.ContainsFunc(s.connected(), func(c *conn) bool { return c.phase() != idle }) {
		s.onIdle.Do(s.config().OnIdle)
	}
}
