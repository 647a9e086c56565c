package dispatch

import (
	"os"
	"time"

	"serval/internal/wire"
	"serval/internal/worker"
)

// member is a worker with what the pool knows of it. Its fields are guarded by the pool's lock unless it says otherwise.
type member struct {
	pool   *Pool
	worker *worker.Worker // set once, before the member gets its first request
	seat   *seat

	state  memberState
	slots  []slot
	free   []*slot // last in, first out
	held   int     // slots in use
	bodies int     // requests whose body file is being handed over
	stuck  int     // of those, the ones whose request was given up: their threads may never come back
	pace   pace
	retire chan retirement
}

// slot stands for one thread of a worker, or rather for the right to occupy one.
type slot struct {
	member  *member
	index   uint32
	id      uint32   // of the request it holds; 0: free
	request *Request // nil: nobody waits for the answer any more
	since   time.Time
	line    string // what it runs, once nobody waits for the answer; for the log
}

// memberState says whether a member gets requests.
type memberState int

const (
	serving  memberState = iota // gets requests
	draining                    // gets no more, finishes what it holds
	gone                        // its process has ended
)

func (s memberState) String() string {
	return [...]string{"serving", "draining", "gone"}[s]
}

// retirement is a reason to replace a worker.
type retirement struct {
	reason string
	stuck  bool // replace it at once; otherwise it serves until its successor is ready
}

func newMember(p *Pool, s *seat, threads int) *member {
	m := &member{pool: p, seat: s, slots: make([]slot, threads), retire: make(chan retirement, 1)}
	for i := range m.slots {
		m.slots[i] = slot{member: m, index: uint32(i)}
		m.free = append(m.free, &m.slots[i])
	}
	return m
}

// RetireAsked is the worker's own wish to be replaced: somebody sent it a TERM.
func (m *member) RetireAsked() { m.ask(retirement{reason: "asked to stop by a TERM of its own"}) }

// ask notes a wish for retirement; one is enough.
func (m *member) ask(r retirement) {
	select {
	case m.retire <- r:
	default:
	}
}

// take lets r have a thread of m. The pool's lock is held and a slot is free. It returns the slot when the request is
// yet to be sent with sendBody, nil when it is on its way.
func (m *member) take(r *Request, now time.Time) (unsent *slot) {
	s := m.free[len(m.free)-1]
	m.free = m.free[:len(m.free)-1]
	m.pool.nextID = m.pool.nextID%0xffff + 1
	s.id = m.pool.nextID<<16 | s.index
	s.request = r
	r.slot = s
	r.sent = now
	s.since = now
	wire.SetID(r.Frame, s.id)
	m.held++
	m.pace.progress(now)
	m.pool.lookBy(now.Add(m.pace.patience()))
	if r.Body != nil {
		m.bodies++
		return s
	}
	m.worker.Add(r.Frame, r.Shape)
	return nil
}

// release frees a slot. The pool's lock is held.
func (m *member) release(s *slot) {
	if s.request == nil && s.line != "" {
		m.stuck--
	}
	s.id, s.request, s.line = 0, nil, ""
	m.free = append(m.free, s)
	m.held--
}

// find returns the slot that holds request id, or nil.
func (m *member) find(id uint32) *slot {
	if i := int(id & 0xffff); i < len(m.slots) && m.slots[i].id == id && id != 0 {
		return &m.slots[i]
	}
	return nil
}

// Frame takes what the worker says. See worker.Handler.
func (m *member) Frame(f *wire.Frame, file *os.File) {
	switch f.Type {
	case wire.Response:
		if r := m.answered(f.ID, true, f.Flags&wire.Busy == 0); r != nil {
			r.Responder.Whole(int(f.Code), f.Head, f.Body)
		}
	case wire.Head:
		m.head(f)
	case wire.Chunk:
		if r := m.request(f.ID, true); r != nil {
			r.Responder.Chunk(f.Body)
		}
	case wire.Stream:
		m.stream(f, file)
	case wire.End:
		if r := m.answered(f.ID, true, f.Flags&wire.Busy == 0); r != nil {
			r.Responder.End(f.Flags&wire.Abort == 0)
		}
	case wire.File:
		m.file(f, file)
	case wire.Hints:
		if r := m.request(f.ID, false); r != nil {
			r.Responder.Hints(f.Head)
		}
	case wire.Hijack:
		r := m.answered(f.ID, true, false)
		if give := m.giver(f.ID); r != nil {
			r.Responder.Hijack(give)
		} else {
			give(nil, nil)
		}
	case wire.Free:
		m.answered(f.ID, false, true)
	}
}

func (m *member) head(f *wire.Frame) {
	if f.Flags&wire.Partial == 0 {
		if r := m.request(f.ID, true); r != nil {
			r.Responder.Head(int(f.Code), f.Head, f.Body)
		}
		return
	}
	r := m.answered(f.ID, true, false)
	if give := m.giver(f.ID); r != nil {
		r.Responder.HijackHead(int(f.Code), f.Head, f.Body, give)
	} else {
		give(nil, nil)
	}
}

func (m *member) stream(f *wire.Frame, file *os.File) {
	if file == nil {
		return
	}
	if r := m.request(f.ID, true); r != nil {
		r.Responder.Stream(file)
	} else {
		file.Close() // the worker's next write fails, and it stops
	}
}

func (m *member) file(f *wire.Frame, file *os.File) {
	if file == nil {
		return
	}
	offset, size, err := wire.FileRange(f.Body)
	r := m.answered(f.ID, true, f.Flags&wire.Busy == 0)
	switch {
	case r == nil:
		file.Close()
	case err != nil:
		file.Close()
		r.Responder.Fail(502, err.Error())
	default:
		r.Responder.File(int(f.Code), f.Head, file, offset, size)
	}
}

// giver returns what passes a hijacked socket to the worker.
func (m *member) giver(id uint32) Give {
	return func(socket *os.File, leftover []byte) {
		m.worker.SendSocket(id, socket, leftover) //nolint:errcheck // a dead worker needs no socket
		if socket != nil {
			socket.Close()
		}
	}
}

// request returns the request with this id, if somebody still waits for its answer.
func (m *member) request(id uint32, began bool) *Request {
	p := m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	m.pace.progress(time.Now())
	s := m.find(id)
	if s == nil || s.request == nil {
		return nil
	}
	if began {
		s.request.began = true
	}
	return s.request
}

// answered takes the request with this id out of the pool, where final, and gives its thread to the next one, where the
// thread is free.
func (m *member) answered(id uint32, final, free bool) (r *Request) {
	p := m.pool
	p.mu.Lock()
	now := time.Now()
	m.pace.progress(now)
	s := m.find(id)
	if s == nil {
		p.mu.Unlock()
		return nil
	}
	if r = s.request; r != nil && final {
		r.began = true
		r.slot = nil
		s.request = nil
	}
	var body *slot
	held := m.held
	if free {
		m.pace.served(now.Sub(s.since))
		m.release(s)
		body = p.next(m, now)
	}
	refilled := free && m.held == held
	p.mu.Unlock()
	if body != nil {
		p.sendBody(body)
	}
	if refilled {
		m.worker.FlushIfLast()
	}
	return r
}
