// Package dispatch hands requests to workers and keeps the workers alive. It decides who gets a request, how long it
// may wait and run, and what becomes of it when its worker dies; it knows neither clients nor Ruby.
package dispatch

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"serval/internal/loop"
	"serval/internal/metrics"
	"serval/internal/worker"
)

// Config says how a pool is made up. A restart brings a new one: its Launch starts workers of the new generation.
type Config struct {
	Phase   int // the generation's number, for the log
	Workers int // at least 1
	Threads int // requests a worker may hold at once, at least 1

	QueueLimit     int           // requests that may wait for a thread; more get 503. 0: none may
	Rush           bool          // clients waited for the start: those who come first are not counted by QueueLimit
	QueueTimeout   time.Duration // how long one may wait before it gets 503. 0: no limit
	RequestTimeout time.Duration // how long one may run before its response begins; then 504. 0: no limit
	BootTimeout    time.Duration // how long the app may take to load. 0: no limit
	DrainTimeout   time.Duration // how long a retired worker may go on with what it holds. 0: no limit
	MemoryLimit    int64         // bytes of PSS past which a worker is replaced. 0: no limit
	MaxRequests    int           // requests after which a worker is replaced, give or take a tenth. 0: no limit
	MaxAge         time.Duration // after which a worker is replaced, give or take a tenth. 0: no limit
	CullOldest     bool          // which worker goes when there are to be fewer: the oldest, not the youngest

	// Beside says that another process serves while the first workers boot: they do it a few at a time.
	Beside bool

	// Launch starts a worker process that reports to h.
	Launch func(index int, h worker.Handler) (*worker.Worker, error)

	// Ended is told of each worker that Launch has made when its process is gone, with the last that was known of it. It must not block.
	// May be nil.
	Ended func(WorkerStats)

	// Plugins hears what plugins ask for that run in a worker, in single mode. Nil: they are not heard.
	Plugins worker.MoldHandler

	// Warm is called, once, when worker 0 has finished so many requests: then it would make a good mold. It must not
	// block. Zero requests: never.
	Warm         func()
	WarmRequests int

	Timeout    time.Duration // how long a worker may be silent before it is killed. 0: for ever
	CheckEvery time.Duration // how often workers are asked whether they hear. 0: every 5 s

	Log Log
}

// Log takes what an operator should know.
type Log interface {
	Detail(format string, args ...any)
	Warn(format string, args ...any)
	Error(format string, args ...any)
}

// Pool is the set of workers and the queue before them.
type Pool struct {
	log     Log
	cfg     atomic.Pointer[Config] // of the newest generation
	rolling chan struct{}          // holds a token while workers are being replaced on purpose: one at a time, and not during a restart

	mu        sync.Mutex // guards following and all members
	seats     []*seat
	members   []*member // those that are serving or draining
	queue     queue
	costs     costs
	quickAt   time.Time         // when a request came that is not known to be slow
	slowAt    time.Time         // when one that is was done
	queueMost int               // the longest that the queue was since somebody looked
	waits     metrics.Histogram // how long requests waited for a thread
	finished  int               // requests that workers have finished
	nextID    uint32
	turn      int       // where to look first among equals
	closed    bool      // no new requests
	look      time.Time // when the monitor looks next; zero: it sleeps until there is something to see
	awake     chan struct{}
	alarm     *loop.Alarm     // calls poke
	poked     time.Time       // when it does; zero: it does not
	pulses    []chan struct{} // to be closed at the monitor's next turn
	monitored bool            // the monitor runs
	trying    atomic.Int32    // seats whose first worker still boots
	manned    chan struct{}   // closed when there are none
	stop      chan struct{}   // closed when the pool shuts down
	running   sync.WaitGroup  // the seats, the monitor and whoever they started
	shutdown  sync.Once
	rushing   bool      // clients who waited for the start may still come
	rushed    time.Time // when the first of them came
	settled   atomic.Bool
	rest      atomic.Int64 // the lull after the last answer, in nanoseconds, until it is told
	warm      sync.Once
}

// New returns a pool that is not running yet.
func New(cfg Config) *Pool {
	p := &Pool{log: cfg.Log, rolling: make(chan struct{}, 1), awake: make(chan struct{}, 1), stop: make(chan struct{}), manned: make(chan struct{})}
	p.rushing = cfg.Rush
	p.cfg.Store(&cfg)
	for i := range cfg.Workers {
		p.seats = append(p.seats, newSeat(p, i, &cfg))
	}
	return p
}

func (p *Pool) config() *Config { return p.cfg.Load() }

func (p *Pool) halt() { p.shutdown.Do(func() { close(p.stop) }) }

// Dispatch hands r to the least-loaded worker, or queues it, or has it fail.
func (p *Pool) Dispatch(r *Request) {
	now, class := time.Now(), classOf(r.Line)
	p.mu.Lock()
	r.slot, r.began, r.retried, r.arrived, r.sent, r.pid = nil, false, false, now, time.Time{}, 0
	r.class, r.slow = class, p.costs.slow(class)
	if !r.slow {
		p.quickAt = now
	}
	if p.closed {
		p.mu.Unlock()
		r.Responder.Fail(503, "the server is shutting down")
		return
	}
	rush := p.trying.Load() > 0 || p.rushing && p.rushes(now)
	m := p.leastLoaded()
	if m == nil || p.queue.lane(r).first != nil || r.slow && !p.admitsSlow(now) {
		if p.queue.len >= p.config().QueueLimit && !rush {
			waiting := p.queue.len
			p.mu.Unlock()
			r.Responder.Fail(503, fmt.Sprintf("%d requests are waiting already (--queue-limit)", waiting))
			return
		}
		p.queue.push(r)
		p.queueMost = max(p.queueMost, p.queue.len)
		p.lookBy(now.Add(lookEvery))
		p.mu.Unlock()
		return
	}
	body := m.take(r, now)
	p.mu.Unlock()
	body.send()
	m.worker.Flush()
}

// rushTime is for how long, at least, those who waited for the start come.
const rushTime = time.Second

// rushes reports whether requests still come from the time before the start, when their clients could only wait: thousands, if
// the app takes seconds to load. They have waited longest, and turning them away would make a restart lose requests. The rush is
// over once the queue is empty. The lock is held.
func (p *Pool) rushes(now time.Time) bool {
	if p.rushed.IsZero() {
		p.rushed = now
	}
	p.rushing = p.queue.len > 0 || now.Sub(p.rushed) < rushTime
	return p.rushing
}

// leastLoaded returns the member with most idle threads, nil when there is none. Among equals it goes round, so that
// all of them stay warm and age alike.
func (p *Pool) leastLoaded() *member {
	var best *member
	n := len(p.members)
	for i := range n {
		m := p.members[(p.turn+i)%n]
		if m.state == serving && m.held < m.cfg.Threads && (best == nil || m.held < best.held) {
			best = m
			if m.held == 0 {
				break
			}
		}
	}
	p.turn++
	return best
}

// refill gives m as many waiting requests as there is room for; one with a body file is the last. The lock is held; the file is to be
// sent without.
func (p *Pool) refill(m *member, now time.Time) (body delivery) {
	for body.body == nil && m.state == serving {
		r := p.next(now)
		if r == nil || !m.room(r) {
			break
		}
		p.queue.remove(r)
		body = m.take(r, now)
	}
	return body
}

// refillOne is refill for a worker that has said something. It says whether there was something to give. The lock is held.
func (p *Pool) refillOne(m *member, now time.Time) (body delivery, refilled bool) {
	held := m.held
	body = p.refill(m, now)
	if refilled = m.held > held; refilled {
		p.rest.Store(int64(p.lull()))
	}
	return body, refilled
}

// fill gives m as many waiting requests as there is room for.
func (p *Pool) fill(m *member) {
	for {
		p.mu.Lock()
		body := p.refill(m, time.Now())
		p.mu.Unlock()
		if body.body == nil {
			m.worker.Flush()
			return
		}
		body.send()
	}
}

// Withdraw takes a request out of the queue. It reports false when the request is not there any more: a worker has it, or
// it is answered.
func (p *Pool) Withdraw(r *Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !r.queued {
		return false
	}
	p.queue.remove(r)
	return true
}

// Cancel gives up a request because its client is gone. After it, the responder is not called any more, but a call that
// is under way may still end. A worker that runs it learns by its next write to the body's stream.
func (p *Pool) Cancel(r *Request) {
	// In one go: when its worker dies, a request goes back from the slot to the queue.
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.queued {
		p.queue.remove(r)
	} else if s := r.slot; s != nil && s.request == r {
		s.request = nil
		r.slot = nil
	}
}

// Close refuses new requests from here on; those under way go on.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
}

// Settle keeps the workers there are: from here on none is replaced unless it dies or is stuck, since all are about to be
// ended.
func (p *Pool) Settle() { p.settled.Store(true) }

// Shutdown ends all workers: each finishes what it holds and leaves, and is killed when ctx ends first.
func (p *Pool) Shutdown(ctx context.Context) {
	p.Close()
	p.halt()
	over := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			for m, held := range p.killAll() {
				p.log.Warn("killing %s (PID %d): it did not finish in time%s", m.worker, m.worker.PID(), held, m.about("worker_killed"))
			}
		case <-over:
		}
	}()
	p.running.Wait()
	close(over)
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.mu.Lock()
	var left []*Request
	for p.queue.len > 0 {
		left = append(left, p.queue.pop())
	}
	p.mu.Unlock()
	for _, r := range left {
		r.Responder.Fail(503, "the server was shut down before a thread was free")
	}
}

// Signal sends a signal to all workers.
func (p *Pool) Signal(sig os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		m.worker.Signal(sig)
	}
}

// killAll ends all workers, and returns what they held.
func (p *Pool) killAll() map[*member]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := map[*member]string{}
	for _, m := range p.members {
		m.worker.Kill()
		held[m] = m.holdings()
	}
	return held
}

// Stats is a look at the pool.
type Stats struct {
	Queued   int // requests that wait for a thread
	Held     int // requests that workers hold
	Ready    int // workers that take requests
	Wanted   int // workers there should be
	Phase    int // of the newest generation
	Finished int // requests that workers have finished, also those that are gone
	PIDs     []int
	Workers  []WorkerStats
}

// WorkerStats is a look at one worker.
type WorkerStats struct {
	Index, PID int
	Phase      int // its generation
	Started    time.Time
	State      string // "serving" or "draining"
	Threads    int
	Held       int // requests that it runs now
	Requests   int // requests that it has finished
	Restarts   int // workers that had its place before it
	Worker     *worker.Worker
}

// Waits says how long requests waited for a thread, and how long the queue was at most since the last call.
func (p *Pool) Waits(shares ...float64) (minute, all metrics.Summary, longest int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest, p.queueMost = p.queueMost, p.queue.len
	return p.waits.LastMinute(time.Now(), shares...), p.waits.SinceStart(shares...), longest
}

// Stats returns how the pool is doing.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Queued: p.queue.len, Wanted: p.config().Workers, Phase: p.config().Phase, Finished: p.finished}
	for _, m := range p.members {
		running := min(m.held, m.cfg.Threads)
		s.Held += running
		s.Queued += m.held - running
		s.PIDs = append(s.PIDs, m.worker.PID())
		s.Workers = append(s.Workers, m.stats())
		if m.state == serving {
			s.Ready++
		}
	}
	return s
}

// stats is a look at one worker. The pool's lock is held.
func (m *member) stats() WorkerStats {
	return WorkerStats{
		Index: m.seat.index, PID: m.worker.PID(), Phase: m.cfg.Phase, Started: m.worker.Started, State: m.state.String(),
		Threads: m.cfg.Threads, Held: min(m.held, m.cfg.Threads), Requests: m.requests, Restarts: m.before, Worker: m.worker,
	}
}
