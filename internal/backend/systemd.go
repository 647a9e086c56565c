package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	bus "github.com/godbus/dbus/v5"

	"serval/internal/installation"
	"serval/internal/restart"
)

// Systemd is the backend that asks the systemd of the system, over D-Bus, to run the units that were installed.
type Systemd struct {
	conn *dbus.Conn
	root bool
}

// settling is how long a process that cannot say when it is ready has to stay up to count as started.
const settling = time.Second

// NewSystemd connects to the systemd of the system. Every user may look; what changes something is for root.
func NewSystemd(ctx context.Context) (*Systemd, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return nil, errors.New("systemd does not run on this host: install with --backend supervisor, or start the app by serval up")
	}
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot talk to systemd: %w; is dbus running?", err)
	}
	return &Systemd{conn, os.Geteuid() == 0}, nil
}

// Close ends the connection.
func (s *Systemd) Close() error {
	s.conn.Close()
	return nil
}

// allowed refuses users who may not change units of the system.
func (s *Systemd) allowed() error {
	if s.root {
		return nil
	}
	return errors.New("the services are units of the system, and only root starts, stops and restarts those: use sudo")
}

// Start starts units, those in need of others after these, as systemd knows them.
func (s *Systemd) Start(ctx context.Context, services []installation.Service, say Progress) error {
	if err := s.allowed(); err != nil {
		return err
	}
	return each(services, func(service installation.Service) error { return s.start(ctx, service, say) })
}

func (s *Systemd) start(ctx context.Context, service installation.Service, say Progress) error {
	u, err := s.unit(ctx, service)
	if err != nil {
		return err
	}
	if u.state() == Running || u.state() == Reloading {
		say(Event{service.Name, Done, fmt.Sprintf("runs already, PID %d", u.pid())})
		return nil
	}
	say(Event{service.Name, Doing, "starting"})
	if err := s.conn.ResetFailedUnitContext(ctx, service.Unit); err != nil && !isNotLoaded(err) {
		return s.refused(ctx, service, err)
	}
	return s.run(ctx, service, "started", s.conn.StartUnitContext, say)
}

// run has systemd start or restart a unit and waits until its process serves, or stays up.
func (s *Systemd) run(ctx context.Context, service installation.Service, what string, verb verb, say Progress) error {
	began, mark := time.Now(), logEnd(service.Log)
	if u, err := s.unit(ctx, service); err == nil && u.is("NeedDaemonReload") {
		if err := s.conn.ReloadContext(ctx); err != nil {
			return s.refused(ctx, service, err)
		}
	}
	if err := s.job(ctx, service, verb); err != nil {
		return s.failure(ctx, service, mark, began, err)
	}
	if err := s.up(ctx, service, say); err != nil {
		return s.failure(ctx, service, mark, began, err)
	}
	u, err := s.unit(ctx, service)
	if err != nil {
		return err
	}
	say(Event{service.Name, Done, fmt.Sprintf("%s in %s, PID %d", what, seconds(began), u.pid())})
	return nil
}

// up returns when a unit whose job is done is up.
func (s *Systemd) up(ctx context.Context, service installation.Service, say Progress) error {
	if service.Process.Web {
		return s.web(service, say).Serving(ctx)
	}
	deadline := time.Now().Add(settling)
	for first := 0; ; {
		u, err := s.unit(ctx, service)
		if err != nil {
			return err
		}
		if first == 0 {
			first = u.pid()
		}
		if u.state() != Running || u.pid() != first {
			return restart.ErrEnded
		}
		if u.notifies() || time.Now().After(deadline) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// web is a web server for package restart.
func (s *Systemd) web(service installation.Service, say Progress) restart.Web {
	return restart.Web{
		Service: service,
		Main: func(ctx context.Context) (int, error) {
			u, err := s.unit(ctx, service)
			if err != nil || u.state() != Running && u.state() != Reloading {
				return 0, err
			}
			return u.pid(), nil
		},
		Say: func(text string) { say(Event{service.Name, Doing, text}) },
	}
}

// Stop stops units. Clients of a socket that systemd keeps wait in its queue then.
func (s *Systemd) Stop(ctx context.Context, services []installation.Service, say Progress) error {
	if err := s.allowed(); err != nil {
		return err
	}
	return each(services, func(service installation.Service) error { return s.stop(ctx, service, say) })
}

func (s *Systemd) stop(ctx context.Context, service installation.Service, say Progress) error {
	u, err := s.unit(ctx, service)
	if err != nil {
		return err
	}
	if u.state() == Stopped || u.state() == Failed {
		say(Event{service.Name, Done, "does not run"})
		return nil
	}
	began := time.Now()
	say(Event{service.Name, Doing, stopping(service)})
	if err := s.job(ctx, service, s.conn.StopUnitContext); err != nil {
		return s.failure(ctx, service, logEnd(service.Log), began, err)
	}
	say(Event{service.Name, Done, "stopped in " + seconds(began)})
	return nil
}

// stopping says how a service is stopped, where that is known.
func stopping(service installation.Service) string {
	if sequence := service.Process.StopSequence; len(sequence) > 0 {
		return "stopping by " + sequence.String()
	}
	return "stopping"
}

// Reload restarts the web server by its signal, if it has one to restart by, and has systemd reload other units that say how.
func (s *Systemd) Reload(ctx context.Context, services []installation.Service, say Progress) error {
	if err := s.allowed(); err != nil {
		return err
	}
	var able []installation.Service
	for _, service := range services {
		u, err := s.unit(ctx, service)
		if err != nil {
			return err
		}
		if u.is("CanReload") && (!service.Process.Web || restart.Hard(service.Process) == "") {
			able = append(able, service)
		}
	}
	if len(able) == 0 {
		return fmt.Errorf("%s cannot be reloaded: use serval restart", names(services))
	}
	return each(able, func(service installation.Service) error { return s.reload(ctx, service, say) })
}

func (s *Systemd) reload(ctx context.Context, service installation.Service, say Progress) error {
	if service.Process.Web {
		return s.restartWeb(ctx, service, false, say)
	}
	began, mark := time.Now(), logEnd(service.Log)
	say(Event{service.Name, Doing, "reloading"})
	if err := s.job(ctx, service, s.conn.ReloadUnitContext); err != nil {
		return s.failure(ctx, service, mark, began, err)
	}
	say(Event{service.Name, Done, "reloaded in " + seconds(began)})
	return nil
}

// verb is a method of systemd's that makes a job.
type verb func(ctx context.Context, unit, mode string, result chan<- string) (int, error)

// job has systemd do something with a service's unit and waits until it is done.
func (s *Systemd) job(ctx context.Context, service installation.Service, do verb) error {
	err := s.jobOf(ctx, service.Unit, do)
	var result jobResult
	switch {
	case err == nil || errors.As(err, &result):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return s.refused(ctx, service, err)
}

func (s *Systemd) jobOf(ctx context.Context, unit string, do verb) error {
	result := make(chan string, 1)
	if _, err := do(ctx, unit, "replace", result); err != nil {
		return err
	}
	select {
	case r := <-result:
		if r == "done" {
			return nil
		}
		return jobResult(r)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jobResult is how a job of systemd's ended, when it was not done.
type jobResult string

func (r jobResult) Error() string {
	switch r {
	case "canceled":
		return "somebody else asked systemd for something else"
	case "dependency":
		return "what it depends on does not run"
	case "timeout":
		return "systemd waited in vain for it"
	}
	return "systemd says " + string(r)
}

// refused is why systemd did not even try.
func (s *Systemd) refused(ctx context.Context, service installation.Service, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", service.Name, context.Cause(ctx))
	}
	var e bus.Error
	if errors.As(err, &e) {
		switch e.Name {
		case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "org.freedesktop.PolicyKit1.Error.NotAuthorized":
			return fmt.Errorf("%s: systemd does not let this user do that (polkit): use sudo", service.Name)
		case "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.LoadFailed":
			return fmt.Errorf("%s: there is no unit %s any more: run serval install again", service.Name, service.Unit)
		case "org.freedesktop.systemd1.UnitMasked":
			return fmt.Errorf("%s: the unit is masked: systemctl unmask %s", service.Name, service.Unit)
		}
	}
	return fmt.Errorf("%s: %w", service.Name, err)
}

func isNotLoaded(err error) bool {
	var e bus.Error
	return errors.As(err, &e) && e.Name == "org.freedesktop.systemd1.NoSuchUnit"
}

// each does something with all services at the same time.
func each(services []installation.Service, do func(installation.Service) error) error {
	errs := make([]error, len(services))
	var all sync.WaitGroup
	for i, service := range services {
		all.Go(func() { errs[i] = do(service) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func names(services []installation.Service) string {
	var names []string
	for _, s := range services {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

func seconds(since time.Time) string { return fmt.Sprintf("%.1f s", time.Since(since).Seconds()) }

func pause(ctx context.Context) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
