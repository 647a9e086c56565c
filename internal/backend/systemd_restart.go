package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"serval/internal/installation"
	"serval/internal/restart"
)

// Restart restarts the web server first: a release that it does not come up with is not for the others.
func (s *Systemd) Restart(ctx context.Context, services []installation.Service, hard bool, say Progress) error {
	if err := s.allowed(); err != nil {
		return err
	}
	return restartAll(services, func(web installation.Service) error {
		return s.restartWeb(ctx, web, hard, say)
	}, func(other installation.Service) error {
		return s.restart(ctx, other, say)
	})
}

// restart stops a unit by its stop sequence, and starts it.
func (s *Systemd) restart(ctx context.Context, service installation.Service, say Progress) error {
	if _, err := s.unit(ctx, service); err != nil {
		return err
	}
	if err := s.conn.ResetFailedUnitContext(ctx, service.Unit); err != nil && !isNotLoaded(err) {
		return s.refused(ctx, service, err)
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
