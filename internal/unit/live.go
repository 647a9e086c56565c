package unit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"

	"serval/internal/installation"
)

// Apply has systemd read its units again.
func (s *Systemd) Apply(ctx context.Context) error {
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("systemd does not read its units again: %w", err)
	}
	return nil
}

func connect(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot talk to systemd: %w; is dbus running?", err)
	}
	return conn, nil
}

// Withdraw stops the units of files, of templates all instances.
func (s *Systemd) Withdraw(ctx context.Context, _ installation.Installation, paths []string, say func(line string)) error {
	patterns := s.patterns(paths)
	if len(patterns) == 0 {
		return nil // to systemd, no pattern would mean all units
	}
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	there, err := conn.ListUnitsByPatternsContext(ctx, nil, patterns)
	if err != nil {
		return fmt.Errorf("systemd does not say what runs: %w", err)
	}
	// The web server first, which a socket would take along, and what else there is by name.
	slices.SortFunc(there, func(a, b dbus.UnitStatus) int {
		return cmp.Or(strings.Compare(filepath.Ext(a.Name), filepath.Ext(b.Name)), strings.Compare(a.Name, b.Name))
	})
	there = slices.DeleteFunc(there, func(u dbus.UnitStatus) bool {
		return u.ActiveState == "inactive" || strings.HasSuffix(u.Name, "_gate.service") // a gate goes with its socket
	})
	var failed error
	jobs := make([]chan string, len(there))
	for i, u := range there { // all at once, in whatever order systemd knows to be right
		jobs[i] = make(chan string, 1)
		if u.ActiveState == "failed" {
			jobs[i] <- "done"
			continue
		}
		say("stopping " + u.Name)
		if _, err := conn.StopUnitContext(ctx, u.Name, "replace", jobs[i]); err != nil {
			return fmt.Errorf("systemd does not stop %s: %w", u.Name, err)
		}
	}
	for i, u := range there {
		failed = errors.Join(failed, ended(ctx, u.Name, jobs[i]))
		conn.ResetFailedUnitContext(ctx, u.Name) //nolint:errcheck // it is for the list of failed units alone
	}
	return failed
}

// ended waits for the end of the job that stops a unit.
func ended(ctx context.Context, name string, job <-chan string) error {
	select {
	case how := <-job:
		if how != "done" {
			return fmt.Errorf("systemd does not stop %s: its job ended with %q", name, how)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s has not stopped yet: %w", name, context.Cause(ctx))
	}
}

// patterns are the names of the units of files, with * for the numbers of instances.
func (s *Systemd) patterns(paths []string) (patterns []string) {
	for _, path := range paths {
		dir, name := filepath.Split(path)
		if filepath.Clean(dir) != s.Directory && filepath.Ext(filepath.Clean(dir)) != ".wants" {
			continue
		}
		if name = strings.Replace(name, "@.", "@*.", 1); !slices.Contains(patterns, name) {
			patterns = append(patterns, name)
		}
	}
	return patterns
}

// Hints say how to go on: what is to be started, and what runs with older settings. changed are the files that were replaced.
func (s *Systemd) Hints(before *installation.Installation, services []installation.Service, changed []string) (hints []string) {
	if len(services) == 0 {
		return nil
	}
	if before == nil {
		return []string{"Start it by serval start, or systemctl start " + services[0].Unit}
	}
	for _, path := range changed {
		switch {
		case strings.HasSuffix(path, ".socket"):
			hints = append(hints, "The socket is the old one until systemctl restart "+filepath.Base(path)+", which restarts the web server, too.")
		case strings.HasSuffix(path, ".service"):
			hints = append(hints, "What runs has its old settings until serval restart --hard.")
		}
	}
	slices.Sort(hints)
	return slices.Compact(hints)
}
