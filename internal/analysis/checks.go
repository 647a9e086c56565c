package analysis

import (
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"serval/internal/finding"
	"serval/internal/manifest"
	"serval/internal/plan"
	"serval/internal/procfile"
	"serval/internal/sequence"
)

// check looks for what will not work as its author thinks.
func (a *analyst) check() {
	a.checkMemory()
	a.checkWebEntry()
	a.checkMetadata()
	for _, e := range a.entries() {
		command, _ := procfile.Split(e.Command)
		a.checkForeground(e, mainProgram(command))
		a.checkShell(e, command)
		a.checkVariables(e, command)
		if e.Name == procfile.CustomWeb {
			a.checkWeb(e)
		} else {
			a.checkSidekiq(e, mainProgram(command))
		}
	}
	for i := range a.result.Plan.Processes {
		a.checkSequence(&a.result.Plan.Processes[i])
	}
	a.checkDependencies()
}

func (a *analyst) warn(at finding.Place, remedy, format string, args ...any) {
	a.found.Add(finding.Warning, at, remedy, format, args...)
}

// warnBackground warns about what goes into the background.
func (a *analyst) warnBackground(at finding.Place, remedy, format string, args ...any) {
	a.warn(at, remedy, format, args...)
	a.result.Background = append(a.result.Background, a.found[len(a.found)-1])
}

// word is the place of a word of an entry's command.
func (a *analyst) word(e procfile.Entry, column int) finding.Place {
	at := a.procfile.Place(e)
	at.Column += column - 1
	return at
}

// checkMemory refuses a change to or from Passenger, which is chosen by the first analysis.
func (a *analyst) checkMemory() {
	first, now := a.Remembered, a.server.name
	if first == "" || Passenger(first) == Passenger(now) {
		return
	}
	if Passenger(now) {
		a.found.Add(finding.Error, finding.Place{File: a.procfile.Path}, "write a custom_web line, or start over with serval analyze --reset",
			"%s was the web server of the first analysis, and without custom_web it would be Passenger: a change to Passenger is not applied", first)
		return
	}
	a.found.Add(finding.Error, *a.result.Server.From, "take the custom_web line out, or start over with serval analyze --reset",
		"Passenger was the web server of the first analysis, and custom_web asks for %s: a change from Passenger is not applied", now)
}

// checkWebEntry says that web is ignored.
func (a *analyst) checkWebEntry() {
	web := a.procfile.Entry(procfile.Web)
	gem, bundled := a.gems[puma.gem]
	switch {
	case web == nil && bundled && Passenger(a.server.name) && a.Remembered == "":
		a.found.Add(finding.Note, gem.place, "write custom_web: bundle exec puma -e $RACK_ENV -b unix://"+webSocket+" --pidfile "+webPid+" into the Procfile if it is to serve the app",
			"Puma is in the bundle, and without custom_web it is Passenger that serves the app")
	case web == nil:
	case a.procfile.Entry(procfile.CustomWeb) != nil:
		a.found.Add(finding.Note, a.procfile.Place(*web), "", "web is ignored, since custom_web is the web server")
	default:
		a.warn(a.procfile.Place(*web), "call it custom_web if it is to be the web server", "web is ignored, and without custom_web it is Passenger that serves the app")
	}
}

// checkMetadata looks at the processes that the manifest names.
func (a *analyst) checkMetadata() {
	if web, custom := a.manifest.Process(procfile.Web), a.manifest.Process(procfile.CustomWeb); web != nil && custom != nil {
		a.found.Add(finding.Error, custom.Place, "write all of it below one of them", "web and custom_web are the same process, and web is in line %d", web.Place.Line)
	}
	for i := range a.manifest.Processes {
		a.checkSettings(&a.manifest.Processes[i])
	}
}

// checkSettings looks at what the manifest says about one process.
func (a *analyst) checkSettings(says *manifest.Process) {
	web := says.Name == procfile.Web || says.Name == procfile.CustomWeb
	switch {
	case web && a.procfile.Entry(procfile.CustomWeb) == nil:
		a.warn(says.Place, "write a custom_web line into the Procfile", "this has no effect, since nginx runs Passenger")
		return
	case !web && a.procfile.Entry(says.Name) == nil:
		a.warn(says.Place, a.meant(says.Name), "the Procfile has no %q", says.Name)
		return
	}
	if says.Says("restart_signal") && !web {
		a.warn(says.Of("restart_signal"), "take it out; stop_sequence says how it is stopped", "restart_signal is for the web server, %s is stopped and started", says.Name)
	}
	if says.Says("count") && web && *says.Count != 1 {
		a.warn(says.Of("count"), "set the number of workers in the web server's configuration", "there is one web server, whatever its count")
	}
	if health := says.Health; health != nil && !web && strings.HasPrefix(health.URL, "/") {
		a.found.Add(finding.Error, says.Of("health_check"), "write http://HOST:PORT"+health.URL, "%s has no socket that a path could be asked on", says.Name)
	}
}

// meant is the remedy for a process that is not there.
func (a *analyst) meant(name string) string {
	for _, e := range a.procfile.Processes() {
		if finding.Nearly(name, e.Name) || strings.HasPrefix(e.Name, name) || strings.HasPrefix(name, e.Name) {
			return "write " + e.Name + " if that is meant"
		}
	}
	return "write its name as it is there, or take this out"
}

// daemonFlags are flags by which programs go into the background, besides --daemon and --daemonize.
var daemonFlags = map[string]string{"puma": "-d", "unicorn": "-D", "unicorn_rails": "-D", "rackup": "-D", "thin": "-d", "sidekiq": "-d", "rails": "-d", "passenger": "-d", "resque-pool": "-d"}

// checkForeground finds flags by which a process would go into the background.
func (a *analyst) checkForeground(e procfile.Entry, p program) {
	const remedy = "take it out, processes stay in the foreground"
	words := []string{"--daemon", "--daemonize"}
	if flag := daemonFlags[p.name]; flag != "" {
		words = append(words, flag)
	}
	if flag, found := p.has(words...); found {
		a.warnBackground(a.word(e, flag.Column), remedy, "%s sends %s into the background, where it would be taken for ended", flag.Text, p.name)
	}
	if flag, found := p.has("BACKGROUND=yes"); found {
		a.warnBackground(a.word(e, flag.Column), remedy, "%s sends %s into the background, where it would be taken for ended", flag.Text, p.name)
	}
	if start, found := p.has("start"); found && (p.name == "delayed_job" || p.name == "clockworkd" || p.name == "daemons") {
		a.warnBackground(a.word(e, start.Column), "write run", "%s start goes into the background, where it would be taken for ended", p.name)
	}
	if p.name == "sidekiq" {
		a.checkDaemonLine("config/sidekiq.yml", regexp.MustCompile(`^:?daemon:\s*true`))
	}
}

// checkDaemonLine finds the line of a YAML file by which a process would go into the background.
func (a *analyst) checkDaemonLine(path string, pattern *regexp.Regexp) {
	text, _ := a.read(path)
	if at, m := (config{path, rubyCode(text)}).find(pattern); m != nil {
		a.warnBackground(at, "take the line out, processes stay in the foreground", "%q sends the process into the background, where it would be taken for ended", m[0])
	}
}

// checkShell warns about shells that stay in front of their programs.
func (a *analyst) checkShell(e procfile.Entry, c procfile.Command) {
	last := mainProgram(c)
	if !c.Bare || len(c.Calls) < 2 && !strings.HasSuffix(strings.TrimSpace(e.Command), "&") {
		return
	}
	if strings.HasSuffix(strings.TrimSpace(e.Command), "&") {
		a.warn(a.word(e, len(strings.TrimSpace(e.Command))), "take the & out, processes stay in the foreground", "& sends %s into the background, where it would be taken for ended", last.name)
		return
	}
	a.warn(a.word(e, last.column), "put all into a script that ends with exec",
		"a shell stays in front of %s, and gets the signals that are meant for that", last.name)
}

// checkVariables tells which values have to come from an environment file.
func (a *analyst) checkVariables(e procfile.Entry, c procfile.Command) {
	given := a.environment()
	seen := map[string]bool{}
	for _, v := range c.Variables {
		if _, there := given[v.Name]; !there && !v.Default && !seen[v.Name] {
			a.found.Add(finding.Note, a.word(e, v.Column), "give it one there, or write ${"+v.Name+":-DEFAULT}", "$%s gets its value from the environment file, and without one it is nothing", v.Name)
		}
		seen[v.Name] = true
	}
}

// sidekiqTimeout is how long Sidekiq gives its jobs after TERM.
const sidekiqTimeout = 25 * time.Second

// checkSidekiq knows what Sidekiq's signals mean.
func (a *analyst) checkSidekiq(e procfile.Entry, p program) {
	says := a.settings(e)
	if p.name != "sidekiq" || says == nil {
		return
	}
	for i, step := range says.StopSequence {
		switch {
		case step.Signal == syscall.SIGUSR1 && atLeast(a.gems["sidekiq"].version, 6):
			a.warn(says.Of("stop_sequence"), "write tstp, which has taken its place", "usr1 kills Sidekiq %s at once", a.gems["sidekiq"].version)
		case step.Signal == syscall.SIGTERM && step.Wait < sidekiqTimeout && i < len(says.StopSequence)-1:
			a.warn(says.Of("stop_sequence"), "wait 30 after term", "Sidekiq gives its jobs 25 seconds after term, and has only %d", int(step.Wait/time.Second))
		}
	}
}

// checkSequence warns about sequences that not every process ends at.
func (a *analyst) checkSequence(p *plan.Process) {
	if says := a.manifest.Process(p.Name); says != nil && says.StopSequence != nil && !p.StopSequence.Kills() {
		last := p.StopSequence[len(p.StopSequence)-1].Signal
		a.warn(says.Of("stop_sequence"), "end with kill, such as "+p.StopSequence.String()+", 15, kill", "a process that does not end at %s is left to whoever carries this out", sequence.Name(last))
	}
}

// checkDependencies refuses processes that wait for nobody, or for each other.
func (a *analyst) checkDependencies() {
	p := a.result.Plan
	for _, process := range p.Processes {
		if len(process.DependsOn) == 0 {
			continue
		}
		at := a.placeOfDependencies(process)
		for _, name := range process.DependsOn {
			if p.Process(name) == nil {
				a.found.Add(finding.Error, at, a.meant(name), "%s depends on %s, which is not in the Procfile", process.Name, name)
			}
		}
		if way := circle(p, process.Name, nil); way != nil {
			a.found.Add(finding.Error, at, "take one of these out", "%s waits for itself: %s", process.Name, strings.Join(way, " → "))
		}
	}
}

func (a *analyst) placeOfDependencies(p plan.Process) finding.Place {
	for _, name := range []string{p.Name, procfile.CustomWeb} {
		if says := a.manifest.Process(name); says != nil {
			return says.Of("depends_on")
		}
	}
	return finding.Place{File: a.result.Manifest}
}

// circle returns the way from a process back to itself, or nil.
func circle(p plan.Plan, name string, way []string) []string {
	way = append(way, name)
	process := p.Process(name)
	if process == nil {
		return nil
	}
	for _, next := range process.DependsOn {
		if next == way[0] {
			return append(way, next)
		}
		if slices.Contains(way, next) {
			continue // a circle of others, who are told
		}
		if found := circle(p, next, slices.Clone(way)); found != nil {
			return found
		}
	}
	return nil
}

// atLeast reports whether a version's first number is at least this.
func atLeast(version string, major int) bool {
	n := 0
	for _, r := range version {
		if r < '0' || r > '9' {
			break
		}
		n = n*10 + int(r-'0')
	}
	return n >= major
}
