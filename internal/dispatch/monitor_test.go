package dispatch

import (
	"testing"
	"time"
)

func TestAPulseIsFeltWhileTheMonitorTurns(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1})
	for range 3 {
		p.Pulse() // of an idle pool, whose monitor sleeps
	}

	p.mu.Lock() // what every request needs
	felt := make(chan struct{})
	go func() { p.Pulse(); close(felt) }()
	select {
	case <-felt:
		t.Error("a pool that is stuck has a pulse")
	case <-time.After(50 * time.Millisecond):
	}
	p.mu.Unlock()
	<-felt
}

func TestAPoolWithoutAMonitorKeepsNobodyWaiting(t *testing.T) {
	New(Config{Workers: 1, Threads: 1}).Pulse()
	p, _ := testPool(t, Config{Workers: 1, Threads: 1})
	flag := newFlag(t)
	held := ask(p, "GET", "/hold", string(flag))
	pulsing := make(chan struct{})
	go func() {
		defer close(pulsing)
		for p.monitoredNow() {
			p.Pulse()
		}
	}()
	p.halt()
	flag.raise()
	held.wait(t)
	<-pulsing
}

func (p *Pool) monitoredNow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.monitored
}
