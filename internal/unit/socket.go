package unit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"serval/internal/installation"
	"serval/internal/procfile"
)

// Servers that take a socket that systemd has opened for them, found by its path (LISTEN_FDS; Unicorn, Puma, Serval).
var activated = []string{"Serval", "Puma", "Unicorn"}

// socketName is the name of the web server's socket unit; empty where it can have none.
func socketName(s installation.Service) string {
	command, _ := procfile.Split(s.Process.Command)
	// LISTEN_PID names the main process, and a shell that stays in front is not the web server.
	if s.Socket == "" || command.Bare || !slices.Contains(activated, s.Process.Server) || s.Process.SocketGuessed || !absolute(s) {
		return ""
	}
	return strings.TrimSuffix(s.Unit, ".service") + ".socket"
}

// absolute reports whether the command names its socket by an absolute path. Servers compare that with the path of what they are
// given, letter by letter, and would take a relative one for another socket.
func absolute(s installation.Service) bool {
	written := os.Expand(s.Process.Socket, func(name string) string {
		name, otherwise, _ := strings.Cut(name, ":-")
		for _, entry := range s.Env {
			if value, found := strings.CutPrefix(entry, name+"="); found && value != "" {
				return value
			}
		}
		return otherwise
	})
	return filepath.IsAbs(strings.TrimPrefix(strings.TrimPrefix(written, "unix:"), "//"))
}

// Listens reports whether a file is a unit that install has written for a socket.
func Listens(path, socket string) bool {
	if filepath.Ext(path) != ".socket" {
		return false
	}
	text, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(text), "\nListenStream="+percent(socket)+"\n")
}

// gateName is the name of what the socket starts when somebody connects.
func gateName(socket string) string { return strings.TrimSuffix(socket, ".socket") + "_gate.service" }

// socket is the unit of the web server's socket. systemd keeps it open through restarts and stops, and clients wait in its
// queue. They must not start a web server that somebody has stopped, so it is the gate that they start.
func (r *rendering) socket(s installation.Service, name string) string {
	var t text
	r.head(&t, name)
	t.section("Unit")
	t.set("Description", percent(r.plan.App+": socket of the web server"))
	t.section("Socket")
	t.set("ListenStream", percent(s.Socket))
	t.set("Service", gateName(name))
	t.set("SocketUser", percent(s.User))
	t.set("SocketGroup", percent(s.Group))
	t.set("SocketMode", "0666") // nginx runs as somebody else
	t.set("Backlog", "4096")
	t.section("Install")
	t.set("WantedBy", "sockets.target")
	return t.String()
}

// gate is the unit that takes the place of the web server as what the socket starts: it does nothing, and as long as it is there
// systemd leaves clients in the queue.
func (r *rendering) gate(socket string) string {
	var t text
	r.head(&t, gateName(socket))
	t.section("Unit")
	t.set("Description", percent(r.plan.App+": clients wait for the web server"))
	t.set("BindsTo", socket)
	t.set("After", socket)
	t.section("Service")
	t.set("Type", "oneshot")
	t.set("RemainAfterExit", "yes")
	t.set("ExecStart", "/bin/true")
	return t.String()
}
