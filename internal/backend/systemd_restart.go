package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"serval/internal/installation"
	"serval/internal/restart"
)

// Restart restarts the web server first: a release that it does not come up with is not for the others.
func (s *Systemd) Restart(ctx context.Context, services []installation.Service, hard bool, say Progress) error {
	if err := s.allowed(); err != nil {
		return err
	}
	others := map[string][]installation.Service{}
	for _, service := range services {
		if !service.Process.Web {
			others[service.Process.Name] = append(others[service.Process.Name], service)
			continue
		}
		if err := s.restartWeb(ctx, service, hard, say); err != nil {
			if len(services) > 1 {
				err = fmt.Errorf("%w\nThe other services were not restarted", err)
			}
			return err
		}
	}
	return s.restartOthers(ctx, others, say)
}

// restartOthers stops and starts the instances of each process one after the other, so that the rest of them goes on working;
// different processes at the same time.
func (s *Systemd) restartOthers(ctx context.Context, processes map[string][]installation.Service, say Progress) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, instances := range processes {
		all.Go(func() {
			for _, service := range instances {
				if err := s.restart(ctx, service, say); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// restart stops a unit by its stop sequence, and starts it.
func (s *Systemd) restart(ctx context.Context, service installation.Service, say Progress) error {
	if _, err := s.unit(ctx, service); err != nil {
		return err
	}
	if err := s.conn.ResetFailedUnitContext(ctx, service.Unit); err != nil && !isNotLoaded(err) {
		return s.refused(service, err)
	}
	say(Event{service.Name, Doing, "stopping by " + service.Process.StopSequence.String() + ", and starting"})
	return s.run(ctx, service, "stopped and started", s.conn.RestartUnitContext, say)
}

// restartWeb restarts the web server by its signal, where that can be and is wanted.
func (s *Systemd) restartWeb(ctx context.Context, service installation.Service, hard bool, say Progress) error {
	u, err := s.unit(ctx, service)
	if err != nil {
		return err
	}
	if u.state() != Running && u.state() != Reloading {
		return s.start(ctx, service, say)
	}
	if why := restart.Hard(service.Process); why != "" && !hard {
		say(Event{service.Name, Warning, why + ": it is stopped and started"})
		hard = true
	}
	if hard {
		return s.restart(ctx, service, say)
	}
	if changed := u.changed(service); len(changed) > 0 {
		say(Event{service.Name, Warning, stale(changed)})
	}
	began, mark := time.Now(), logEnd(service.Log)
	say(Event{service.Name, Doing, "restarting by " + service.Process.RestartSignal.String()})
	if err := s.web(service, say).Signal(ctx); err != nil {
		return s.failure(ctx, service, mark, began, err)
	}
	say(Event{service.Name, Done, fmt.Sprintf("restarted in %s, new workers serve", seconds(began))})
	return nil
}

// stale says that variables have changed since a server was started. Their values are nobody's business.
func stale(changed []string) string {
	has := "has"
	if len(changed) > 1 {
		has = "have"
	}
	return fmt.Sprintf("%s %s changed since it was started, and a restart by signal does not take that: use serval restart web --hard", strings.Join(changed, ", "), has)
}
