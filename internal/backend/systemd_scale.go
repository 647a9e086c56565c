package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"serval/internal/installation"
	"serval/internal/plan"
)

// Scale starts and enables the instances that are missing, or stops and disables those that are too many.
func (s *Systemd) Scale(ctx context.Context, i *installation.Installation, p plan.Plan, process string, count int, say Progress) error {
	if err := s.allowed(); err != nil {
		return err
	}
	named := p.Process(process)
	if named == nil || named.Web {
		return fmt.Errorf("%s has no instances that could be counted", process)
	}
	f, err := s.formation(ctx, *i, p, *named, count)
	if err != nil {
		return err
	}
	if err := s.enlarge(ctx, f, say); err != nil {
		return err
	}
	if err := s.reduce(ctx, f.more, say); err != nil {
		return err
	}
	if i.Counts = maps.Clone(i.Counts); i.Counts == nil {
		i.Counts = map[string]int{}
	}
	i.Counts[named.Name] = count
	return nil
}

// formation is what there is of a process, seen from how many there should be.
type formation struct {
	idle    []installation.Service // that do not run or not from the next boot on
	missing []installation.Service // of these, those that are neither
	more    []installation.Service // than there should be
}

func (s *Systemd) formation(ctx context.Context, i installation.Installation, p plan.Plan, process plan.Process, count int) (f formation, err error) {
	last := max(count, i.Count(process))
	for number := 1; ; number++ {
		service, err := i.Service(p, process, number)
		if err != nil {
			return f, err
		}
		u, err := s.unit(ctx, service)
		if err != nil {
			return f, err
		}
		enabled := u.text("UnitFileState") == "enabled"
		there := enabled || u.state() != Stopped && u.state() != Failed
		if number > last && !there { // nobody has others than those in a row
			return f, nil
		}
		switch {
		case number > count && there:
			f.more = append(f.more, service)
		case number <= count && !there:
			f.missing = append(f.missing, service)
		}
		if number <= count && (u.state() != Running || !enabled) {
			f.idle = append(f.idle, service)
		}
	}
}

// enlarge starts instances and has them start with the host. If one does not come up, none stays that was not there.
func (s *Systemd) enlarge(ctx context.Context, f formation, say Progress) error {
	if len(f.idle) == 0 {
		return nil
	}
	_, _, err := s.conn.EnableUnitFilesContext(ctx, units(f.idle), false, false)
	if err != nil {
		err = s.refused(ctx, f.idle[0], err)
		if ctx.Err() == nil {
			return err // nothing was done
		}
	} else {
		err = s.Start(ctx, f.idle, say)
	}
	if err != nil {
		return errors.Join(err, s.reduce(context.WithoutCancel(ctx), f.missing, func(Event) {}))
	}
	return nil
}

// reduce stops instances, the last one first, and has them not start with the host.
func (s *Systemd) reduce(ctx context.Context, services []installation.Service, say Progress) error {
	if len(services) == 0 {
		return nil
	}
	services = slices.Clone(services)
	slices.Reverse(services)
	if _, err := s.conn.DisableUnitFilesContext(ctx, units(services), false); err != nil {
		return s.refused(ctx, services[0], err)
	}
	if err := s.Stop(ctx, services, say); err != nil {
		return err
	}
	for _, service := range services {
		s.conn.ResetFailedUnitContext(ctx, service.Unit) //nolint:errcheck // it is for the list of failed units alone
	}
	return nil
}

func units(services []installation.Service) (units []string) {
	for _, s := range services {
		units = append(units, s.Unit)
	}
	return units
}
