package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"serval/internal/installation"
	"serval/internal/process"
	"serval/internal/worker"
)

// unit is what systemd knows about a service: the properties of its unit (org.freedesktop.systemd1(5)).
type unit map[string]any

// unit asks systemd about a service.
func (s *Systemd) unit(ctx context.Context, service installation.Service) (unit, error) {
	properties, err := s.conn.GetAllPropertiesContext(ctx, service.Unit)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, s.refused(ctx, service, err)
	}
	u := unit(properties)
	if u.text("LoadState") == "not-found" && u.text("ActiveState") == "inactive" {
		return u, &missingUnit{service.Name, service.Unit}
	}
	return u, nil
}

// missingUnit is the error for a service that has no unit.
type missingUnit struct{ service, unit string }

func (e *missingUnit) Error() string {
	return fmt.Sprintf("%s: systemd knows no unit %s: run serval install again", e.service, e.unit)
}

func (u unit) text(name string) string {
	text, _ := u[name].(string)
	return text
}

func (u unit) is(name string) bool {
	is, _ := u[name].(bool)
	return is
}

// number is a property that is a number of any size. What is not set is the largest one there.
func (u unit) number(name string) int64 {
	switch n := u[name].(type) {
	case uint32:
		return int64(n)
	case int32:
		return int64(n)
	case uint64:
		if n == 1<<64-1 {
			return 0
		}
		return int64(n)
	}
	return 0
}

func (u unit) pid() int { return int(u.number("MainPID")) }

// notifies reports whether the unit's job is done only when its process says that it is ready.
func (u unit) notifies() bool { return strings.HasPrefix(u.text("Type"), "notify") }

// state is the unit's state in this package's words.
func (u unit) state() State {
	switch active, sub := u.text("ActiveState"), u.text("SubState"); {
	case sub == "auto-restart":
		return Restarting
	case active == "active" && sub != "exited":
		return Running
	case active == "activating":
		return Starting
	case active == "reloading":
		return Reloading
	case active == "deactivating":
		return Stopping
	case active == "failed":
		return Failed
	}
	return Stopped
}

// since is when the unit came to its state.
func (u unit) since() time.Time {
	if micro := u.number("StateChangeTimestamp"); micro > 0 {
		return time.UnixMicro(micro)
	}
	return time.Time{}
}

// why is how the unit's main process ended the last time, in words.
func (u unit) why() string {
	switch u.text("Result") {
	case "start-limit-hit":
		return "it ended too often in a short time, and systemd does not start it any more"
	case "timeout":
		return "it took too long"
	case "oom-kill":
		return "the kernel killed it, since memory ran out"
	case "resources":
		return "systemd could not prepare what it takes to run"
	case "protocol":
		return "it ended before it said that it was ready"
	case "watchdog":
		return "it gave no sign of life any more"
	}
	status := u.number("ExecMainStatus")
	switch u.number("ExecMainCode") {
	case 1: // CLD_EXITED
		if special, known := execStatuses[status]; known {
			return special
		}
		return fmt.Sprintf("it ended with status %d", status)
	case 2, 3: // CLD_KILLED, CLD_DUMPED
		return "it was ended by signal " + signalName(status)
	}
	return ""
}

// execStatuses are those that systemd gives to processes which it could not execute (systemd.exec(5)).
var execStatuses = map[int64]string{
	200: "its working directory is not there, or not for its user",
	203: "its program cannot be executed",
	209: "its log cannot be opened",
	216: "its group is not there",
	217: "its user is not there",
}

// Status asks systemd about the units, and the kernel about their processes.
func (s *Systemd) Status(ctx context.Context, services []installation.Service) (all []Status, err error) {
	for _, service := range services {
		status, err := s.status(ctx, service)
		if err != nil {
			return nil, err
		}
		all = append(all, status)
	}
	return all, nil
}

func (s *Systemd) status(ctx context.Context, service installation.Service) (Status, error) {
	status := Status{Service: service.Name, Unit: service.Unit, Socket: service.Socket}
	u, err := s.unit(ctx, service)
	if _, missing := err.(*missingUnit); missing {
		status.State = NotThere
		return status, nil
	}
	if err != nil {
		return Status{}, err
	}
	status.State, status.PID, status.Since = u.state(), u.pid(), u.since()
	status.Restarts = int(u.number("NRestarts"))
	status.Enabled = strings.HasPrefix(u.text("UnitFileState"), "enabled")
	status.Listening = listens(service.Socket)
	switch status.State {
	case Failed, Restarting:
		status.Why = u.why()
		status.LastWords = lastWords(s.said(ctx, service, 0, time.Time{}), 3)
	case Running, Reloading:
		status.Memory = memory(status.PID)
		status.Changed = u.changed(service)
	}
	return status, nil
}

// memory is what a process and all below it use, in bytes; 0 when this user may not know.
func memory(pid int) (sum int64) {
	all := []int{pid}
	for _, p := range process.Descendants(pid) {
		all = append(all, p.PID)
	}
	for _, pid := range all {
		pss, err := worker.PSS(pid)
		if err != nil {
			continue // it has ended, or is not this user's
		}
		sum += pss
	}
	return sum
}
