package systemd

import "strings"

// ours are the variables by which systemd speaks to the main process of a unit. Children that find them would speak, or
// listen, in its place.
var ours = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}

// Skipped reports whether the user wants Serval to keep out of the conversation with systemd (PUMA_SKIP_SYSTEMD, Puma
// 6.5): the app, or what starts Serval, has it then.
func Skipped(environ []string) bool { return lookup(environ, "PUMA_SKIP_SYSTEMD") != "" }

// ForChildren is an environment ("NAME=value") without what systemd meant for this process alone. Under
// PUMA_SKIP_SYSTEMD the whole of it is for the children.
func ForChildren(environ []string) []string {
	if Skipped(environ) {
		return environ
	}
	rest := make([]string, 0, len(environ))
	for _, entry := range environ {
		if !isOurs(entry) {
			rest = append(rest, entry)
		}
	}
	return rest[:len(rest):len(rest)] // those that append to it must not meet in one array
}

func isOurs(entry string) bool {
	name, _, _ := strings.Cut(entry, "=")
	for _, our := range ours {
		if name == our {
			return true
		}
	}
	return false
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
