package dispatch

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// expiry says when a worker is to be replaced by a fresh one.
type expiry struct {
	requests int           // finished ones; 0: never
	age      time.Duration // 0: never
}

// newExpiry spreads the limits by a tenth in both directions: workers that began together should not end together.
func newExpiry(cfg *Config) (e expiry) {
	spread := 0.9 + 0.2*rand.Float64()
	if cfg.MaxRequests > 0 {
		e.requests = max(1, int(float64(cfg.MaxRequests)*spread))
	}
	e.age = time.Duration(float64(cfg.MaxAge) * spread)
	return e
}

func (e expiry) why(requests int) string {
	return fmt.Sprintf("it has served %d requests (--worker-max-requests)", requests)
}

func (e expiry) tooOld(age time.Duration) bool { return e.age > 0 && age > e.age }

// postpone gives a worker that should have been replaced, but could not be, some more requests.
func (p *Pool) postpone(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.expires.requests > 0 {
		m.expires.requests = m.requests + 1 + m.expires.requests/10
	}
}
