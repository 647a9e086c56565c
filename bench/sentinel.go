package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	generator "serval/internal/load"
)

// sentinel notices when a processor stands still: a thread on each of them, which goes before all others, looks at the clock every
// sentinelLook. Where it could not, nobody could: the machine below this one had something else to do. It is a process of its own, so that
// what the benchmark does is not in its way.
type sentinel struct {
	cmd   *exec.Cmd
	stop  context.CancelFunc
	over  chan struct{}  // closed when all that it said is known
	calls sync.WaitGroup // the goroutine that calls sendFirst

	mu    sync.Mutex
	stood []generator.Span
}

const (
	sentinelWord  = "sentinel" // by which this program is told to be one
	sentinelLook  = 500 * time.Microsecond
	sentinelLeast = time.Millisecond // what is said, at least

	sendFirstEvery = 20 * time.Millisecond
)

// Priorities of the real-time class, which goes before all others.
const (
	clientPriority   = 10
	sentinelPriority = 20
)

// postSentinel starts one, and has this process, the load generator, go before the servers: what it sends late would count as their silence, and
// its clients stand for other machines. Where that is not allowed, it says so, and there is none.
func (b *bench) postSentinel() *sentinel {
	if err := sendFirst(); err != nil {
		b.logf("the load generator may send late, and the machine's pauses are not known: %v", err)
		return nil
	}
	s, err := startSentinel()
	if err != nil {
		b.logf("the machine's pauses are not known: %v", err)
		return nil
	}
	s.calls.Go(func() { goOnSendingFirst(s.over) })
	return s
}

func startSentinel() (*sentinel, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &sentinel{cmd: exec.CommandContext(ctx, self, sentinelWord), stop: stop, over: make(chan struct{})}
	s.cmd.Stderr = os.Stderr
	said, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		stop()
		return nil, err
	}
	go s.listen(said)
	return s, nil
}

func (s *sentinel) listen(said io.Reader) {
	defer close(s.over)
	for lines := bufio.NewScanner(said); lines.Scan(); {
		var from, to int64
		if _, err := fmt.Sscan(lines.Text(), &from, &to); err != nil {
			continue
		}
		s.mu.Lock()
		s.stood = append(s.stood, generator.Span{From: time.Unix(0, from), To: time.Unix(0, to)})
		s.mu.Unlock()
	}
}

// dismiss ends it, if there is one.
func (s *sentinel) dismiss() {
	if s == nil {
		return
	}
	s.stop()
	<-s.over
	s.calls.Wait()
	s.cmd.Wait() //nolint:errcheck // it was killed
}

// stills are, for each span, the longest time that one of the processors stood still meanwhile, in milliseconds; none when nobody looked.
func (s *sentinel) stills(spans []generator.Span) []float64 {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return each(spans, func(span generator.Span) float64 {
		var longest time.Duration
		for _, still := range s.stood {
			if still.From.Before(span.To) && still.To.After(span.From) {
				longest = max(longest, still.To.Sub(still.From))
			}
		}
		return inMilliseconds(longest)
	})
}

// standSentinel is the process: it says from when to when a processor stood still, in nanoseconds of the wall clock, until ctx ends.
func standSentinel(ctx context.Context, out io.Writer) error {
	lines := make(chan string, 1000)
	var watching sync.WaitGroup
	failed := make([]error, runtime.NumCPU())
	for cpu := range failed {
		watching.Go(func() { failed[cpu] = watchProcessor(ctx, cpu, lines) })
	}
	go func() {
		watching.Wait()
		close(lines)
	}()
	for line := range lines {
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// watchProcessor looks at the clock on one processor. Its thread ends with it.
func watchProcessor(ctx context.Context, cpu int, lines chan<- string) error {
	runtime.LockOSThread()
	var only unix.CPUSet
	only.Set(cpu)
	if err := errors.Join(unix.SchedSetaffinity(0, &only), goFirst(0, sentinelPriority)); err != nil {
		return fmt.Errorf("sentinel: %w: its times are as late as those of other programs", err)
	}
	nap := unix.NsecToTimespec(int64(sentinelLook))
	for last := time.Now(); ctx.Err() == nil; {
		unix.Nanosleep(&nap, nil) //nolint:errcheck // a signal makes it shorter, and no harm is done
		now := time.Now()
		if now.Sub(last) > sentinelLook+sentinelLeast {
			lines <- fmt.Sprintln(last.Add(sentinelLook).UnixNano(), now.UnixNano())
		}
		last = now
	}
	return nil
}

// goFirst gives a thread of this process, or the caller's (0), a real-time priority, which the processes that it starts do not inherit.
func goFirst(thread int, priority uint32) error {
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(thread, &unix.SchedAttr{Size: unix.SizeofSchedAttr,
		Policy: unix.SCHED_FIFO, Priority: priority, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0))
}

// goOnSendingFirst does so for threads that come later, too: Go starts one for each request that waits in the kernel.
func goOnSendingFirst(over <-chan struct{}) {
	again := time.NewTicker(sendFirstEvery)
	defer again.Stop()
	for {
		select {
		case <-over:
			return
		case <-again.C:
			sendFirst() //nolint:errcheck // it was allowed before
		}
	}
}

// sendFirst has the threads that this process has just now go before all others.
func sendFirst() error {
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return err
	}
	for _, path := range threads {
		thread, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			return err
		}
		if err := goFirst(thread, clientPriority); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
