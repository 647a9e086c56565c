package server

import (
	"errors"
	"net"
	"time"

	"serval/internal/wire"
)

// turn says whose turn it is to read from a connection. Most connections never need a goroutine of their own: the loop's
// thread reads a request, dispatches it, and whoever brings the response writes it. Where something would have to be waited
// for in the middle of a step, or is not plain (a long body, pipelining, an error, a client that leaves, the end of the
// connection), a goroutine attends to the connection, and leaves again with the next request that is plain.
type turn uint8

const (
	attended turn = iota // a goroutine's (life)
	resting              // nobody's until something comes: then the loop calls
	looping              // the loop's thread's, just now
	ended                // the connection is closed and off the list
)

func (t turn) String() string { return [...]string{"attended", "resting", "looping", "ended"}[t] }

// verdict is how far a connection was brought without waiting.
type verdict uint8

const (
	waits verdict = iota // for what comes next
	wants                // a goroutine
	quits                // it is over
)

// readable is called by the loop when bytes or the end of the client's side may have come.
func (c *conn) readable() {
	c.mu.Lock()
	c.more = true
	switch {
	case c.turn != resting:
		c.mu.Unlock()
	case c.busy:
		c.attend() // the client pipelines, or leaves
		c.mu.Unlock()
	default:
		c.turn = looping
		c.mu.Unlock()
		c.goOn()
	}
}

// goOn does what can be done without waiting. It is the turn's owner who calls it.
func (c *conn) goOn() {
	for {
		v := c.advance()
		c.mu.Lock()
		switch {
		case v == quits:
			c.end()
		case v == wants || c.called || c.more && c.busy:
			c.attend()
		case c.more:
			c.mu.Unlock()
			continue // more came meanwhile
		default:
			c.turn = resting
			if !c.busy {
				c.hear()
			}
		}
		c.mu.Unlock()
		return
	}
}

// attend starts a goroutine for the connection. mu is held.
func (c *conn) attend() {
	c.turn, c.called = attended, false
	c.hear()
	go c.life()
}

// hear has the loop listen to the connection, if it does not yet. For most connections that carry one request it never has to:
// the request is there when they are accepted, and they end with the response. Whoever waits for the client, in any way, has to
// call it before; until it is called, nobody learns that the client left. mu is held.
func (c *conn) hear() {
	if c.heard || c.sock == nil {
		return
	}
	c.heard = true
	err := c.sock.Watch(false, c.readable)
	if err == nil {
		return
	}
	if !errors.Is(err, net.ErrClosed) {
		c.srv.complain("accept_failed", "cannot serve a connection: %v", err)
	}
	c.nc.Close() // whoever reads or writes notices
	if c.turn == resting && !c.busy {
		c.end()
	}
}

// call has whoever reads from the connection look at what is to become of it. mu is held.
func (c *conn) call() {
	c.nc.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection ends the read as well
	switch c.turn {
	case resting:
		c.attend()
	case looping:
		c.called = true
	}
}

// end closes the socket, unless somebody else has it now, and takes the connection off the list. mu is held.
func (c *conn) end() {
	c.turn = ended
	if !c.lent {
		c.farewell()
		c.nc.Close()
	}
	if c.spent {
		c.giveBack()
	}
	c.srv.forget(c)
}

// advance reads what is there, and dispatches the request that it completes.
func (c *conn) advance() verdict {
	for {
		came, drained := c.take()
		if !came {
			return waits
		}
		if c.readErr != nil || c.readN == 0 {
			return quits
		}
		switch v, whole := c.look(); {
		case v != waits:
			return v
		case whole:
			c.begin()
			if !drained {
				return wants
			}
			return waits
		case drained:
			return waits
		}
	}
}

// take reads once. drained says that this was all there is, the end of the client's side included.
func (c *conn) take() (came, drained bool) {
	c.makeRoom()
	c.came = false
	c.sock.Try(c.tryRead) //nolint:errcheck // of a closed socket nothing comes, and who closed it saw to the rest
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came, c.emptied && !c.sock.Ended()
}

// look says whether what was read is a whole request, and one to be dispatched as it is.
func (c *conn) look() (v verdict, whole bool) {
	w := c.work
	if c.phase() != receiving {
		if c.phase() != header {
			w.head.Reset()
			c.enter(header)
		}
		done, err := c.parse()
		if err != nil {
			return wants, false
		}
		if !done {
			return waits, false
		}
		h := &w.head
		if h.Chunked || h.ExpectContinue || h.ContentLength > wire.InlineBody {
			return wants, false
		}
		w.bodyStart = h.Size + int(max(h.ContentLength, 0))
		w.meta.bodySize, w.meta.bodyWait, w.meta.body, w.meta.file = h.ContentLength, 0, nil, false
		if len(w.in) < w.bodyStart {
			c.enterBody()
			w.bodyBegan = time.Now()
		}
	}
	switch have := len(w.in); {
	case have < w.bodyStart:
		return waits, false
	case have > w.bodyStart:
		return wants, false // pipelined
	}
	if w.head.ContentLength >= 0 {
		w.meta.body = w.in[w.head.Size:]
		if c.phase() == receiving {
			w.meta.bodyWait = time.Since(w.bodyBegan)
		}
	}
	return waits, true
}

// turnOver lets the loop read from a connection whose request has been dispatched, if nothing else has come. It reports whether
// a goroutine's turn has so ended. Until here, who reads has work in its hands: only now may the end of the response give
// that back.
func (c *conn) turnOver() (turnedOver bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == attended {
		if c.sock == nil || c.tunnel != nil || c.more || !c.emptied || c.sock.Ended() || c.sock.Expired() ||
			len(c.work.in) > 0 || c.ending != stay || c.give != nil || c.srv.releasing.Load() != nil {
			return false
		}
		c.turn = resting
		turnedOver = true
	}
	c.parked = true
	c.rest()
	return turnedOver
}
