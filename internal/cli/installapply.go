package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"serval/internal/analysis"
	"serval/internal/install"
	"serval/internal/installation"
)

// untilInterrupted is a context that ends with a Ctrl-C, so that what is half done is taken back.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// lock has this be the only install or uninstall on the host. The very first one finds nothing that it could lock.
func (s survey) lock() (unlock func(), err error) {
	_, _, state, err := s.place(os.Geteuid() == 0, os.Getenv)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(state))
	if err != nil {
		return func() {}, nil
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, errors.New("another serval install or uninstall is at work: wait for its end")
	}
	return func() { dir.Close() }, nil
}

// apply writes everything and has the backend take notice. On an error everything is as it was.
func (p *project) apply(ctx context.Context) error {
	if err := p.change.Write(); err != nil {
		return fmt.Errorf("nothing is installed, and what was there is as it was: %w", err)
	}
	err := p.target.Apply(ctx)
	if err == nil {
		err = p.record()
	}
	if err == nil {
		p.change.Commit()
		return nil
	}
	back := p.change.Undo()
	if back == nil {
		back = p.target.Apply(context.WithoutCancel(ctx))
	}
	if back == nil {
		return fmt.Errorf("nothing is installed, and what was there is as it was: %w", err)
	}
	return errors.Join(err, back)
}

// record writes down what is installed. What is not wanted any more is still there, and so stays in the record for now.
func (p *project) record() error {
	p.next.Files, p.next.Digests = p.change.Files()
	kept := p.next
	kept.Digests = map[string]string{}
	for path, digest := range p.next.Digests {
		kept.Digests[path] = digest
	}
	for _, s := range p.change.Obsolete {
		kept.Files = append(slices.Clip(kept.Files), s.Path)
		if p.before.Digests[s.Path] != "" {
			kept.Digests[s.Path] = p.before.Digests[s.Path]
		}
	}
	if err := kept.Store(p.state); err != nil {
		return err
	}
	err := p.remember()
	if err == nil {
		return nil
	}
	if p.before == nil {
		return errors.Join(err, installation.Remove(p.state))
	}
	return errors.Join(err, p.before.Store(p.state))
}

// removeObsolete stops and takes away what is not wanted any more.
func (p *project) removeObsolete(ctx context.Context, say func(string)) error {
	if len(p.change.Obsolete) == 0 {
		return nil
	}
	if err := withdraw(ctx, p.target, *p.before, p.change.Obsolete, say); err != nil {
		return fmt.Errorf("the app is installed, but what it had before is there, too: %w", err)
	}
	if err := p.change.RemoveObsolete(); err != nil {
		return fmt.Errorf("the app is installed, but what it had before is there, too: %w", err)
	}
	return errors.Join(p.target.Apply(ctx), p.next.Store(p.state))
}

// withdraw stops what runs by files that are about to be taken away, where the backend can.
func withdraw(ctx context.Context, t installation.Target, i installation.Installation, steps []install.Step, say func(string)) error {
	stopper, can := t.(installation.Withdrawer)
	if !can {
		return nil
	}
	var paths []string
	for _, s := range steps {
		paths = append(paths, s.Path)
	}
	return stopper.Withdraw(ctx, i, paths, say)
}

// report says what was done.
func (p *project) report(out io.Writer) {
	if p.change.Nothing() {
		fmt.Fprintf(out, "%s is installed for %s already, and nothing has changed.\n", p.next.App, p.next.Backend)
		return
	}
	fmt.Fprintf(out, "%s is installed for %s, to run as %s:\n", p.next.App, p.next.Backend, p.next.User)
	for _, s := range append(slices.Clone(p.change.Steps), p.change.Obsolete...) {
		if s.Kind != install.Same && s.File.Kind != installation.Link && !s.Now.IsLink() {
			fmt.Fprintf(out, "  %-8s %s\n", s.Kind, s.Path)
		}
	}
	if analysis.Passenger(p.result.Server.Name) {
		fmt.Fprintf(out, "nginx runs Passenger, so there is no unit for the web server: see serval nginx.\n")
	}
}

// hints say what is left to do.
func (p *project) hints() []string {
	if noter, has := p.target.(interface {
		Hints(before *installation.Installation, services []installation.Service, changed []string) []string
	}); has {
		var changed []string
		for _, s := range p.change.Steps {
			if s.Kind == install.Replace {
				changed = append(changed, s.Path)
			}
		}
		return noter.Hints(p.before, p.services, changed)
	}
	return nil
}
