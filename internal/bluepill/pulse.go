package bluepill

import (
	"context"
	"sync"
	"time"
)

// pulse is one clock for all monitors: a thousand of their own would wake the daemon a thousand times a second.
type pulse struct {
	mu   sync.Mutex
	beat chan struct{}
}

// next is closed with the next beat.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beat == nil {
		p.beat = make(chan struct{})
	}
	return p.beat
}

// run beats with each tick until ctx ends.
func (p *pulse) run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.mu.Lock()
			if p.beat != nil {
				close(p.beat)
				p.beat = nil
			}
			p.mu.Unlock()
		}
	}
}
