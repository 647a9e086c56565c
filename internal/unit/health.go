package unit

import (
	"strconv"
	"strings"

	"serval/internal/installation"
	"serval/internal/procfile"
	"serval/internal/site"
)

// healthName is the name of the unit that watches over another one: PREFIX_web_server_health.service for the web server, and
// PREFIX_health_NAME@.service for PREFIX_process_NAME@.service, with the number of an instance if there is to be one.
func healthName(unit, number string) string {
	if template, isTemplate := strings.CutSuffix(unit, "@.service"); isTemplate {
		return strings.Replace(template, "_process_", "_health_", 1) + "@" + number + ".service"
	}
	return strings.TrimSuffix(unit, ".service") + "_health.service"
}

// health is the unit that watches over a process: serval health asks, as the process's user and in its environment, and stops it
// when it is not well. systemd starts it again, as after any other end.
func (r *rendering) health(s installation.Service, name string) string {
	watched := strings.Replace(s.Unit, "@.", "@"+installation.Instance+".", 1)
	var t text
	r.head(&t, name)
	t.section("Unit")
	t.set("Description", percent(r.plan.App+": health of "+watched))
	t.set("BindsTo", percent(watched))
	t.set("After", percent(watched))
	t.set("StartLimitIntervalSec", "0")
	t.section("Service")
	t.set("Type", "simple")
	t.set("User", percent(s.User))
	t.set("Group", percent(s.Group))
	t.set("WorkingDirectory", percent(s.Directory))
	r.environment(&t, s, false)
	t.command("ExecStart", r.healthCommand(s, watched)...)
	t.set("Restart", "always")
	t.set("RestartSec", "5")
	return t.String()
}

func (r *rendering) healthCommand(s installation.Service, watched string) []string {
	h := s.Process.Health
	argv := []string{r.Serval, "health", "--every", h.Interval.String(), "--timeout", h.Timeout.String(), "--failures", strconv.Itoa(h.Failures), "--stop", s.Process.StopSequence.String()}
	if command, _ := procfile.Split(s.Process.Command); command.Bare {
		argv = append(argv, "--children")
	}
	switch {
	case h.Command != "":
		argv = append(argv, "--command", h.Command)
	case strings.HasPrefix(h.URL, "/") && s.Socket != "":
		argv = append(argv, "--socket", s.Socket, "--url", "http://localhost"+h.URL)
	case strings.HasPrefix(h.URL, "/"):
		argv = append(argv, "--url", "http://"+site.Address(s.Address)+h.URL)
	default:
		argv = append(argv, "--url", h.URL)
	}
	return append(argv, watched)
}
