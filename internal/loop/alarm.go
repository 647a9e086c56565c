package loop

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Alarm is something that a loop's thread does at a certain time. A timer of the runtime's would wake another thread for it,
// and that one the runtime's monitor, which then wakes up thousands of times a second.
type Alarm struct {
	loop *Loop
	at   atomic.Int64 // nanoseconds since born; never: it is not set
	ring func()
}

const never = math.MaxInt64

var born = time.Now()

// NewAlarm makes an alarm that is not set. ring is called by the loop's thread and must not block.
func NewAlarm(ring func()) (*Alarm, error) {
	l, err := Next()
	if err != nil {
		return nil, err
	}
	a := &Alarm{loop: l, ring: ring}
	a.at.Store(never)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setAlarms(append(slices.Clone(l.listAlarms()), a))
	return a, nil
}

// Set has it ring at t, to within a millisecond, and then no more until it is set again. What was set before is forgotten.
func (a *Alarm) Set(t time.Time) {
	at := int64(t.Sub(born))
	a.at.Store(at)
	if asleep := a.loop.asleep.Load(); asleep > at {
		unix.Write(a.loop.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) //nolint:errcheck // a full counter has rung as well
	}
}

// Stop ends the alarm for good. A call of ring that is under way may still end.
func (a *Alarm) Stop() {
	l := a.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setAlarms(slices.DeleteFunc(slices.Clone(l.listAlarms()), func(other *Alarm) bool { return other == a }))
}

func (l *Loop) setAlarms(alarms []*Alarm) { l.alarms.Store(&alarms) }

func (l *Loop) listAlarms() []*Alarm {
	if alarms := l.alarms.Load(); alarms != nil {
		return *alarms
	}
	return nil
}

// strike rings the alarms whose time has come, now since born, and returns for how long the thread may sleep.
func (l *Loop) strike(since time.Duration) time.Duration {
	next, now := int64(never), int64(since)
	for _, a := range l.listAlarms() {
		at := a.at.Load()
		if at <= now && a.at.CompareAndSwap(at, never) {
			a.ring()
			at = a.at.Load()
		}
		next = min(next, at)
	}
	l.asleep.Store(next) // whoever sets an alarm from here on sees for how long
	for _, a := range l.listAlarms() {
		next = min(next, a.at.Load())
	}
	if next == never {
		return forever
	}
	return max(time.Duration(next-now), time.Millisecond)
}

// earlier is the shorter of two waits, of which one may be forever.
func earlier(a, b time.Duration) time.Duration {
	if a == forever || b == forever {
		return max(a, b)
	}
	return min(a, b)
}
