package front

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// EndedBy is the outcome of a program that a signal ended, after it had put everything in order.
type EndedBy struct{ Signal syscall.Signal }

func (e EndedBy) Error() string { return "ended by " + e.Signal.String() }

// Raise ends this process by the signal. It returns, after a moment, if that does not work.
func (e EndedBy) Raise() {
	signal.Reset(e.Signal)
	if syscall.Kill(os.Getpid(), e.Signal) == nil {
		time.Sleep(time.Second) // the signal may reach another thread first, and its end takes this one along
	}
}

// failed says whether an outcome is a failure.
func failed(err error) bool {
	var ended EndedBy
	var replaced *replacement
	return err != nil && !errors.Is(err, errStopped) && !errors.As(err, &ended) && !errors.As(err, &replaced)
}
