package control

import "sync"

// run is a command that goes on for a while, with all that has been reported of it. Any number of callers may follow it,
// from its beginning, whenever they come.
type run struct {
	mu     sync.Mutex
	events []Event
	over   bool
	more   chan struct{} // closed when there is something new
}

func newRun() *run { return &run{more: make(chan struct{})} }

func (r *run) report(e Event) { r.add(e, false) }

// end says how it ended.
func (r *run) end(err error) {
	if err != nil {
		r.add(Event{Step: StepFailed, Error: err.Error()}, true)
		return
	}
	r.add(Event{Step: StepOK}, true)
}

func (r *run) add(e Event, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.events, r.over = append(r.events, e), over
	close(r.more)
	r.more = make(chan struct{})
}

// since returns the events from number n on, whether they are the last, and what is closed when there are more.
func (r *run) since(n int) (events []Event, over bool, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[n:], r.over, r.more
}

// follow hands over all events, the last one too, and returns early when gone is closed.
func (r *run) follow(gone <-chan struct{}, tell func(Event)) {
	for n := 0; ; {
		events, over, more := r.since(n)
		for _, e := range events {
			tell(e)
		}
		if over {
			return
		}
		n += len(events)
		select {
		case <-more:
		case <-gone:
			return
		}
	}
}
