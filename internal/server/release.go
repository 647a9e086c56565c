package server

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"serval/internal/loop"
)

// Transfer is a client's connection on its way from one server to another, between two requests. Deadlines begin anew with
// whoever adopts it.
type Transfer struct {
	Conn     net.Conn // still the giver's, who closes it when it has been taken
	Input    []byte   // what was read from it and not used: a part of the next request, or several
	Requests int64    // how many it has carried
	Remote   []byte   // the client's address, when a proxy has said it; empty: the socket's own
}

// release is what a server does with its connections while it gives them away.
type release struct {
	take   func(Transfer) error
	once   sync.Once
	failed chan struct{} // closed when a connection could not be given away
	err    error         // why; read it when failed is closed
	over   chan struct{} // closed when the release is
}

const (
	// Connections are given away a few at a time: one that has just been called away is not served until it has arrived, and
	// of ten thousand the last one would wait for all the others.
	releaseAtOnce = 32
	releasePause  = time.Millisecond
)

// Release gives the server's connections away: it stops accepting, without closing the listeners, and hands every connection
// to take as soon as it is between two requests, idle ones at once. Those that speak TLS cannot go: they end after their next
// response, or when they have been idle for a second. take may be called by many goroutines at a time, and keeps
// nothing of what it gets. Release returns nil when no connection is left.
//
// When take fails, the server goes on as before, listeners and all, and take's error is returned. When ctx ends first, its
// error is returned; no more is given away then, nor accepted, and what is left is the caller's to end by Shutdown.
func (s *Server) Release(ctx context.Context, take func(Transfer) error) error {
	r := &release{take: take, failed: make(chan struct{}), over: make(chan struct{})}
	defer close(r.over)
	defer s.releasing.Store(nil)
	s.releasing.Store(r)
	s.mu.Lock()
	listeners := slices.Clone(s.listeners)
	s.mu.Unlock()
	for _, l := range listeners {
		interrupt(l)
	}
	s.accepting.Wait()
	calling := make(chan struct{})
	go func() {
		defer close(calling)
		s.callAway(r)
	}()
	defer func() { <-calling }()
	select {
	case <-s.vacated():
		return nil
	case <-r.failed:
		s.resume()
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Adopt serves a connection that another server has given away, or closes it and returns an error.
func (s *Server) Adopt(t Transfer) error {
	sock, err := loop.From(t.Conn)
	if err != nil {
		return err
	}
	c, err := newConn(s, sock, nil)
	if err != nil {
		sock.Close()
		return err
	}
	c.requests.Store(t.Requests)
	if len(t.Remote) > 0 {
		c.remote, c.named = t.Remote, true
	}
	if len(t.Input) > 0 {
		c.work = works.Get().(*work)
		c.work.in = append(c.work.in[:0], t.Input...)
	}
	return s.begin(c, true)
}

// callAway makes all connections that wait for a request leave.
func (s *Server) callAway(r *release) {
	called := 0
	for _, c := range s.connected() {
		if !c.callAway() {
			continue
		}
		if called++; called%releaseAtOnce == 0 {
			select {
			case <-r.failed:
				return
			case <-time.After(releasePause):
			}
		}
	}
}

// vacated returns a channel that is closed when no connection is left.
func (s *Server) vacated() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	vacant := make(chan struct{})
	if len(s.conns) == 0 {
		close(vacant)
	} else {
		s.vacant = vacant
	}
	return vacant
}

// resume accepts again after a release that failed.
func (s *Server) resume() {
	s.releasing.Store(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vacant = nil
	for _, l := range s.listeners {
		if d, ok := l.(deadliner); ok {
			d.SetDeadline(time.Time{}) //nolint:errcheck // accepting will tell
		}
		s.accepting.Go(func() { s.accept(l) })
	}
}

// callAway ends the connection's wait for a request, if that is what it does.
func (c *conn) callAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.phase(); c.tunnel != nil || c.busy || p != idle && p != header {
		return false
	}
	c.call()
	return true
}

// leaves says that a read of the next request ended because the connection is to leave.
func (c *conn) leaves(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && !c.late()
}

// depart gives the connection away, if that is what the server does now. It is called between two requests by the
// connection's goroutine, which nobody else writes or reads beside then.
func (c *conn) depart() bool {
	r := c.srv.releasing.Load()
	if r == nil || c.tunnel != nil {
		return false
	}
	t := Transfer{Conn: c.nc, Requests: c.requests.Load()}
	if c.named {
		t.Remote = c.remote
	}
	c.mu.Lock()
	if c.work != nil {
		t.Input = c.work.in
	}
	c.mu.Unlock()
	if r.give(t) != nil {
		<-r.over // or it would be called away again and again until then
		return false
	}
	return true
}

// give has the connection taken. The first failure ends the release, for all.
func (r *release) give(t Transfer) error {
	select {
	case <-r.failed:
		return r.err
	default:
	}
	err := r.take(t)
	if err != nil {
		r.once.Do(func() {
			r.err = err
			close(r.failed)
		})
	}
	return err
}
