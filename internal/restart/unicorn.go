package restart

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"serval/internal/process"
)

const (
	// masterPatience is how long Unicorn may take from USR2 to executing itself, which it does at once.
	masterPatience = 30 * time.Second

	// followPatience is how long the service manager may take to find the new main process in the pid file.
	followPatience = 10 * time.Second
)

// unicorn has a master start another one beside itself (USR2), waits until that one's workers serve, and ends the old one with
// its workers (QUIT), if no hook in the app's configuration did so. If the new one does not come up it is ended, and the old one
// goes on.
func (w Web) unicorn(ctx context.Context, old int) error {
	before, err := process.Find(old)
	if err != nil {
		return ErrEnded
	}
	if path := w.Service.PIDFile; readPID(path) != old {
		return fmt.Errorf("%s does not name its process, PID %d, so nobody would follow to a new one: have Unicorn write its pid file there, or use serval restart web --hard", path, old)
	}
	image, err := process.Image(old)
	if err != nil {
		return err
	}
	if err := w.kill(old, w.signal()); err != nil {
		return err
	}
	next, err := w.newMaster(ctx, before, image)
	if err != nil {
		return err
	}
	w.Say("the new master loads the app")
	if err := w.newWorkers(ctx, next); err != nil {
		return errors.Join(err, w.abandon(before, next))
	}
	return w.leave(ctx, before, next)
}

// abandon ends a new master that does not come up, and returns when the old one has its pid file back.
func (w Web) abandon(old, next process.ID) error {
	ctx, cancel := context.WithTimeout(context.Background(), followPatience)
	defer cancel()
	if err := w.kill(next.PID, syscall.SIGTERM); err != nil && !errors.Is(err, ErrEnded) {
		return err
	}
	for next.Alive() || old.Alive() && readPID(w.Service.PIDFile) != old.PID {
		if pause(ctx) != nil {
			return fmt.Errorf("its new master, PID %d, does not end: kill it", next.PID)
		}
	}
	return nil
}

// newMaster waits for the child of the master that is no fork of it: it has executed Unicorn again.
func (w Web) newMaster(ctx context.Context, old process.ID, image string) (process.ID, error) {
	deadline := time.Now().Add(masterPatience)
	for {
		for _, child := range process.Children(old.PID) {
			now, err := process.Image(child.PID)
			if err == nil && now != image && strings.Contains(process.Title(child.PID), "unicorn") {
				return child, nil
			}
		}
		switch {
		case !old.Alive():
			return process.ID{}, ErrEnded
		case time.Now().After(deadline):
			return process.ID{}, errors.New("it starts no new master: is one there already, of a restart before (a pid file that ends in .oldbin)?")
		}
		if err := pause(ctx); err != nil {
			return process.ID{}, err
		}
	}
}

// newWorkers waits until the new master's workers serve.
func (w Web) newWorkers(ctx context.Context, next process.ID) error {
	b := boot{kind: kinds["Unicorn"], server: func() int { return next.PID }}
	for last := ""; ; {
		if !next.Alive() {
			return errors.New("its new master ended while it loaded the app, and the old one goes on serving")
		}
		done, how, err := b.look(ctx)
		if err != nil {
			return fmt.Errorf("%w, and the old ones go on serving", err)
		}
		if how != last && how != "" {
			w.Say(how)
			last = how
		}
		if done {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// leave ends the old master and sees to it that the new one is the main process then.
func (w Web) leave(ctx context.Context, old, next process.ID) error {
	w.Say("the old master finishes its requests")
	if old.Alive() {
		if err := w.kill(old.PID, syscall.SIGQUIT); err != nil && !errors.Is(err, ErrEnded) {
			return err
		}
	}
	var since time.Time
	for {
		if !old.Alive() {
			if since.IsZero() {
				since = time.Now()
			}
			main, err := w.Main(ctx)
			above := slices.Contains(process.Descendants(main), next) // a shell, for one
			switch {
			case err != nil:
				return err
			case main == next.PID || main != 0 && above:
				return nil
			case !next.Alive() || time.Since(since) > followPatience:
				return fmt.Errorf("its new master, PID %d, was not taken for the main process", next.PID)
			}
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}
