package worker

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Reaper buries strangers: processes whose parents, workers or molds or their children, ended before them. The kernel
// hands them to the nearest subreaper (PR_SET_CHILD_SUBREAPER(2const)), which the front has to be so that the workers a
// mold forks become its own.
//
// wait4(-1) would take the children of everybody else in this program away, such as those of os/exec. So the reaper looks
// before it takes, and takes what nobody else has taken for a while: whoever starts a process here waits for it.
type Reaper struct {
	patience time.Duration
	stop     chan struct{}
	over     sync.WaitGroup
}

// unclaimed is how long a process may have been dead before it is taken for a stranger.
const unclaimed = 5 * time.Second

// NewReaper makes this process a subreaper and starts to reap.
func NewReaper() (*Reaper, error) { return newReaper(unclaimed) }

func newReaper(patience time.Duration) (*Reaper, error) {
	if err := becomeSubreaper(); err != nil {
		return nil, err
	}
	r := &Reaper{patience: patience, stop: make(chan struct{})}
	r.over.Go(r.run)
	return r, nil
}

// becomeSubreaper may be called any number of times. It holds for the whole process, whichever thread asks.
func becomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the parent of orphans: %w", err)
	}
	return nil
}

// Stop ends the reaping.
func (r *Reaper) Stop() {
	close(r.stop)
	r.over.Wait()
}

func (r *Reaper) run() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	seen := map[int]time.Time{} // dead ones, and since when they are known to be
	for {
		var again <-chan time.Time
		if seen = r.reap(seen, time.Now()); len(seen) > 0 {
			again = time.After(r.patience)
		}
		select {
		case <-died:
		case <-again:
		case <-r.stop:
			return
		}
	}
}

// reap takes the dead that were seen long enough ago and returns the others.
func (r *Reaper) reap(seen map[int]time.Time, now time.Time) map[int]time.Time {
	left := map[int]time.Time{}
	if !anyDead() {
		return left
	}
	for _, pid := range deadChildren() {
		since, known := seen[pid]
		if !known {
			since = now
		}
		if now.Sub(since) < r.patience {
			left[pid] = since
			continue
		}
		var status syscall.WaitStatus
		waitFor(pid, &status) //nolint:errcheck // somebody was faster, which is as good
	}
	return left
}

// anyDead is a cheap look: most deaths are noticed by whoever waits for them before the reaper gets here.
func anyDead() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// deadChildren lists the zombies of this process that have nobody in this package to wait for them (proc(5),
// /proc/pid/task/tid/children: each child is with the thread that started it).
func deadChildren() (dead []int) {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended, and its children are with another
		}
		for word := range bytes.FieldsSeq(text) {
			if pid, err := strconv.Atoi(string(word)); err == nil && !ours.has(pid) && zombie(pid) {
				dead = append(dead, pid)
			}
		}
	}
	return dead
}

// zombie says whether a process waits to be waited for: its state follows its name, which is in parentheses and may hold
// any bytes (proc_pid_stat(5)).
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	end := bytes.LastIndexByte(text, ')')
	return err == nil && end >= 0 && bytes.HasPrefix(text[end+1:], []byte(" Z"))
}
