package front

import (
	"strings"
	"sync"
	"time"

	"serval/internal/logs"
)

// answerWithin is how long a process may take to say what its threads are doing.
const answerWithin = 5 * time.Second

// threaded is a process that can say what its threads are doing.
type threaded interface {
	PID() int
	String() string
	Backtraces(id uint32, wait time.Duration) string
}

// ShowThreads writes what all threads are doing to the log, process by process.
func (o *operator) ShowThreads() {
	var processes []threaded
	if mold := o.current.Load().Mold(); mold != nil {
		processes = append(processes, mold)
	}
	for _, w := range o.workers() {
		processes = append(processes, w.Worker)
	}
	traces := make([]string, len(processes))
	var all sync.WaitGroup
	for i, p := range processes {
		all.Go(func() { traces[i] = p.Backtraces(0, answerWithin) })
	}
	all.Wait()
	for i, p := range processes {
		trace := strings.TrimSpace(traces[i])
		if trace == "" {
			trace = "(it did not say: its interpreter does not run Ruby code)"
		}
		o.log.Line("- Threads of %s (PID: %d):\n    %s", p, p.PID(), strings.ReplaceAll(trace, "\n", "\n    "), logs.Named("threads", "process_pid", p.PID()))
	}
}
