package backend

import (
	"slices"
	"strings"

	"serval/internal/installation"
	"serval/internal/process"
)

// changed are the variables whose values a start would give to a service's main process, and which that has otherwise now, or
// has and would not get; none when nobody can tell.
func (u unit) changed(service installation.Service) []string {
	env, known, err := process.Environ(u.pid())
	if err != nil || !known || env["INVOCATION_ID"] == "" { // systemd always gives that
		return nil
	}
	given, _ := u["Environment"].([]string)
	// Without files of systemd's, the process reads them itself, at each of its restarts.
	if files, _ := u["EnvironmentFiles"].([][]any); len(files) > 0 {
		given = append(slices.Clone(given), service.Env...)
	}
	return Changed(env, given)
}

// Changed compares the environment that a process was started with, and what it would be given now: the names of variables
// that have another value or none, sorted.
func Changed(env map[string]string, given []string) (names []string) {
	now := map[string]string{}
	for _, entry := range given {
		name, value, _ := strings.Cut(entry, "=")
		now[name] = value
	}
	for name, value := range now {
		if isLogin(name) {
			continue
		}
		if was, there := env[name]; !there || was != value && !(name == "PATH" && strings.HasSuffix(was, ":"+value)) {
			names = append(names, name)
		}
	}
	// A process that has executed itself again has what it has added to its own environment, too.
	if !hasPrefix(env, "SERVAL_HANDOVER", "PUMA_INHERIT", "UNICORN_FD", "BUNDLE", "RUBYOPT") {
		for name := range env {
			if _, still := now[name]; !still && !isGiven(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// isLogin reports whether a variable is about the user, which systemd gives only when the unit names one.
func isLogin(name string) bool { return name == "HOME" || name == "USER" || name == "LOGNAME" }

func hasPrefix(env map[string]string, prefixes ...string) bool {
	for name := range env {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}

// isGiven reports whether a variable is one that systemd itself gives (systemd.exec(5)), or a shell.
func isGiven(name string) bool {
	switch name {
	case "PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MANAGERPID", "MAINPID", "PIDFILE",
		"NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "FDSTORE", "SYSTEMD_NSS_DYNAMIC_BYPASS", "PWD", "OLDPWD", "SHLVL", "_":
		return true
	}
	for _, prefix := range []string{"LISTEN_", "WATCHDOG_", "MEMORY_PRESSURE_", "LC_", "XDG_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.HasSuffix(name, "_DIRECTORY")
}
