package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/process"
	"serval/internal/restart"
	"serval/internal/supervisor"
)

// Supervised is the backend that asks the app's own supervisor, serval supervise.
type Supervised struct {
	client *supervisor.Client
	state  string // the app's state directory
}

// NewSupervised asks the supervisor with the app's state directory (analysis.StateDir).
func NewSupervised(stateDir string) *Supervised {
	return &Supervised{supervisor.NewClient(stateDir), stateDir}
}

// Close has nothing to do: each question has a connection of its own.
func (s *Supervised) Close() error { return nil }

// remedy says what to do when nobody is there to be asked.
func remedy(err error) error {
	if errors.Is(err, supervisor.ErrNotRunning) {
		return fmt.Errorf("%w: start it by serval supervise, which starts the services, too", err)
	}
	return err
}

// statuses are those of all processes by their names.
func (s *Supervised) statuses(ctx context.Context) (map[string]supervisor.Status, error) {
	all, err := s.client.Status(ctx)
	if err != nil {
		return nil, remedy(err)
	}
	byName := map[string]supervisor.Status{}
	for _, status := range all {
		byName[status.Name] = status
	}
	return byName, nil
}

// Start starts what does not run, in the order of dependencies.
func (s *Supervised) Start(ctx context.Context, services []installation.Service, say Progress) error {
	before, err := s.statuses(ctx)
	if err != nil {
		return err
	}
	var idle []installation.Service
	for _, service := range services {
		if now := before[service.Name]; now.State == supervisor.Running {
			say(Event{service.Name, Done, fmt.Sprintf("runs already, PID %d", now.PID)})
			continue
		}
		say(Event{service.Name, Doing, "starting"})
		idle = append(idle, service)
	}
	if len(idle) == 0 {
		return nil
	}
	return s.run(ctx, idle, "started", s.client.Start, say)
}

// run has the supervisor start or restart services, and returns when all of them are up.
func (s *Supervised) run(ctx context.Context, services []installation.Service, what string, do func(context.Context, ...supervisor.Spec) error, say Progress) error {
	began := time.Now()
	marks := map[string]int64{}
	var specs []supervisor.Spec
	for _, service := range services {
		marks[service.Name] = logEnd(service.Log)
		specs = append(specs, SpecOf(service))
	}
	err := do(ctx, specs...)
	if ctx.Err() != nil || errors.Is(err, supervisor.ErrNotRunning) {
		return remedy(err)
	}
	return each(services, func(service installation.Service) error {
		if upErr := s.up(ctx, service, say); upErr != nil {
			return s.failure(ctx, service, marks[service.Name], upErr)
		}
		now, err := s.statuses(ctx)
		if err != nil {
			return err
		}
		say(Event{service.Name, Done, fmt.Sprintf("%s in %s, PID %d", what, seconds(began), now[service.Name].PID)})
		return nil
	})
}

// up returns when a service that was started is up.
func (s *Supervised) up(ctx context.Context, service installation.Service, say Progress) error {
	all, err := s.statuses(ctx)
	if err != nil {
		return err
	}
	if all[service.Name].State != supervisor.Running {
		return restart.ErrEnded
	}
	if service.Process.Web {
		return s.web(service, say).Serving(ctx)
	}
	return nil
}

// web is a web server for package restart.
func (s *Supervised) web(service installation.Service, say Progress) restart.Web {
	return restart.Web{
		Service: service,
		Main: func(ctx context.Context) (int, error) {
			all, err := s.statuses(ctx)
			if now := all[service.Name]; err != nil || now.State != supervisor.Running && now.State != supervisor.Starting {
				return 0, err
			}
			return all[service.Name].PID, nil
		},
		Say: func(text string) { say(Event{service.Name, Doing, text}) },
	}
}

// failure is the error about a service that is to blame itself, with what its log says since a mark.
func (s *Supervised) failure(ctx context.Context, service installation.Service, mark int64, cause error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", service.Name, cause)
	}
	text := cause.Error()
	if all, err := s.statuses(ctx); err == nil && all[service.Name].Why != "" {
		text = "it " + all[service.Name].Why
	}
	return &Failure{service.Name, text, cause, Telling(tail(service.Log, mark, lookedAt), lastLines)}
}

// Stop stops services by their stop sequences, in the order of dependencies.
func (s *Supervised) Stop(ctx context.Context, services []installation.Service, say Progress) error {
	all, err := s.statuses(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	var running []string
	for _, service := range services {
		switch now, known := all[service.Name]; {
		case !known || now.State == supervisor.Stopped:
			say(Event{service.Name, Done, "does not run"})
		default: // one that is about to be started again is told not to
			say(Event{service.Name, Doing, "stopping by " + service.Process.StopSequence.String()})
			running = append(running, service.Name)
		}
	}
	if err := s.client.Stop(ctx, running...); err != nil {
		return remedy(err)
	}
	for _, name := range running {
		say(Event{name, Done, "stopped in " + seconds(began)})
	}
	return nil
}

// Restart restarts the web server first: a release that it does not come up with is not for the others.
func (s *Supervised) Restart(ctx context.Context, services []installation.Service, hard bool, say Progress) error {
	return restartAll(services, func(web installation.Service) error {
		return s.restartWeb(ctx, web, hard, say)
	}, func(other installation.Service) error {
		return s.restart(ctx, other, say)
	})
}

// restart stops a service by its stop sequence, and starts it.
func (s *Supervised) restart(ctx context.Context, service installation.Service, say Progress) error {
	say(Event{service.Name, Doing, "stopping by " + service.Process.StopSequence.String() + ", and starting"})
	return s.run(ctx, []installation.Service{service}, "stopped and started", s.client.Restart, say)
}

// restartWeb restarts the web server by its signal, where that can be and is wanted.
func (s *Supervised) restartWeb(ctx context.Context, service installation.Service, hard bool, say Progress) error {
	all, err := s.statuses(ctx)
	if err != nil {
		return err
	}
	now := all[service.Name]
	if now.State != supervisor.Running {
		return s.Start(ctx, []installation.Service{service}, say)
	}
	if why := restart.Hard(service.Process); why != "" && !hard {
		say(Event{service.Name, Warning, why + ": it is stopped and started"})
		hard = true
	}
	if hard {
		return s.restart(ctx, service, say)
	}
	if changed := changedSince(now.PID, service); len(changed) > 0 {
		say(Event{service.Name, Warning, stale(changed)})
	}
	return s.signal(ctx, service, "restarted in %s, new workers serve", say)
}

// signal restarts a web server by its signal.
func (s *Supervised) signal(ctx context.Context, service installation.Service, done string, say Progress) error {
	began, mark := time.Now(), logEnd(service.Log)
	say(Event{service.Name, Doing, "restarting by " + service.Process.RestartSignal.String()})
	if err := s.web(service, say).Signal(ctx); err != nil {
		return s.failure(ctx, service, mark, err)
	}
	say(Event{service.Name, Done, fmt.Sprintf(done, seconds(began))})
	return nil
}

// changedSince are the variables that a process has otherwise than it would get them now.
func changedSince(pid int, service installation.Service) []string {
	env, known, err := process.Environ(pid)
	if err != nil || !known {
		return nil
	}
	delete(env, supervisor.Marker)
	return Changed(env, service.Env)
}

// Reload sends the restart signal to web servers.
func (s *Supervised) Reload(ctx context.Context, services []installation.Service, say Progress) error {
	able := slices.DeleteFunc(slices.Clone(services), func(service installation.Service) bool {
		return !service.Process.Web || restart.Hard(service.Process) != ""
	})
	if len(able) == 0 {
		return fmt.Errorf("%s cannot be reloaded: use serval restart", names(services))
	}
	return each(able, func(service installation.Service) error { return s.signal(ctx, service, "reloaded in %s", say) })
}

// Status asks the supervisor about the services, and the kernel about their processes.
func (s *Supervised) Status(ctx context.Context, services []installation.Service) (all []Status, err error) {
	known, err := s.statuses(ctx)
	if err != nil && !errors.Is(err, supervisor.ErrNotRunning) {
		return nil, err
	}
	var left map[string]process.ID
	if err != nil {
		left = supervisor.Left(s.state)
	}
	for _, service := range services {
		now, there := known[service.Name]
		status := Status{
			Service: service.Name, State: State(now.State), PID: now.PID, Since: now.Since, Restarts: now.Restarts,
			Socket: service.Socket, Listening: listens(service.Socket), Enabled: true, Why: now.Why,
		}
		switch {
		case err != nil:
			status.State, status.Why = Stopped, err.Error()
			if id := left[service.Name]; id.PID > 0 {
				status.State, status.PID, status.Memory = Running, id.PID, memory(id.PID)
			}
		case !there:
			status.State = Stopped
		case status.State == Failed || status.State == Restarting:
			status.LastWords = lastWords(tail(service.Log, 0, lookedAt), 3)
		case now.PID > 0:
			status.Memory = memory(now.PID)
			status.Changed = changedSince(now.PID, service)
		}
		all = append(all, status)
	}
	return all, nil
}

// Logs writes what is in the log files.
func (s *Supervised) Logs(ctx context.Context, services []installation.Service, follow bool, lines int, w LogWriter) error {
	return WriteLogs(ctx, services, follow, lines, nil, w)
}

// Scale starts the instances that are missing, or stops those that are too many, the last one first.
func (s *Supervised) Scale(ctx context.Context, i *installation.Installation, p plan.Plan, name string, count int, say Progress) error {
	named := p.Process(name)
	if named == nil || named.Web {
		return fmt.Errorf("%s has no instances that could be counted", name)
	}
	all, err := s.statuses(ctx)
	if err != nil {
		return err
	}
	var more, less []installation.Service
	for number := 1; ; number++ {
		service, err := i.Service(p, *named, number)
		if err != nil {
			return err
		}
		now, there := all[service.Name]
		if number > count && !there {
			break
		}
		if number > count {
			less = append(less, service)
		} else if now.State != supervisor.Running {
			more = append(more, service)
		}
	}
	if len(more) > 0 {
		if err := s.Start(ctx, more, say); err != nil {
			return errors.Join(err, s.remove(context.WithoutCancel(ctx), more, func(Event) {}))
		}
	}
	slices.Reverse(less)
	if err := s.remove(ctx, less, say); err != nil {
		return err
	}
	if i.Counts = maps.Clone(i.Counts); i.Counts == nil {
		i.Counts = map[string]int{}
	}
	i.Counts[named.Name] = count
	return nil
}

// remove stops instances and has the supervisor forget them.
func (s *Supervised) remove(ctx context.Context, services []installation.Service, say Progress) error {
	if len(services) == 0 {
		return nil
	}
	if err := s.Stop(ctx, services, say); err != nil {
		return err
	}
	var names []string
	for _, service := range services {
		names = append(names, service.Name)
	}
	return s.client.Remove(ctx, names...)
}
