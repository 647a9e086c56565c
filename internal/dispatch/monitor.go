package dispatch

import (
	"fmt"
	"strings"
	"time"
)

// lookEvery is how often limits in time are checked; so much later than promised may a 503 or 504 come.
const lookEvery = 20 * time.Millisecond

// monitor enforces limits in time. It sleeps while nothing is under way.
func (p *Pool) monitor() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer p.lastTurn()
	var looked time.Time
	for {
		select {
		case <-p.stop:
			if p.drained() {
				return
			}
			// Requests under way keep their helpers until the last is done.
			select {
			case <-timer.C:
			case <-p.awake:
				timer.Stop()
			}
		case <-timer.C:
		case <-p.awake:
		}
		now := time.Now()
		if now.Sub(looked) >= lookEvery {
			looked = now
			p.enforce(now)
		}
		p.mu.Lock()
		p.look = now.Add(lookEvery)
		idle := p.idle() && !p.stopping()
		if idle {
			p.look = time.Time{}
		}
		p.answer()
		p.mu.Unlock()
		if !idle {
			timer.Reset(lookEvery)
		}
	}
}

// Pulse returns when the monitor has made a turn, which shows that the pool goes about its work. Without a monitor, before
// Start and after Shutdown, it returns at once.
func (p *Pool) Pulse() {
	turn := make(chan struct{})
	p.mu.Lock()
	if !p.monitored {
		p.mu.Unlock()
		return
	}
	p.pulses = append(p.pulses, turn)
	p.lookBy(time.Now())
	p.mu.Unlock()
	<-turn
}

// answer lets those go on who wait for a turn of the monitor. The lock is held.
func (p *Pool) answer() {
	for _, turn := range p.pulses {
		close(turn)
	}
	p.pulses = nil
}

func (p *Pool) lastTurn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.monitored = false
	p.answer()
}

// idle says that there is nothing to watch. The lock is held.
func (p *Pool) idle() bool {
	if p.queue.len > 0 {
		return false
	}
	for _, m := range p.members {
		if m.held > 0 {
			return false
		}
	}
	return true
}

func (p *Pool) stopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *Pool) drained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle() || len(p.members) == 0
}

// lookBy makes the monitor look at this time, if it would not before: it sleeps while there is nothing to see. The lock
// is held.
func (p *Pool) lookBy(t time.Time) {
	if !p.look.IsZero() && !t.Before(p.look) {
		return
	}
	p.look = t
	select {
	case p.awake <- struct{}{}:
	default:
	}
}

// poke wakes a thread of every worker that makes no progress. The alarm calls it.
func (p *Pool) poke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	wait := time.Duration(0)
	for _, m := range p.members {
		if m.held == 0 {
			continue
		}
		poke, again := m.pace.due(now, min(m.held, m.cfg.Threads-1))
		if poke {
			m.worker.Wake()
		}
		if wait == 0 || again < wait {
			wait = again
		}
	}
	p.poked = time.Time{}
	if wait > 0 {
		p.pokeBy(now.Add(wait))
	}
}

// pokeBy has poke called at this time, if it would not be earlier. The lock is held.
func (p *Pool) pokeBy(t time.Time) {
	if p.poked.IsZero() || t.Before(p.poked) {
		p.poked = t
		p.alarm.Set(t)
	}
}

// enforce fails what has waited or run for too long.
func (p *Pool) enforce(now time.Time) {
	for _, r := range p.overdue(now) {
		r.Responder.Fail(503, fmt.Sprintf("no thread was free for %s (--queue-timeout)", p.config().QueueTimeout))
	}
	for _, s := range p.stuck(now) {
		p.giveUp(s)
	}
	p.lend()
}

// overdue takes the requests out of the queue that have waited too long.
func (p *Pool) overdue(now time.Time) (late []*Request) {
	if p.config().QueueTimeout <= 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for oldest := p.queue.oldest(true); oldest != nil && now.Sub(oldest.arrived) > p.config().QueueTimeout; oldest = p.queue.oldest(true) {
		late = append(late, p.queue.pop())
	}
	return late
}

// stuckRequest is a request that ran too long, with what is needed to say so.
type stuckRequest struct {
	request *Request
	member  *member
	id      uint32
	line    string
	ran     time.Duration
}

// stuck takes the requests out of their slots that have run too long. Their slots stay occupied.
func (p *Pool) stuck(now time.Time) (late []stuckRequest) {
	if p.config().RequestTimeout <= 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		for i := range m.slots {
			s := &m.slots[i]
			if s.request == nil || s.request.began || now.Sub(s.since) <= p.config().RequestTimeout || m.untouched(s) {
				continue
			}
			if s.hinting {
				s.overdue = true
				continue
			}
			s.line = string(s.request.Line)
			late = append(late, stuckRequest{s.request, m, s.id, s.line, now.Sub(s.since)})
			s.request.slot = nil
			s.request = nil
			m.stuck++
			m.state = draining
		}
	}
	return late
}

// giveUp answers for a worker that did not, has the worker replaced, and says where it hangs.
func (p *Pool) giveUp(s stuckRequest) {
	s.request.Responder.Fail(504, fmt.Sprintf("it ran for %s without a response (--request-timeout)", p.config().RequestTimeout))
	p.running.Go(func() {
		trace := s.member.worker.Backtraces(s.id, 2*time.Second)
		if trace == "" {
			trace = "(the worker did not say where: its interpreter does not run Ruby code)"
		}
		p.log.Error("%s (PID %d) is stuck: %s has run for %.1fs (--request-timeout); the client got 504, the worker is replaced; it is at\n    %s",
			s.member.worker, s.member.worker.PID(), s.line, s.ran.Seconds(),
			strings.ReplaceAll(strings.TrimSpace(trace), "\n", "\n    "),
			s.member.about("worker_stuck"))
		s.member.ask(retirement{reason: "stuck", stuck: true})
	})
}
