package analysis

import (
	"path"
	"regexp"
	"strings"
	"syscall"

	"serval/internal/finding"
	"serval/internal/plan"
	"serval/internal/procfile"
	"serval/internal/sequence"
)

var (
	daemonizes    = regexp.MustCompile(`^:?(daemonize|daemon)\b(?:\s*:|\()?\s*(true|yes)?\)?\s*$`)
	preloadsApp   = regexp.MustCompile(`^preload_app!(?:\s|\(|$)\s*(false)?`)
	preloadsTrue  = regexp.MustCompile(`^preload_app[\s(]+true`)
	prunes        = regexp.MustCompile(`^prune_bundler\b(?:\s|\(|$)\s*(false)?`)
	workersLine   = regexp.MustCompile(`^workers\b[\s(]*([^)\s]+)`)
	redirects     = regexp.MustCompile(`^stdout_redirect\b`)
	socketLine    = regexp.MustCompile(`^(?:bind|listen)\b.*(?:["']/|unix:|CUSTOM_WEB_SOCKET_FILE|#\{).*`)
	portLine      = regexp.MustCompile(`^(?:port|listen|:?port:)[\s(]+(\d+)`)
	thinSocket    = regexp.MustCompile(`^:?socket:.*`)
	pidLine       = regexp.MustCompile(`^(?:pidfile|pid|:?pid:)(?:\s|\(|$).*`)
	literalPath   = regexp.MustCompile(`[\s"'(:](?:unix:(?://)?)?(/[^\s"'?#/][^\s"'?#]*)["']?`) // in a line of a configuration
	oldMaster     = regexp.MustCompile(`\.oldbin`)
	beforeFork    = regexp.MustCompile(`^before_fork\b`)
	socketOfAnApp = regexp.MustCompile(`^(?:unix:|/|\$\{?CUSTOM_WEB_SOCKET_FILE)`)
)

// webCheck is what is looked at to check the web server.
type webCheck struct {
	*analyst
	entry   procfile.Entry
	process *plan.Process
	restart finding.Place // where its restart signal is said, or its command where it is a default
	stop    finding.Place // the same of its stop sequence
}

// checkWeb looks at the web server: whether it can be started, found and restarted as it is meant to be.
func (a *analyst) checkWeb(e procfile.Entry) {
	w := webCheck{analyst: a, entry: e, process: a.result.Plan.Process(procfile.Web)}
	w.restart, w.stop = a.procfile.Place(e), a.procfile.Place(e)
	if says := a.settings(e); says != nil {
		if says.Says("restart_signal") {
			w.restart = says.Of("restart_signal")
		}
		if says.Says("stop_sequence") {
			w.stop = says.Of("stop_sequence")
		}
	}
	w.checkGem()
	w.checkConfig()
	w.checkSocket()
	w.checkPid()
	switch a.server.name {
	case puma.name:
		w.checkPuma()
	case unicorn.name:
		w.checkUnicorn()
	case thin.name:
		w.checkThin()
	case serval.name:
		w.checkServal()
	default:
		w.checkOther()
	}
}

// webConfig reads the web server's configuration file, as text. One that the command names has to be there.
func (a *analyst) webConfig(e procfile.Entry) config {
	if named, found := a.program.flag(a.server.flags...); found {
		name := path.Clean(named.Text)
		if path.IsAbs(name) || strings.Contains(name, "$") || name == "-" || strings.HasPrefix(name, "..") {
			return config{path: name} // not one of the app's files
		}
		text, there := a.read(name)
		if !there {
			a.warn(a.word(e, named.Column), "write it, or take the flag out", "%s is not there", name)
		}
		return config{name, rubyCode(text)}
	}
	for _, name := range a.server.configs {
		name = strings.ReplaceAll(name, "ENV", a.Environment)
		if text, there := a.read(name); there {
			return config{name, rubyCode(text)}
		}
	}
	return config{}
}

// checkGem warns when the bundle does not have the web server.
func (w webCheck) checkGem() {
	gem := w.server.gem
	if gem == "" || w.result.Bundle.Gemfile == "" {
		return
	}
	if _, there := w.gems[gem]; !there {
		file := w.result.Bundle.Lock
		if file == "" {
			file = w.result.Bundle.Gemfile
		}
		w.warn(w.word(w.entry, w.program.column), "write gem \""+gem+"\" into "+w.result.Bundle.Gemfile+" and run bundle install", "custom_web runs %s, and %s does not have it", w.server.name, file)
	}
}

// checkConfig finds the lines of a configuration by which the web server would go into the background.
func (w webCheck) checkConfig() {
	if at, m := w.config.find(daemonizes); m != nil {
		w.warnBackground(at, "take the line out, processes stay in the foreground", "%s sends %s into the background, where it would be taken for ended", m[1], w.server.name)
	}
}

// checkSocket warns when the web server listens where nginx does not look.
func (w webCheck) checkSocket() {
	if w.process.Socket != "" {
		return
	}
	remedy := "listen on " + webSocket
	if w.server.sockets != nil {
		value := "unix://" + webSocket
		if w.server.name == unicorn.name || w.server.name == thin.name {
			value = webSocket
		}
		remedy = "add " + w.server.sockets[len(w.server.sockets)-1] + " " + value
	}
	w.warn(w.word(w.entry, w.program.column), remedy, "%s listens on no unix socket, and nginx looks for %s", w.server.name, webSocket)
}

// webSocket is the unix socket that the web server's command names. Where the command leaves it to a file or to a variable,
// it is the one that all of them are told.
func (a *analyst) webSocket(e procfile.Entry) (socket string, guessed bool) {
	for _, value := range a.program.flags(a.server.sockets...) {
		if socketOfAnApp.MatchString(value.Text) {
			return value.Text, false
		}
	}
	for _, pattern := range []*regexp.Regexp{socketLine, thinSocket} {
		if _, line := a.config.find(pattern); line != nil {
			if path := literalPath.FindStringSubmatch(line[0]); path != nil {
				return path[1], false
			}
			return "$CUSTOM_WEB_SOCKET_FILE", !strings.Contains(line[0], "CUSTOM_WEB_SOCKET_FILE")
		}
	}
	told := strings.Contains(e.Command, "CUSTOM_WEB_SOCKET_FILE")
	if told || a.server.sockets == nil && strings.Contains(e.Command, ".sock") {
		return "$CUSTOM_WEB_SOCKET_FILE", !told
	}
	return "", false
}

// webAddress is the address or the port that the web server's command or its configuration names.
func (a *analyst) webAddress() string {
	flags := append([]string{"-p", "--port"}, a.server.sockets...)
	if value, found := a.program.flag(flags...); found {
		return value.Text
	}
	if _, line := a.config.find(portLine); line != nil {
		return line[1]
	}
	return ""
}

// webPid is the pid file that the web server's command names, in the same way.
func (a *analyst) webPid(e procfile.Entry) string {
	if value, found := a.program.flag(a.server.pids...); found {
		return value.Text
	}
	if _, line := a.config.find(pidLine); line != nil {
		if path := literalPath.FindStringSubmatch(line[0]); path != nil {
			return path[1]
		}
		return "$CUSTOM_WEB_PID_FILE"
	}
	if strings.Contains(e.Command, "CUSTOM_WEB_PID_FILE") || strings.Contains(e.Command, ".pid") {
		return "$CUSTOM_WEB_PID_FILE"
	}
	return ""
}

// checkPid warns when nobody can tell the web server's process.
func (w webCheck) checkPid() {
	if w.process.PIDFile != "" {
		return
	}
	switch {
	case w.server.name == thin.name: // in the foreground it writes none, flag or not (seen with Thin 1.8.1)
	case w.server.name == unicorn.name:
		w.warn(w.word(w.entry, w.program.column), "write pid \""+webPid+"\" into its configuration", "Unicorn writes no pid file, by which a restart finds the old master")
	case w.server.pids != nil:
		w.warn(w.word(w.entry, w.program.column), "add "+w.server.pids[len(w.server.pids)-1]+" "+webPid, "%s writes no pid file, and scripts and Bluepill look for %s", w.server.name, webPid)
	}
}

// restartsBy reports whether a signal is what restarts the web server.
func (w webCheck) restartsBy(signal syscall.Signal) bool {
	return syscall.Signal(w.process.RestartSignal) == signal
}

// preloads returns where Puma is told to load the app before it forks. Puma 7 does so by itself with more than one worker.
func (w webCheck) preloads() (at finding.Place, preloads bool) {
	if flag, found := w.program.has("--preload"); found {
		return w.word(w.entry, flag.Column), true
	}
	at, m := w.config.find(preloadsApp)
	return at, m != nil && m[1] != "false"
}

// workers reports whether Puma has worker processes, as far as files tell.
func (w webCheck) workers() bool {
	count, found := w.program.flag("-w", "--workers")
	if found {
		return count.Text != "0"
	}
	_, m := w.config.find(workersLine)
	return m != nil && m[1] != "0" || strings.Contains(w.entry.Command, "WEB_CONCURRENCY=")
}

// checkPuma knows what Puma's signals mean (docs/signals.md of Puma 5 to 8).
func (w webCheck) checkPuma() {
	if w.restartsBy(syscall.SIGUSR1) {
		w.checkPhased()
	}
	if w.restartsBy(syscall.SIGHUP) {
		if _, flag := w.program.flag("--redirect-stdout"); flag || w.config.has(redirects) {
			w.warn(w.restart, "write restart_signal: usr2, or usr1 for a rolling restart", "at hup Puma opens its logs again and restarts nothing")
		} else {
			w.warn(w.restart, "write restart_signal: usr2, or usr1 for a rolling restart", "Puma stops at hup, since it has no stdout_redirect")
		}
	}
	w.checkStop(map[syscall.Signal]string{syscall.SIGUSR1: "a phased restart", syscall.SIGUSR2: "a restart", syscall.SIGTTIN: "one worker more", syscall.SIGQUIT: "an end without finishing requests"}, "term")
}

// checkPhased looks whether Puma can restart worker by worker.
func (w webCheck) checkPhased() {
	_, pruned := w.config.find(prunes)
	prunes := pruned != nil && pruned[1] != "false"
	if _, flag := w.program.has("--prune-bundler"); flag {
		prunes = true
	}
	at, preloads := w.preloads()
	_, said := w.config.find(preloadsApp)
	switch {
	case preloads:
		w.warn(at, "use prune_bundler in its place", "an app that is preloaded has no phased restart, so usr1 (%s) restarts all workers at once", w.restart)
	case !w.workers():
		w.warn(w.restart, "write workers 2 into config/puma.rb, or set WEB_CONCURRENCY", "Puma has no workers, so usr1 restarts all of it at once")
	case said == nil && !prunes && atLeast(w.gems["puma"].version, 7):
		w.warn(w.restart, "write prune_bundler into config/puma.rb", "Puma %s preloads the app by itself, so usr1 restarts all workers at once", w.gems["puma"].version)
	case !prunes:
		w.warn(w.restart, "write prune_bundler into config/puma.rb", "without prune_bundler Puma's workers keep the old gems at usr1")
	}
	w.found.Add(finding.Note, w.restart, "that takes serval restart web --hard", "a phased restart of Puma does not take changes of environment variables over")
}

// checkStop warns about signals of a stop sequence that mean something else to the web server.
func (w webCheck) checkStop(meanings map[syscall.Signal]string, stop string) {
	for _, step := range w.process.StopSequence {
		if meaning := meanings[step.Signal]; meaning != "" {
			w.warn(w.stop, "use "+stop+" in its place", "%s means %s to %s", sequence.Name(step.Signal), meaning, w.server.name)
		}
	}
}

// checkUnicorn knows what Unicorn's signals mean (SIGNALS of Unicorn 6).
func (w webCheck) checkUnicorn() {
	switch {
	case w.restartsBy(syscall.SIGUSR1):
		w.warn(w.restart, "write restart_signal: usr2", "at usr1 Unicorn opens its logs again and restarts nothing")
	case w.restartsBy(syscall.SIGHUP) && w.config.has(preloadsTrue):
		at, _ := w.config.find(preloadsTrue)
		w.warn(at, "write preload_app false, or restart_signal: usr2", "Unicorn loads no new code at hup (%s) when the app is preloaded", w.restart)
	case w.restartsBy(syscall.SIGUSR2) && !(w.config.has(beforeFork) && w.config.has(oldMaster)):
		at := w.procfile.Place(w.entry)
		if w.config.path != "" {
			at = finding.Place{File: w.config.path}
		}
		w.warn(at, "send QUIT to the process of its pid file with .oldbin in before_fork", "after usr2 the old master goes on serving old code beside the new one")
	}
	if first := w.process.StopSequence[0].Signal; first == syscall.SIGTERM || first == syscall.SIGINT {
		w.warn(w.stop, "begin with quit, such as quit, 75, term, 15, kill", "%s cuts the requests that Unicorn is answering", sequence.Name(first))
	}
	w.checkStop(map[syscall.Signal]string{syscall.SIGUSR1: "new logs", syscall.SIGUSR2: "a second master", syscall.SIGHUP: "a reload"}, "quit")
}

// checkThin knows what Thin's signals mean (server.rb of Thin 1.8).
func (w webCheck) checkThin() {
	switch {
	case w.restartsBy(syscall.SIGUSR1):
		w.warn(w.restart, "write restart_signal: hup", "at usr1 Thin opens its log again and restarts nothing")
	case w.restartsBy(syscall.SIGUSR2):
		w.warn(w.restart, "write restart_signal: hup", "Thin does not know usr2, and dies of it")
	case w.restartsBy(syscall.SIGHUP):
		// Thin's main process starts its successor by backticks and waits for that (seen with Thin 1.8.1).
		w.warn(w.restart, "restart it by serval restart web --hard", "Thin in the foreground restarts itself once: after the first hup it hears neither hup nor quit any more")
	}
	w.checkStop(map[syscall.Signal]string{syscall.SIGUSR1: "a new log", syscall.SIGHUP: "a restart"}, "quit")
}

// checkServal knows what Serval's own signals mean.
func (w webCheck) checkServal() {
	if w.restartsBy(syscall.SIGHUP) {
		w.warn(w.restart, "write restart_signal: usr2, or usr1 for a phased restart", "at hup Serval opens its logs again and restarts nothing")
	}
	w.checkStop(map[syscall.Signal]string{syscall.SIGUSR1: "a phased restart", syscall.SIGUSR2: "a restart", syscall.SIGHUP: "new logs"}, "term")
}

// checkOther warns about the default of servers that nothing is known about.
func (w webCheck) checkOther() {
	if says := w.settings(w.entry); says == nil || !says.Says("restart_signal") {
		w.found.Add(finding.Note, w.procfile.Place(w.entry), "write restart_signal into the manifest if it takes another one", "%s gets hup to restart itself; a program that does not know hup dies of it", w.server.name)
	}
}
