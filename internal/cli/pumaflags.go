package cli

// pumaFlag is a flag of Puma's that this version of Serval does not take. It is known so that people who bring their
// command line along learn what to do instead.
type pumaFlag struct{ name, short, remedy string }

var pumaOnly = []pumaFlag{
	{"bind-to-activated-sockets", "", "name the address with --bind"},
	{"config", "C", "give the file's settings as flags"},
	{"no-config", "", "leave it out, since no config file is read"},
	{"control-url", "", "leave it out, and send signals to the process named in --pidfile"},
	{"control-token", "", "leave it out, since there is no control server"},
	{"debug", "", "leave it out; -v logs the requests"},
	{"extra-runtime-dependencies", "", "leave it out, since Bundler is never loaded outside the workers"},
	{"fork-worker", "f", "leave it out; each worker loads the app itself"},
	{"plugin", "", "leave it out"},
	{"preload", "", "leave it out; each worker loads the app itself"},
	{"prune-bundler", "", "leave it out, since Bundler is never loaded outside the workers"},
	{"restart-cmd", "R", "leave it out"},
	{"state", "S", "use --pidfile"},
}

func (p *pumaFlag) Set(string) error {
	return usagef("--%s is not supported by serval %s: %s", p.name, Version, p.remedy)
}

func (p *pumaFlag) String() string { return "" }

func (p *pumaFlag) Type() string { return "" }
