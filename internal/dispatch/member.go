package dispatch

import (
	"fmt"
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
	slow   int     // of those, the ones with a request that is known to be slow
	stuck  int     // of those, the ones whose request was given up: their threads may never come back
	pace   pace
	eager  bool // its requests wait for something else than the processor
	retire chan retirement
	buried chan struct{} // closed when its worker is dead and its requests are taken care of
	legacy string        // what it held then, for the log

	cfg      *Config   // of its generation
	silent   int       // check-ins that it missed in a row; its seat's goroutine alone
	asked    time.Time // when it was asked for the last one; as above
	given    uint64    // requests that it ever got
	requests int       // that it has finished
	before   int       // members that had its seat before it
	expires  expiry    // when it is to be replaced

	replies []reply // heard and not delivered; the worker calls for it, one thread at a time
}

// slot stands for one thread of a worker, or rather for the right to occupy one, now or soon (see room).
type slot struct {
	member  *member
	index   uint32
	id      uint32   // of the request it holds; 0: free
	request *Request // nil: nobody waits for the answer any more
	since   time.Time
	class   uint32 // of the request, and whether that is known to be slow
	slow    bool
	order   uint64 // the how manieth of its member's requests this is
	hinting bool   // hints for it are being written: it cannot be given up just now
	overdue bool   // but should be, so that no more of them are written
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

func newMember(s *seat, cfg *Config) *member {
	m := &member{
		pool: s.pool, seat: s, cfg: cfg, slots: make([]slot, cfg.Threads+aheadMost), pace: pace{each: pokeLatest}, expires: newExpiry(cfg),
		retire: make(chan retirement, 1), buried: make(chan struct{}),
	}
	for i := range m.slots {
		m.slots[i] = slot{member: m, index: uint32(i)}
		m.free = append(m.free, &m.slots[i])
	}
	return m
}

// RetireAsked is the worker's own wish to be replaced: somebody sent it a TERM.
func (m *member) RetireAsked() { m.ask(retirement{reason: "asked to stop by a TERM of its own"}) }

// Command passes on what a plugin in the worker asks for, where there is no mold that plugins would run in.
func (m *member) Command(name string) {
	if h := m.cfg.Plugins; h != nil {
		h.Command(name)
	}
}

// Stats are what such a plugin may know of the server.
func (m *member) Stats() string {
	if h := m.cfg.Plugins; h != nil {
		return h.Stats()
	}
	return "{}"
}

// ask notes a wish for retirement; one is enough.
func (m *member) ask(r retirement) {
	select {
	case m.retire <- r:
	default:
	}
}

// delivery is a body file that is to be handed to the worker which has the request. That is a system call which may have
// to wait, so it is done without the pool's lock. The file may come after the request.
type delivery struct {
	member *member
	id     uint32
	body   *os.File // nil: there is nothing to send
}

func (d delivery) send() {
	if d.body != nil {
		d.member.worker.SendBody(d.id, d.body) //nolint:errcheck // the end of a worker is noticed where it is awaited
	}
}

// take gives r to m. The pool's lock is held and there is room.
func (m *member) take(r *Request, now time.Time) (body delivery) {
	s := m.free[len(m.free)-1]
	m.free = m.free[:len(m.free)-1]
	m.pool.nextID = m.pool.nextID%0xffff + 1
	s.id = m.pool.nextID<<16 | s.index
	s.request = r
	r.slot = s
	r.sent = now
	r.index, r.pid = m.worker.Index, m.worker.PID()
	s.since = now
	m.given++
	s.order = m.given
	if s.class, s.slow = r.class, r.slow; s.slow {
		m.slow++
	}
	wire.SetID(r.Frame, s.id)
	m.held++
	m.pool.waits.Add(now, now.Sub(r.arrived))
	m.pace.progress(now)
	m.pool.pokeBy(now.Add(m.pace.patience()))
	m.pool.lookBy(now.Add(lookEvery))
	m.worker.Add(r.Frame, r.Shape)
	return delivery{m, s.id, r.Body}
}

// release frees a slot. The pool's lock is held.
func (m *member) release(s *slot) {
	if s.request == nil && s.line != "" {
		m.stuck--
	}
	if s.slow {
		m.slow--
	}
	s.id, s.request, s.line, s.overdue, s.slow = 0, nil, "", false, false
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
func (m *member) Frame(f *wire.Frame, file *os.File) error {
	r, known, err := m.hear(f)
	if r == nil {
		if file != nil {
			file.Close() // a worker that streams notices at its next write
		}
		if known && (f.Type == wire.Hijack || f.Type == wire.Head && f.Flags&wire.Partial != 0) {
			m.giver(f.ID)(nil, nil)
		}
		return err
	}
	switch to := r.Responder; f.Type {
	case wire.Response:
		to.Whole(int(f.Code), f.Head, f.Body)
	case wire.Head:
		if f.Flags&wire.Partial != 0 {
			to.HijackHead(int(f.Code), f.Head, f.Body, m.giver(f.ID))
		} else {
			to.Head(int(f.Code), f.Head, f.Body)
		}
	case wire.Chunk:
		to.Chunk(f.Body)
	case wire.Stream:
		m.stream(r, file)
	case wire.End:
		to.End(f.Flags&wire.Abort == 0)
	case wire.File:
		sendFile(to, f, file)
	case wire.Hints:
		to.Hints(f.Head)
		m.hinted(f.ID)
	case wire.Hijack:
		to.Hijack(m.giver(f.ID))
	}
	return nil
}

// noFile is why a descriptor that a worker sent did not come: the kernel drops those for which there is no room.
const noFile = "the file that its worker sent could not be received: the limit of open files is too low (ulimit -n)"

func (m *member) stream(r *Request, rest *os.File) {
	if rest == nil {
		m.pool.log.Error("the response to %s was cut: %s", r.Line, noFile, m.about("response_cut"))
		m.pool.Cancel(r)
		r.Responder.End(false)
		return
	}
	r.Responder.Stream(rest)
}

func sendFile(to Responder, f *wire.Frame, file *os.File) {
	if file == nil {
		to.Fail(502, noFile)
		return
	}
	offset, size, err := wire.FileRange(f.Body)
	if err != nil {
		file.Close()
		to.Fail(502, err.Error())
		return
	}
	to.File(int(f.Code), f.Head, file, offset, size)
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

// hear notes what a frame means for the request it belongs to, and gives a thread that is free to the next one (refill). It returns
// the request if somebody waits for its answer; known says that it is one of the worker's.
func (m *member) hear(f *wire.Frame) (r *Request, known bool, err error) {
	p := m.pool
	p.mu.Lock()
	now := time.Now()
	m.pace.progress(now)
	s := m.find(f.ID)
	if s == nil {
		p.mu.Unlock()
		return nil, false, nil
	}
	r = s.request
	frees, err := s.note(f)
	if err != nil || !frees {
		p.mu.Unlock()
		if err != nil || f.Type == wire.Hints && !s.hinting {
			r = nil
		}
		return r, err == nil, err
	}
	m.freed(s, f, now)
	body, refilled := p.refillOne(m, now)
	p.mu.Unlock()
	if refilled {
		body.send()
		m.worker.FlushIfLast()
	}
	return r, true, nil
}

// freed notes that the thread which ran the request in s is free, and how long it took. The pool's lock is held.
func (m *member) freed(s *slot, f *wire.Frame, now time.Time) {
	p := m.pool
	m.pace.served(s.since, now)
	p.costs.learn(s.class, now.Sub(s.since))
	if s.slow {
		p.slowAt = now
	}
	if f.Type != wire.Free {
		m.eager = f.Flags&wire.Eager != 0
	}
	m.release(s)
	m.requests++
	p.finished++
	if m.requests == m.cfg.WarmRequests && m.seat.index == 0 {
		p.warm.Do(m.cfg.Warm)
	}
	if m.requests == m.expires.requests {
		m.ask(retirement{reason: m.expires.why(m.requests)})
	}
}

// reply is a response and who waits for it.
type reply struct {
	request *Request
	frame   *wire.Frame
}

// Answers takes responses that came together: the worker has its next requests before the first client has its answer, which
// takes the front longer than the worker takes for a short request. See worker.Handler.
func (m *member) Answers(frames []wire.Frame) (err error) {
	p := m.pool
	p.mu.Lock()
	now := time.Now()
	m.pace.progress(now)
	for i := range frames {
		f := &frames[i]
		s := m.find(f.ID)
		if s == nil {
			continue
		}
		r := s.request
		frees, broke := s.note(f)
		if broke != nil {
			err = broke
			break
		}
		if frees {
			m.freed(s, f, now)
		}
		if r != nil {
			m.replies = append(m.replies, reply{r, f})
		}
	}
	body, _ := p.refillOne(m, now)
	p.mu.Unlock()
	body.send()
	return err
}

// Deliver hands these to their clients.
func (m *member) Deliver() {
	for _, r := range m.replies {
		r.request.Responder.Whole(int(r.frame.Code), r.frame.Head, r.frame.Body)
	}
	clear(m.replies)
	m.replies = m.replies[:0]
}

// note takes a request out of its slot when its last frame has come, and says whether the thread is free. A frame out of
// turn is an error: going on, some request would never be answered, or get another one's answer. The pool's lock is held.
func (s *slot) note(f *wire.Frame) (frees bool, err error) {
	var begins, goesOn, last bool
	switch f.Type {
	case wire.Response, wire.File:
		begins, last, frees = true, true, f.Flags&wire.Busy == 0
	case wire.Head:
		begins, last = true, f.Flags&wire.Partial != 0
	case wire.Chunk, wire.Stream:
		goesOn = true
	case wire.End:
		goesOn, last, frees = true, true, f.Flags&wire.Busy == 0
	case wire.Hijack:
		last = s.request != nil && !s.request.began // later on it is refused, and the response goes on
	case wire.Hints:
		s.hinting = s.request != nil && !s.overdue
	case wire.Free:
		frees = true
	}
	r := s.request
	switch {
	case r == nil:
		return frees, nil
	case begins && r.began:
		return false, fmt.Errorf("it sent %s for %s, whose response had begun", f.Type, r.Line)
	case goesOn && !r.began:
		return false, fmt.Errorf("it sent %s for %s, whose response had not begun", f.Type, r.Line)
	case frees && !last:
		return false, fmt.Errorf("it sent %s for %s, which had no whole response", f.Type, r.Line)
	}
	r.began = r.began || begins
	if last {
		r.slot = nil
		s.request = nil
	}
	return frees, nil
}

// hinted ends the writing of hints.
func (m *member) hinted(id uint32) {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	if s := m.find(id); s != nil {
		s.hinting = false
	}
}
