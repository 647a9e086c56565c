package sequence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Target is something that can be signalled and whose end can be waited for.
type Target interface {
	Signal(signal syscall.Signal) error // os.ErrProcessDone or ESRCH when it is gone
	Exited() <-chan struct{}            // closed when it is gone
}

// Run sends the signals in order, waits after each, and returns nil as soon as the target is gone. After the last signal
// it waits until the context ends. When the target is still there at that time, or cannot be signalled, the error says so.
func (s Sequence) Run(ctx context.Context, target Target) error {
	for i, step := range s {
		select {
		case <-target.Exited():
			return nil // it had ended between two signals; none is sent to what may have its number now
		default:
		}
		if err := target.Signal(step.Signal); isGone(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("cannot send %s: %w", Name(step.Signal), err)
		}
		if i == len(s)-1 {
			break
		}
		if gone, err := wait(ctx, target, step.Wait); gone || err != nil {
			return err
		}
	}
	_, err := wait(ctx, target, -1)
	return err
}

// wait waits for the target's end, for a time; less than 0: as long as the context lasts.
func wait(ctx context.Context, target Target, limit time.Duration) (gone bool, err error) {
	var over <-chan time.Time
	if limit >= 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-target.Exited():
		return true, nil
	case <-over:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("the process is still there: %w", context.Cause(ctx))
	}
}

func isGone(err error) bool {
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}
