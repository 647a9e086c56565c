package front

import (
	"sync/atomic"
	"syscall"

	"serval/internal/logs"
	"serval/internal/worker"
)

// launcher does what plugins and hooks in a mold ask of the object that Puma calls by this name.
type launcher struct {
	asked *signals
	stats atomic.Pointer[func() string]
}

// Command does what a method of the launcher's says.
func (l *launcher) Command(name string) {
	switch name {
	case "restart":
		l.asked.wish(syscall.SIGUSR2)
	case "phased_restart":
		l.asked.wish(syscall.SIGUSR1)
	case "refork":
		l.asked.wish(syscall.SIGURG)
	case "stop":
		l.asked.end(syscall.SIGINT)
	case "halt":
		l.asked.end(syscall.SIGQUIT)
		l.asked.end(syscall.SIGQUIT)
	}
}

// MoldDied says in the log that a mold is gone before its time.
func (l *launcher) MoldDied(mold *worker.Mold) {
	l.asked.log.Error("the mold (PID %d) %s; its workers go on, and a new mold boots", mold.PID(), mold.Exit(), logs.Named("mold_died", "mold_pid", mold.PID()))
}

// MoldReplaced says there, too, what came of its replacement.
func (l *launcher) MoldReplaced(mold *worker.Mold, err error) {
	if err != nil {
		l.asked.log.Error("a new mold did not boot, and is tried again when a worker is needed: %v", bootError(err), logs.Named("mold_failed"))
		return
	}
	l.asked.log.Line("- Mold (PID: %d) booted in place of the one that died", mold.PID(), logs.Named("mold_replaced", "mold_pid", mold.PID()))
}

// Stats are Puma's statistics as JSON; an empty object until the server is up.
func (l *launcher) Stats() string {
	if stats := l.stats.Load(); stats != nil {
		return (*stats)()
	}
	return "{}"
}
