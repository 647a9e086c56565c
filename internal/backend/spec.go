package backend

import (
	"net"
	"strconv"
	"strings"
	"time"

	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/procfile"
	"serval/internal/supervisor"
)

// How often a process's memory is looked at, and how often in a row it may be too much.
const (
	memoryInterval = 10 * time.Second
	memoryFailures = 3
)

// SpecOf is a service as the supervisor knows it.
func SpecOf(s installation.Service) supervisor.Spec {
	spec := supervisor.Spec{
		Name: s.Name, Argv: s.Argv, Env: s.Env, Directory: s.Directory, User: s.User, Group: s.Group, Log: s.Log,
		PIDFile: s.PIDFile, Stop: s.Process.StopSequence, DependsOn: s.Process.DependsOn,
	}
	if command, err := procfile.Split(s.Process.Command); err == nil {
		spec.Family = command.Bare
	}
	if s.Socket != "" {
		spec.Ready = supervisor.Ready{Network: "unix", Address: s.Socket}
	}
	if limit := s.Process.MemoryLimit; limit > 0 {
		spec.Checks = append(spec.Checks, supervisor.Check{Kind: supervisor.Memory, Below: float64(limit), Every: memoryInterval, Times: memoryFailures})
	}
	if health := s.Process.Health; health != nil {
		if check, possible := healthCheck(s, *health); possible {
			spec.Checks = append(spec.Checks, check)
		}
	}
	return spec
}

// healthCheck is the manifest's health check. A path is asked of the web server on its own socket or port; it is not possible
// where nobody knows those.
func healthCheck(s installation.Service, h plan.Health) (check supervisor.Check, possible bool) {
	check = supervisor.Check{Kind: supervisor.HTTP, URL: h.URL, Command: h.Command, Every: h.Interval, Timeout: h.Timeout, Times: h.Failures}
	switch {
	case h.Command != "":
		check.Kind = supervisor.Command
	case strings.HasPrefix(h.URL, "/") && s.Socket != "":
		check.Socket, check.URL = s.Socket, "http://localhost"+h.URL
	case strings.HasPrefix(h.URL, "/"):
		host, known := reachable(s.Address)
		check.URL = "http://" + host + h.URL
		return check, known
	}
	return check, true
}

// reachable is where to find a server that listens on a port, or on an address, which may be that of all interfaces.
func reachable(address string) (host string, known bool) {
	address = strings.TrimPrefix(address, "tcp://")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = "", address
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), true
}
