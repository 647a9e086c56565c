// Package loop waits for many sockets in one thread, and calls whom a socket belongs to when something comes.
//
// The runtime's own poller wakes a goroutine per socket. That is right for whoever has to wait in the middle of something,
// and costs a few microseconds each time: a thread is woken to run the goroutine, another one begins to look for work, and
// the runtime's monitor wakes up to watch them. A front that has a request every 20 µs spends half of its time so
// (docs/explanation/event-loop.md has the figures). Here, one thread takes a batch of events and does their work itself.
package loop

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Loop is a thread that waits for sockets.
type Loop struct {
	all    int // epoll: every socket, the prompt ones by way of the other
	prompt int // epoll: those whose events never have to wait, see Hold
	bell   int // eventfd: an alarm was set for an earlier time than that to which the thread sleeps
	hold   atomic.Pointer[func() (bool, time.Duration)]

	alarms atomic.Pointer[[]*Alarm]
	shared atomic.Pointer[[]Shared]
	asleep atomic.Int64 // until when the thread sleeps, as Alarm.at; 0: it does not

	mu      sync.Mutex // guards following
	watches []watch    // by descriptor
}

// watch is what a descriptor is watched for. A number may come to mean another file while an event is on its way;
// generation tells them apart.
type watch struct {
	generation int32
	ready      func(events uint32)
}

// patience is how long sockets that may wait are not looked at, at most.
const patience = time.Millisecond

var (
	started sync.Once
	loops   []*Loop
	turn    atomic.Uint32
	failed  error
)

// perLoop is how many processors there are for each loop. On two, a second loop would only take time from the workers.
const perLoop = 4

// Next returns one of the process's loops, in turn. They run as long as the process does, as the runtime's poller.
func Next() (*Loop, error) {
	started.Do(start)
	if failed != nil {
		return nil, failed
	}
	return loops[int(turn.Add(1))%len(loops)], nil
}

func start() {
	for range max(1, runtime.GOMAXPROCS(0)/perLoop) {
		l, err := newLoop()
		if err != nil {
			failed = fmt.Errorf("cannot wait for sockets: %w", err)
			return
		}
		loops = append(loops, l)
		go l.run()
	}
}

// Hold has the loops look at clients less often while busy says that nothing could be done for them: for up to a
// millisecond they hear only sockets that are prompt. Not even those for as long as rest says. It is called by the loops'
// threads, often, and must not block.
func Hold(busy func() (busy bool, rest time.Duration)) {
	if _, err := Next(); err != nil {
		return
	}
	for _, l := range loops {
		l.hold.Store(&busy)
	}
}

func newLoop() (l *Loop, err error) {
	l = &Loop{all: -1, prompt: -1, bell: -1}
	defer func() {
		if err != nil {
			for _, fd := range []int{l.all, l.prompt, l.bell} {
				unix.Close(fd) //nolint:errcheck // nothing was written to it
			}
		}
	}()
	if l.all, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.prompt, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	if _, err = l.add(l.bell, true, func(uint32) {}); err != nil { // edge-triggered: it need not be read
		return nil, err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: nested}
	return l, unix.EpollCtl(l.all, unix.EPOLL_CTL_ADD, l.prompt, &event)
}

// nested stands for the prompt sockets among all.
const nested = -1

// interest is everything, once each time it comes: a socket is written to only when there is something to write, and what
// is there to read is read at once or remembered.
const interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// add watches fd. ready is called by the loop's thread. The generation is for remove.
func (l *Loop) add(fd int, prompt bool, ready func(events uint32)) (generation int32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fd >= len(l.watches) {
		l.watches = append(l.watches, make([]watch, max(fd+1, 2*len(l.watches))-len(l.watches))...)
	}
	w := &l.watches[fd]
	w.generation++
	w.ready = ready
	event := unix.EpollEvent{Events: interest, Fd: int32(fd), Pad: w.generation}
	if err = unix.EpollCtl(l.epoll(prompt), unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		w.ready = nil
	}
	return w.generation, err
}

// rearm has fd's owner told again of what is there. The events are the same: setting them makes epoll look anew.
func (l *Loop) rearm(fd int, generation int32, prompt bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watches[fd].generation != generation {
		return // as in remove
	}
	event := unix.EpollEvent{Events: interest, Fd: int32(fd), Pad: generation}
	unix.EpollCtl(l.epoll(prompt), unix.EPOLL_CTL_MOD, fd, &event) //nolint:errcheck // it is there
}

func (l *Loop) epoll(prompt bool) int {
	if prompt {
		return l.prompt
	}
	return l.all
}

// remove watches fd no more. It is to be called before fd is closed: the file behind it may live on in another process, and
// would go on to be heard.
func (l *Loop) remove(fd int, generation int32, prompt bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watches[fd].generation != generation {
		return // it was closed by somebody else, and the number has come to mean another file
	}
	l.watches[fd].ready = nil
	unix.EpollCtl(l.epoll(prompt), unix.EPOLL_CTL_DEL, fd, nil) //nolint:errcheck // it is there
}

func (l *Loop) find(e *unix.EpollEvent) func(events uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.watches[e.Fd]; w.generation == e.Pad {
		return w.ready
	}
	return nil
}

// yieldEvery is how often a loop lets the scheduler have a look at it. A goroutine that has run for 10 ms without, is taken for
// one that hogs its processor: the runtime's monitor then takes that away in each system call, and looks for more of the
// kind every 20 µs.
const yieldEvery = 4 * time.Millisecond

func (l *Loop) run() {
	b := &batch{loop: l}
	var yielded time.Duration
	for {
		now := time.Since(born)
		if now-yielded > yieldEvery {
			yielded = now
			runtime.Gosched()
		}
		left := l.strike(now)
		l.look()
		if busy, rest := l.held(); busy {
			if rest > 0 {
				pause(rest)
				left = 0
			}
			b.take(l.prompt, earlier(left, patience))
			b.take(l.all, 0)
		} else {
			b.take(l.all, left)
		}
	}
}

func (l *Loop) held() (busy bool, rest time.Duration) {
	if hold := l.hold.Load(); hold != nil {
		return (*hold)()
	}
	return false, 0
}

// lookEvery is after how many events the loop looks at shared memory: what is there may be what others wait for.
const lookEvery = 16

// batch is what a loop's thread works with.
type batch struct {
	loop   *Loop
	events [128]unix.EpollEvent
	prompt [32]unix.EpollEvent
}

// take waits for events and does their work.
func (b *batch) take(epoll int, wait time.Duration) {
	if wait != 0 && !b.loop.doze() {
		wait = 0
	}
	events := poll(epoll, b.events[:], wait)
	b.loop.asleep.Store(0)
	b.loop.wake()
	for i := range events {
		if i%lookEvery == lookEvery-1 {
			b.loop.look()
		}
		if events[i].Fd != nested {
			b.loop.call(&events[i])
			continue
		}
		more := poll(b.loop.prompt, b.prompt[:], 0)
		for j := range more {
			b.loop.call(&more[j])
		}
	}
}

func (l *Loop) call(e *unix.EpollEvent) {
	if ready := l.find(e); ready != nil {
		ready(e.Events)
	}
}
