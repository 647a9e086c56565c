package restart

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"serval/internal/process"
)

// kind is what is to be seen of a server's processes from outside.
type kind struct {
	worker func(title string) bool // this is the title of a worker
	serves func(pid int) bool      // this process, be it a worker or the server itself, has loaded the app and takes requests
}

// kinds are the servers whose processes tell enough. They do so from the versions in brackets on.
var kinds = map[string]kind{
	// Workers have their title before they load the app, and get their threads after that. (4.0; single mode has no workers)
	"Puma": {
		worker: func(title string) bool { return strings.HasPrefix(title, "puma: cluster worker ") },
		serves: func(pid int) bool { return slices.ContainsFunc(process.Threads(pid), isPumaServer) },
	},
	// Workers ignore USR1 from their fork on, and have a handler for it when they look for requests. (1.0)
	"Unicorn": {
		worker: func(title string) bool { return strings.Contains(title, " worker[") },
		serves: func(pid int) bool {
			return strings.Contains(process.Title(pid), " worker[") && process.Catches(pid, syscall.SIGUSR1)
		},
	},
}

func isPumaServer(thread string) bool {
	for _, name := range []string{"puma srv", "puma server", "puma threadpool"} {
		if strings.HasPrefix(thread, name) {
			return true
		}
	}
	return false
}

// workersOf are the workers below a process.
func (k kind) workersOf(pid int) []process.ID {
	return slices.DeleteFunc(process.Descendants(pid), func(p process.ID) bool { return !k.worker(process.Title(p.PID)) })
}

// boot is a server that is to have new workers that serve: after a start, or after a signal to replace itself or them.
type boot struct {
	kind
	server func() int   // the process whose workers they are
	image  string       // of that process before the signal; empty: it was started
	old    []process.ID // workers from before the signal

	booting []process.ID // new ones, as of the last look
	died    int          // of these, while they loaded the app
	before  []process.ID // new ones that served at the last look
}

// hopeless is how many workers may end while they load the app. Servers start others in their place for ever.
const hopeless = 3

var errWorkersEnd = errors.New("its new workers end while they load the app")

// look says that it is done when a server that executed itself again serves by itself or by all of its workers, and when one
// that did not has as many new workers as it had old ones.
func (b *boot) look(context.Context) (done bool, how string, err error) {
	pid := b.server()
	image, err := process.Image(pid)
	if err != nil {
		return false, "", nil // whether it has ended is for others to find out
	}
	anew := image != b.image
	if anew && b.serves(pid) {
		return true, "", nil
	}
	workers := b.workersOf(pid)
	serving, booting, left := b.sorted(workers)
	b.count(workers, booting)
	if b.died >= hopeless {
		return false, "", errWorkersEnd
	}
	wanted := len(serving) + len(booting)
	if !anew {
		wanted = max(wanted, len(b.old))
	}
	if len(serving)+len(booting) > 0 {
		how = fmt.Sprintf("%d of %d workers serve", len(serving), wanted)
	}
	// While workers are forked, there are fewer than there will be: two looks have to be the same.
	settled := slices.Equal(serving, b.before)
	b.before = serving
	return (anew || len(b.old) > 0) && left == 0 && len(serving) > 0 && len(serving) == wanted && settled, how, nil
}

// sorted tells new workers that serve from those that boot, and counts the old ones that are left.
func (b *boot) sorted(workers []process.ID) (serving, booting []process.ID, left int) {
	for _, w := range workers {
		switch {
		case slices.Contains(b.old, w):
			left++
		case b.serves(w.PID):
			serving = append(serving, w)
		default:
			booting = append(booting, w)
		}
	}
	return serving, booting, left
}

// count counts those that booted at the last look and are gone now.
func (b *boot) count(workers, booting []process.ID) {
	for _, w := range b.booting {
		if !slices.Contains(workers, w) {
			b.died++
		}
	}
	b.booting = booting
}
