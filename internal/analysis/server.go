package analysis

import (
	"slices"
	"syscall"

	"serval/internal/manifest"
	"serval/internal/plan"
	"serval/internal/procfile"
	"serval/internal/sequence"
)

// server is what is known about a web server.
type server struct {
	name     string
	gem      string   // empty: it takes none
	programs []string // that start it
	restart  syscall.Signal
	stop     sequence.Sequence
	configs  []string // files it reads by itself, ENV standing for the environment; only the first of them that is there
	flags    []string // that name a configuration file
	sockets  []string // that name a socket to listen on
	pids     []string // that name a pid file
}

var (
	terms = sequence.MustParse("term, 90, kill")

	passenger = server{name: "Passenger", gem: "passenger"}
	puma      = server{name: "Puma", gem: "puma", programs: []string{"puma"}, restart: syscall.SIGUSR2, stop: terms, configs: []string{"config/puma/ENV.rb", "config/puma.rb"},
		flags: []string{"-C", "--config"}, sockets: []string{"-b", "--bind"}, pids: []string{"--pidfile"}}
	unicorn = server{name: "Unicorn", gem: "unicorn", programs: []string{"unicorn", "unicorn_rails"}, restart: syscall.SIGUSR2, stop: sequence.MustParse("quit, 75, term, 15, kill"),
		flags: []string{"-c", "--config-file"}, sockets: []string{"-l", "--listen"}, pids: []string{"-P", "--pid"}}
	thin = server{name: "Thin", gem: "thin", programs: []string{"thin"}, restart: syscall.SIGHUP, stop: sequence.MustParse("quit, 75, int, 15, kill"),
		flags: []string{"-C", "--config"}, sockets: []string{"-S", "--socket"}, pids: []string{"-P", "--pid"}}
	serval = server{name: "Serval", programs: []string{"serval"}, restart: syscall.SIGUSR2, stop: terms, configs: []string{"config/serval.rb", "config/puma/ENV.rb", "config/puma.rb"},
		flags: []string{"-C", "--config"}, sockets: []string{"-b", "--bind"}, pids: []string{"--pidfile"}}

	known = []server{puma, unicorn, thin, serval}
)

// anyServer is a web server that nothing is known about: the generic row of the signals' table.
func anyServer(name string) server {
	return server{name: name, restart: syscall.SIGHUP, stop: terms}
}

// chooseServer finds the web server: custom_web's, or Passenger where there is no custom_web.
func (a *analyst) chooseServer() {
	web := a.procfile.Entry(procfile.CustomWeb)
	if web == nil {
		a.server = passenger
		a.result.Server = Server{Found: a.locked(passenger), Why: "no custom_web in the Procfile"}
		if a.result.Procfile == "" {
			a.result.Server.Why = "no Procfile"
		}
		return
	}
	command, _ := procfile.Split(web.Command)
	a.program = mainProgram(command)
	a.server = a.serverOf(a.program)
	a.result.Server = Server{Found: a.locked(a.server), Why: "custom_web runs it"}
	place := a.procfile.Place(*web)
	a.result.Server.From = &place
}

// locked is a web server with the version that the bundle has.
func (a *analyst) locked(s server) Found { return Found{Name: s.name, Version: a.gems[s.gem].version} }

// serverOf finds out which web server a program is.
func (a *analyst) serverOf(p program) server {
	for _, s := range known {
		if slices.Contains(s.programs, p.name) {
			return s
		}
	}
	_, isServer := p.has("server", "s")
	if p.name == "rackup" || p.name == "rails" && isServer {
		return a.rackServer(p)
	}
	return anyServer(p.name)
}

// rackServer is the one that rackup and rails server start: the one that is asked for, or the first that the bundle has.
func (a *analyst) rackServer(p program) server {
	flags := []string{"-s", "--server"}
	if p.name == "rails" {
		flags = []string{"-u", "--using"}
	}
	asked, explicit := p.flag(flags...)
	for _, s := range []server{puma, thin} {
		if _, there := a.gems[s.gem]; explicit && asked.Text == s.gem || !explicit && there {
			s.flags = nil // the flags are those of rackup and rails, and the server's own are not known to them
			s.sockets, s.pids = nil, []string{"-P", "--pid"}
			return s
		}
	}
	if explicit {
		return anyServer(asked.Text)
	}
	return anyServer("WEBrick")
}

// defaults are the signals of a process that the manifest says nothing about, and whose they are.
func (a *analyst) defaults(p program, web bool) (restart syscall.Signal, stop sequence.Sequence, whose string) {
	_, resque := p.has("resque:work", "resque:workers")
	switch {
	case a.Bluepill:
		return bluepillDefaults(p, web)
	case web:
		return a.server.restart, a.server.stop, a.server.name
	case p.name == "sidekiq":
		return 0, terms, "Sidekiq"
	case resque || p.name == "resque" || p.name == "resque-pool":
		return 0, sequence.MustParse("quit, 75, term, 15, kill"), "Resque"
	}
	return 0, terms, "any process"
}

// bluepillDefaults are the signals under Bluepill, which are the same for all web servers.
func bluepillDefaults(p program, web bool) (restart syscall.Signal, stop sequence.Sequence, whose string) {
	stop = sequence.MustParse("quit, 30, term, 11, kill")
	if p.name == "sidekiq" {
		stop = sequence.MustParse("term, 31, kill")
	}
	if web {
		restart = syscall.SIGUSR2
	}
	return restart, stop, "Bluepill"
}

// plan makes the plan.
func (a *analyst) plan() {
	p := plan.Plan{App: a.App, Directory: a.Directory, Environment: a.Environment, Prefix: a.result.Prefix}
	for _, e := range a.entries() {
		process, from := a.process(e)
		p.Add(process)
		from.Process, from.Unit = p.Processes[len(p.Processes)-1], p.Template(process)
		a.result.Processes = append(a.result.Processes, from)
	}
	a.result.Plan = p
}

// entries are the entries of the Procfile that are run, the web server first.
func (a *analyst) entries() []procfile.Entry {
	entries := a.procfile.Processes()
	slices.SortStableFunc(entries, func(x, y procfile.Entry) int {
		switch procfile.CustomWeb {
		case x.Name:
			return -1
		case y.Name:
			return 1
		}
		return 0
	})
	return entries
}

// process makes a process of an entry and what the manifest says about it.
func (a *analyst) process(e procfile.Entry) (plan.Process, Process) {
	command, _ := procfile.Split(e.Command)
	web := e.Name == procfile.CustomWeb
	restart, stop, whose := a.defaults(mainProgram(command), web)
	from := Process{Line: a.procfile.Place(e), RestartFrom: "default of " + whose, SequenceFrom: "default of " + whose}
	p := plan.Process{Name: e.Name, Web: web, Count: 1, Command: e.Command, Environment: a.environment(), RestartSignal: plan.Signal(restart), StopSequence: stop, RestartOnDeploy: true}
	if web {
		p.Name, p.Server = "web", a.server.name
		a.config = a.webConfig(e)
		p.Socket, p.SocketGuessed = a.webSocket(e)
		p.PIDFile = a.webPid(e)
		if p.Socket == "" {
			p.Address = a.webAddress()
		}
	}
	if says := a.settings(e); says != nil {
		a.adopt(&p, &from, says)
	}
	return p, from
}

// settings is what the manifest says about an entry.
func (a *analyst) settings(e procfile.Entry) *manifest.Process {
	if says := a.manifest.Process(e.Name); says != nil || e.Name != procfile.CustomWeb {
		return says
	}
	return a.manifest.Process(procfile.Web)
}

// adopt takes over what the manifest says about a process.
func (a *analyst) adopt(p *plan.Process, from *Process, says *manifest.Process) {
	if says.RestartSignal != nil && p.Web {
		p.RestartSignal, from.RestartFrom = *says.RestartSignal, says.Of("restart_signal").String()
	}
	if says.StopSequence != nil {
		p.StopSequence, from.SequenceFrom = says.StopSequence, says.Of("stop_sequence").String()
	}
	if says.RestartOnDeploy != nil {
		p.RestartOnDeploy = *says.RestartOnDeploy
	}
	if says.Count != nil && !p.Web {
		p.Count = *says.Count
	}
	p.MemoryLimit, p.User, p.DependsOn, p.Health = says.MemoryLimit, says.User, says.DependsOn, says.Health
	for i, name := range p.DependsOn {
		if name == procfile.CustomWeb {
			p.DependsOn[i] = procfile.Web
		}
	}
}

// The paths that nginx and scripts know the web server by.
const (
	webSocket = "/tmp/web_server.sock"
	webPid    = "/tmp/web_server.pid"
)

// environment is what every process is told.
func (a *analyst) environment() map[string]string {
	return map[string]string{
		"RACK_ENV": a.Environment, "RAILS_ENV": a.Environment, "STACK_PATH": a.Directory,
		"CUSTOM_WEB_SOCKET_FILE": "unix://" + webSocket, "CUSTOM_WEB_PID_FILE": webPid,
	}
}
