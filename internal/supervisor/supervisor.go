package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"serval/internal/process"
)

// Supervisor runs processes. Its fields are set before its first method is called.
type Supervisor struct {
	Records string                         // a directory for what the next supervisor has to know; empty: there will be none
	Output  func(s Spec) (*os.File, error) // where processes without a log write to; the supervisor closes it
	Watch   func(Event)                    // takes what happens; called by many goroutines at once

	records records
	hurry   context.Context // over when everything is to be killed
	kill    context.CancelFunc

	mu    sync.Mutex
	units map[string]*unit
	order []string // their names, as they were first named

	sampling sync.Mutex // guards what follows
	table    process.Table
	sampled  time.Time
}

// Open makes ready what the supervisor needs.
func (s *Supervisor) Open() error {
	s.hurry, s.kill = context.WithCancel(context.Background())
	s.units = map[string]*unit{}
	s.records = records(s.Records)
	if s.Records == "" {
		return nil
	}
	if err := os.MkdirAll(s.Records, 0o700); err != nil {
		return fmt.Errorf("there is no place to record what runs: %w", err)
	}
	return nil
}

// Begin takes over what an earlier supervisor has left of these processes, starts those that do not run and were not stopped by
// somebody, and stops what nobody wants any more. It returns when that is under way.
func (s *Supervisor) Begin(specs []Spec) error {
	specs, err := completed(specs)
	if err != nil {
		return err
	}
	left, err := s.records.names()
	if err != nil {
		return fmt.Errorf("cannot read what runs: %w", err)
	}
	var begin []string
	for _, spec := range specs {
		left = slices.DeleteFunc(left, func(name string) bool { return name == spec.Name })
		if !s.add(spec) {
			begin = append(begin, spec.Name)
		}
	}
	for _, name := range left {
		s.add(Spec{Name: name, Argv: []string{name}, Stop: s.records.read(name).Stop})
		go s.Remove(context.Background(), name) //nolint:errcheck // it takes what its stop sequence takes
	}
	go s.each(context.Background(), begin, false, func(ctx context.Context, u *unit) error { return u.ask(ctx, start, nil) }) //nolint:errcheck // it is in the log, and tried again
	return nil
}

// Adapt starts processes that are new, and stops those that are not wanted any more. What runs goes on as it is. It returns when
// that is done.
func (s *Supervisor) Adapt(ctx context.Context, specs []Spec) error {
	specs, err := completed(specs)
	if err != nil {
		return err
	}
	gone := s.Names()
	var fresh []Spec
	for _, spec := range specs {
		if s.unit(spec.Name) == nil {
			fresh = append(fresh, spec)
		}
		gone = slices.DeleteFunc(gone, func(name string) bool { return name == spec.Name })
	}
	var stopped sync.WaitGroup
	for _, name := range gone {
		stopped.Go(func() { s.Remove(ctx, name) }) //nolint:errcheck // only ctx could be over
	}
	err = s.Start(ctx, fresh)
	stopped.Wait()
	return err
}

func completed(specs []Spec) ([]Spec, error) {
	specs = slices.Clone(specs)
	for i := range specs {
		var err error
		if specs[i], err = specs[i].complete(); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

// add makes a unit if there is none of that name, and says whether it is as it should be already: its process was taken over,
// or somebody had stopped it.
func (s *Supervisor) add(spec Spec) (settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units[spec.Name] != nil {
		return true
	}
	u := newUnit(s, spec)
	settled = u.adopt()
	s.units[spec.Name] = u
	s.order = append(s.order, spec.Name)
	go u.run()
	return settled
}

// Start starts processes that do not run, and returns when they are ready: those that others depend on first. A spec with a
// name that is known is what the process is to be from its next start on.
func (s *Supervisor) Start(ctx context.Context, specs []Spec) error {
	return s.with(ctx, specs, start)
}

// Restart stops and starts processes, and starts those that do not run.
func (s *Supervisor) Restart(ctx context.Context, specs []Spec) error {
	return s.with(ctx, specs, restart)
}

func (s *Supervisor) with(ctx context.Context, specs []Spec, do verb) error {
	specs, err := completed(specs)
	if err != nil {
		return err
	}
	byName := map[string]*Spec{}
	var names []string
	for i, spec := range specs {
		byName[spec.Name] = &specs[i]
		names = append(names, spec.Name)
		s.add(spec)
	}
	return s.each(ctx, names, false, func(ctx context.Context, u *unit) error { return u.ask(ctx, do, byName[u.name()]) })
}

// Stop stops processes by their stop sequences, and returns when they have ended: those that depend on others first.
func (s *Supervisor) Stop(ctx context.Context, names []string) error {
	return s.each(ctx, names, true, func(ctx context.Context, u *unit) error { return u.ask(ctx, stop, nil) })
}

// Remove stops a process and forgets it.
func (s *Supervisor) Remove(ctx context.Context, name string) error {
	u := s.unit(name)
	if u == nil {
		return nil
	}
	if err := u.ask(ctx, stop, nil); err != nil {
		return err
	}
	if err := u.ask(ctx, leave, nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.units, name)
	s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == name })
	s.records.remove(name)
	return nil
}

// Shutdown stops everything, those that depend on others first, and forgets it. When ctx is over, what is left is killed.
func (s *Supervisor) Shutdown(ctx context.Context) {
	undo := context.AfterFunc(ctx, s.kill)
	defer undo()
	names := s.Names()
	s.Stop(context.Background(), names) //nolint:errcheck // a unit that stops has no error
	s.Leave()
	for _, name := range names {
		s.records.remove(name)
	}
}

// Leave lets go of everything that runs. The next supervisor takes it over.
func (s *Supervisor) Leave() {
	for _, name := range s.Names() {
		u := s.unit(name)
		u.ask(context.Background(), leave, nil) //nolint:errcheck // there is nothing that could fail
		<-u.gone
	}
	s.kill()
}

// Names are those of all processes.
func (s *Supervisor) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Status is how all processes are.
func (s *Supervisor) Status() (all []Status) {
	for _, name := range s.Names() {
		if u := s.unit(name); u != nil {
			all = append(all, u.Status())
		}
	}
	return all
}

// specs are those of all processes.
func (s *Supervisor) specs() (all []Spec) {
	for _, name := range s.Names() {
		if u := s.unit(name); u != nil {
			u.mu.Lock()
			all = append(all, u.spec)
			u.mu.Unlock()
		}
	}
	return all
}

func (s *Supervisor) unit(name string) *unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units[name]
}

func (u *unit) name() string { return u.status.Name }

// each does something with units at the same time, but for those that depend on others: they come after these, or with reverse
// before them.
func (s *Supervisor) each(ctx context.Context, names []string, reverse bool, do func(context.Context, *unit) error) error {
	levels, err := s.levels(names)
	if err != nil {
		return err
	}
	if reverse {
		slices.Reverse(levels)
	}
	var mu sync.Mutex
	var errs []error
	for _, level := range levels {
		var all sync.WaitGroup
		for _, u := range level {
			all.Go(func() {
				if err := do(ctx, u); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
				}
			})
		}
		all.Wait()
	}
	return errors.Join(errs...)
}

// levels sorts units: each is in a level after those that it depends on. Those that depend on each other are in one.
func (s *Supervisor) levels(names []string) (levels [][]*unit, err error) {
	var pending []*unit
	for _, name := range names {
		u := s.unit(name)
		if u == nil {
			return nil, fmt.Errorf("there is no process %s", name)
		}
		pending = append(pending, u)
	}
	for len(pending) > 0 {
		var level, rest []*unit
		for _, u := range pending {
			needed := u.needs()
			if len(needed) > 0 && slices.ContainsFunc(pending, func(other *unit) bool { return other != u && isOneOf(needed, other.name()) }) {
				rest = append(rest, u)
			} else {
				level = append(level, u)
			}
		}
		if len(level) == 0 {
			level, rest = rest, nil
		}
		levels, pending = append(levels, level), rest
	}
	return levels, nil
}

func (u *unit) needs() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.spec.DependsOn
}

// isOneOf reports whether a process is named, with or without its number.
func isOneOf(names []string, name string) bool {
	process, _, _ := strings.Cut(name, ".")
	return slices.Contains(names, name) || slices.Contains(names, process)
}

// output is where a process writes to.
func (s *Supervisor) output(spec Spec) (*os.File, error) {
	if spec.Log != "" {
		return openLog(spec)
	}
	return s.Output(spec)
}

// freshness is how old a look at all processes of the machine may be.
const freshness = time.Second

// sample is all processes of the machine, as they were not long ago: a thousand checks take one look.
func (s *Supervisor) sample() process.Table {
	s.sampling.Lock()
	defer s.sampling.Unlock()
	if time.Since(s.sampled) > freshness {
		if table, err := process.All(); err == nil {
			s.table, s.sampled = table, time.Now()
		}
	}
	return s.table
}
