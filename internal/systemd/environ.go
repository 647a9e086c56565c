package systemd

import (
	"slices"
	"strings"
)

// By these variables systemd speaks to the main process of a unit. Children that find them would speak, or listen, in
// its place.
var (
	conversation = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
	activation   = []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
)

// Skipped reports whether the user wants Serval to keep out of the conversation with systemd (PUMA_SKIP_SYSTEMD, Puma
// 6.5): the app, or what starts Serval, has it then. Sockets are taken all the same.
func Skipped(environ []string) bool { return lookup(environ, "PUMA_SKIP_SYSTEMD") != "" }

// ForChildren is an environment ("NAME=value") without what systemd meant for this process alone. Under
// PUMA_SKIP_SYSTEMD the conversation is left to the children.
func ForChildren(environ []string) []string {
	skipped := Skipped(environ)
	rest := make([]string, 0, len(environ))
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !slices.Contains(activation, name) && (skipped || !slices.Contains(conversation, name)) {
			rest = append(rest, entry)
		}
	}
	return slices.Clip(rest) // those that append to it must not meet in one array
}

// lookup is the value of a variable. The last one wins, as in os/exec.
func lookup(environ []string, name string) (value string) {
	for _, entry := range environ {
		if n, v, ok := strings.Cut(entry, "="); ok && n == name {
			value = v
		}
	}
	return value
}
