package cli

import (
	"sync/atomic"
	"syscall"

	"serval/internal/logs"
	"serval/internal/worker"
)

// commands are what plugins and hooks in a mold ask of the object that Puma calls the launcher.
type commands struct {
	asked *signals
	stats atomic.Pointer[func() string]
}

// Command does what a method of the launcher's says.
func (c *commands) Command(name string) {
	switch name {
	case "restart":
		c.asked.wish(syscall.SIGUSR2)
	case "phased_restart":
		c.asked.wish(syscall.SIGUSR1)
	case "refork":
		c.asked.wish(syscall.SIGURG)
	case "stop":
		c.asked.end(syscall.SIGINT)
	case "halt":
		c.asked.end(syscall.SIGQUIT)
		c.asked.end(syscall.SIGQUIT)
	}
}

// MoldDied says in the log that a mold is gone before its time.
func (c *commands) MoldDied(mold *worker.Mold) {
	c.asked.log.Error("the mold (PID %d) %s; its workers go on, and the next one gets a new mold", mold.PID(), mold.Exit(), logs.Named("mold_died", "mold_pid", mold.PID()))
}

// Stats are Puma's statistics as JSON; an empty object until the server is up.
func (c *commands) Stats() string {
	if stats := c.stats.Load(); stats != nil {
		return (*stats)()
	}
	return "{}"
}
