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
	more, less, err := s.instances(ctx, *i, p, *named, count)
	if err != nil {
		return err
	}
	if err := s.enlarge(ctx, more, say); err != nil {
		return err
	}
	if err := s.reduce(ctx, less, say); err != nil {
		return err
	}
	if i.Counts = maps.Clone(i.Counts); i.Counts == nil {
		i.Counts = map[string]int{}
	}
	i.Counts[named.Name] = count
	return nil
}

// instances are those that do not run or are not enabled, of numbers up to count, and those of higher numbers that are either.
func (s *Systemd) instances(ctx context.Context, i installation.Installation, p plan.Plan, process plan.Process, count int) (more, less []installation.Service, err error) {
	last := max(count, i.Count(process))
	for number := 1; ; number++ {
		service, err := i.Service(p, process, number)
		if err != nil {
			return nil, nil, err
		}
		u, err := s.unit(ctx, service)
		if err != nil {
			return nil, nil, err
		}
		there := u.state() != Stopped && u.state() != Failed || u.text("UnitFileState") == "enabled"
		switch {
		case number <= count && (u.state() != Running || u.text("UnitFileState") != "enabled"):
			more = append(more, service)
		case number > count && there:
			less = append(less, service)
		case number > last && !there: // and nobody has others than those in a row
			return more, less, nil
		}
	}
}

// enlarge starts instances and has them start with the host. If one does not come up, none of them stays.
func (s *Systemd) enlarge(ctx context.Context, services []installation.Service, say Progress) error {
	if len(services) == 0 {
		return nil
	}
	if _, _, err := s.conn.EnableUnitFilesContext(ctx, units(services), false, false); err != nil {
		return s.refused(services[0], err)
	}
	if err := s.Start(ctx, services, say); err != nil {
		return errors.Join(err, s.reduce(context.WithoutCancel(ctx), services, func(Event) {}))
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
		return s.refused(services[0], err)
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
