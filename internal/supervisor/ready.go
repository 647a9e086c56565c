package supervisor

import (
	"context"
	"fmt"
	"net"
	"time"
)

// The time between two looks at whether somebody listens grows from one to the other.
const (
	firstLook = 20 * time.Millisecond
	lastLook  = 500 * time.Millisecond
)

// await returns when a process that was just started is ready.
func (r Ready) await(ctx context.Context) error {
	if r.Address == "" {
		sleep(ctx, r.Settle)
		return nil
	}
	begun := time.Now()
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		var d net.Dialer
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		conn, err := d.DialContext(attempt, r.Network, r.Address)
		cancel()
		if err == nil {
			conn.Close()
			return nil
		}
		if time.Since(begun) > r.Timeout {
			return fmt.Errorf("nobody listens on %s after %s", r.Address, r.Timeout)
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// sleep returns false when ctx was over first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
