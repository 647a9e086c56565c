package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Group is a heading of the help text.
type Group string

// The groups, in the order they are shown.
const (
	Binding   Group = "Binding"
	Processes Group = "Processes"
	Control   Group = "Control"
	Requests  Group = "Requests"
	Limits    Group = "Limits and timeouts"
	Logging   Group = "Logging"
)

// Groups lists the groups in the order they are shown.
var Groups = []Group{Binding, Processes, Control, Requests, Limits, Logging}

// Setting is one thing the command line can set. The flags, the help text and the defaults are all made from Settings.
type Setting struct {
	Name    string // the flag, without its dashes
	Short   string // its one-letter form, if it has one
	Arg     string // what its value stands for; empty for a switch
	Default string // the default, written as a value; empty: the zero value, or worked out by Load
	Group   Group
	Help    string // one line, without the default; empty: a flag that the help text does not show
	access
}

// access reads and writes a setting's fields, as text.
type access struct {
	set func(*Config, string) error
	get func(*Config) string
}

// list says of a setting that its values add up; the first one of a source takes the place of what weaker sources said.
var lists = map[string]func(*Config){
	"bind":     func(c *Config) { c.Binds, c.bindSources = nil, nil },
	"env-file": func(c *Config) { c.EnvFiles = nil },
	"plugin":   func(c *Config) { c.Plugins = nil },
	"config":   func(c *Config) { c.wanted = nil },
}

// sameAs maps settings that write the field of another to that one.
var sameAs = map[string]string{"port": "bind", "quiet": "log-requests", "no-redirect-append": "redirect-append", "no-config": "config"}

// canonical is the name under which a setting's source is kept.
func canonical(name string) string {
	if other, ok := sameAs[name]; ok {
		return other
	}
	return name
}

// Bare is the value of a flag that may be given without one; empty for those that may not.
func (s *Setting) Bare() string {
	switch s.Name {
	case "fork-worker":
		return "1000" // Puma's
	case "bind-to-activated-sockets":
		return "true"
	}
	return ""
}

// Readable says whether Value tells something: switches that undo others, and flags without effect, have no value.
func (s *Setting) Readable() bool { return s.get != nil && sameAs[s.Name] == "" }

// Value is what a setting is in c, written as on the command line.
func (s *Setting) Value(c *Config) string { return s.get(c) }

// Settings are all settings, grouped. The names and meanings of Puma's flags are Puma's; the rest is Serval's own.
var Settings = []Setting{
	{"bind", "b", "URI", "", Binding, "tcp://, unix:// or ssl:// address (repeatable)", access{addBind, func(c *Config) string { return strings.Join(c.Binds, ",") }}},
	{"config", "C", "FILE", "", Binding, "read this configuration (repeatable; - for none)", access{addFile, func(c *Config) string { return strings.Join(c.ConfigFiles, ",") }}},
	{"no-config", "", "", "", Binding, "read no configuration file", access{func(c *Config, _ string) error { return addFile(c, none) }, nil}},
	{"bind-to-activated-sockets", "", "ONLY", "", Binding, "bind every socket of systemd's; only: no other", choiceOrNone(func(c *Config) *string { return &c.ActivatedSockets }, "true", "only")},
	{"port", "p", "PORT", "", Binding, "listen on this TCP port of every address", access{addPort, nil}},

	{"workers", "w", "N", "", Processes, "worker processes, or auto (default one)", access{setWorkers, func(c *Config) string { return strconv.Itoa(c.Workers) }}},
	{"threads", "t", "MIN:MAX", "0:5", Processes, "threads in each worker", access{setThreads, func(c *Config) string { return fmt.Sprintf("%d:%d", c.MinThreads, c.MaxThreads) }}},
	{"environment", "e", "ENV", "development", Processes, "the app's RACK_ENV", text(func(c *Config) *string { return &c.Environment })},
	{"yjit", "", "WHEN", "auto", Processes, "on, off, auto: from Ruby 3.3", choice(func(c *Config) *string { return &c.YJIT }, "auto", "on", "off")},
	{"accelerator", "", "WHEN", "auto", Processes, "on, off, auto: with a C compiler", choice(func(c *Config) *string { return &c.Accelerator }, "auto", "on", "off")},
	{"dir", "", "DIR", "", Processes, "the app's directory (default this one)", text(func(c *Config) *string { return &c.Directory })},
	{"include", "I", "DIR[:DIR]", "", Processes, "directories to put first on Ruby's load path", access{addInclude, func(c *Config) string { return strings.Join(c.Include, ":") }}},
	{"rackup", "", "FILE", "", Processes, "", text(func(c *Config) *string { return &c.Rackup })},
	{"ruby", "", "PATH", "ruby", Processes, "the Ruby that runs the workers", text(func(c *Config) *string { return &c.Ruby })},
	{"pidfile", "", "PATH", "", Processes, "write the process id to a file", text(func(c *Config) *string { return &c.Pidfile })},
	{"tag", "", "NAME", "", Processes, "a name for the process list", text(func(c *Config) *string { return &c.Tag })},
	{"boot-timeout", "", "SEC", "60", Processes, "time to load the app", duration(func(c *Config) *time.Duration { return &c.BootTimeout })},
	{"shutdown-timeout", "", "SEC", "30", Processes, "time to finish requests at the end", duration(func(c *Config) *time.Duration { return &c.ShutdownTimeout })},
	{"hijack-timeout", "", "SEC", "", Processes, "more time for hijacked sockets (none)", duration(func(c *Config) *time.Duration { return &c.HijackTimeout })},
	{"idle-timeout", "", "SEC", "0", Processes, "stop when idle for so long", duration(func(c *Config) *time.Duration { return &c.IdleTimeout })},
	{"preload", "", "", "", Processes, "load the app once, fork the workers", on(func(c *Config) *bool { return &c.Preload })},
	{"fork-worker", "f", "N", "", Processes, "refork once worker 0 has served N", access{setForkWorker, func(c *Config) string { return strconv.Itoa(c.ForkWorker) }}},
	{"env-file", "", "FILE", "", Processes, "read NAME=value lines (repeatable)", access{addEnvFile, func(c *Config) string { return strings.Join(c.EnvFiles, ",") }}},
	{"worker-timeout", "", "SEC", "60", Processes, "kill a worker that is silent so long", duration(func(c *Config) *time.Duration { return &c.WorkerTimeout })},
	{"worker-check-interval", "", "SEC", "5", Processes, "time between two looks at workers", duration(func(c *Config) *time.Duration { return &c.WorkerCheckInterval })},
	{"worker-culling-strategy", "", "WHICH", "youngest", Processes, "youngest or oldest leave first", access{setCulling, getCulling}},
	{"worker-max-requests", "", "N", "0", Processes, "replace workers after so many", number(func(c *Config) *int { return &c.MaxRequests }, 0, 1<<40)},
	{"worker-max-age", "", "SEC", "0", Processes, "replace workers after so long", duration(func(c *Config) *time.Duration { return &c.MaxAge })},
	{"worker-memory-limit", "", "BYTES", "0", Processes, "replace a worker past this", size(func(c *Config) *int64 { return &c.WorkerMemoryLimit }, 0)},
	{"out-of-band-gc", "", "", "", Processes, "collect garbage while a worker is idle", on(func(c *Config) *bool { return &c.OutOfBandGC })},
	{"quiet-term", "", "", "", Processes, "end with status 0 after a TERM", on(func(c *Config) *bool { return &c.QuietTerm })},
	{"tmp-restart", "", "", "", Processes, "restart when tmp/restart.txt is touched", on(func(c *Config) *bool { return &c.TmpRestart })},
	{"plugin", "", "NAME", "", Processes, "", access{setPlugin, func(c *Config) string { return strings.Join(c.Plugins, ",") }}},
	{"debug", "", "", "", Processes, "", inert("debug", "-v logs the requests, serval ctl stats shows the workers")},
	{"prune-bundler", "", "", "", Processes, "", inert("prune-bundler", "not needed: a phased restart always loads the new Gemfile")},
	{"extra-runtime-dependencies", "", "GEMS", "", Processes, "", inert("extra-runtime-dependencies", "Bundler is never loaded outside the workers and molds")},
	{"restart-cmd", "R", "CMD", "", Processes, "", inert("restart-cmd", "a restart goes by the arguments that Serval was started with")},

	{"control-url", "", "URL", "", Control, "a control server: tcp, unix or auto", text(func(c *Config) *string { return &c.ControlURL })},
	{"control-token", "", "TOKEN", "", Control, "what its callers show, or none", text(func(c *Config) *string { return &c.ControlToken })},
	{"control-data-only", "", "", "", Control, "it only tells, and changes nothing", on(func(c *Config) *bool { return &c.ControlDataOnly })},
	{"state", "S", "FILE", "", Control, "write where the control server is", text(func(c *Config) *string { return &c.StatePath })},
	{"state-permission", "", "MODE", "0600", Control, "that file's mode", access{setStatePermission, func(c *Config) string { return fmt.Sprintf("%#o", c.StatePermission) }}},

	{"request-timeout", "", "SEC", "0", Requests, "time to begin a response", duration(func(c *Config) *time.Duration { return &c.RequestTimeout })},
	{"queue-limit", "", "N", "1024", Requests, "requests in the queue, then 503", number(func(c *Config) *int { return &c.QueueLimit }, 0, 1<<24)},
	{"queue-timeout", "", "SEC", "30", Requests, "time in the queue, then 503", duration(func(c *Config) *time.Duration { return &c.QueueTimeout })},
	{"early-hints", "", "", "", Requests, "let the app send 103 Early Hints", on(func(c *Config) *bool { return &c.EarlyHints })},
	{"request-id", "", "", "", Requests, "give each request an X-Request-Id", on(func(c *Config) *bool { return &c.RequestID })},
	{"remote-address", "", "WHAT", "socket", Requests, "header:NAME or proxy_protocol:v1", access{setRemoteAddress, func(c *Config) string { return c.RemoteAddress }}},
	{"url-scheme", "", "SCHEME", "", Requests, "http or https, whatever it is", choiceOrNone(func(c *Config) *string { return &c.URLScheme }, "http", "https")},
	{"http-methods", "", "LIST", "registered", Requests, "others 501; any", access{setMethods, getMethods}},
	{"no-underscore-headers", "", "", "", Requests, "keep headers with _ from the app", off(func(c *Config) *bool { return &c.UnderscoreHeaders })},
	{"spool-dir", "", "DIR", "", Requests, "disk for large bodies (TMPDIR or /var/tmp)", text(func(c *Config) *string { return &c.SpoolDir })},

	{"max-connections", "", "N", "16384", Limits, "client connections", number(func(c *Config) *int { return &c.MaxConnections }, 1, 1<<24)},
	{"header-timeout", "", "SEC", "30", Limits, "time to send a request head", duration(func(c *Config) *time.Duration { return &c.HeaderTimeout })},
	{"body-timeout", "", "SEC", "0", Limits, "time to send a request body", duration(func(c *Config) *time.Duration { return &c.BodyTimeout })},
	{"min-body-rate", "", "BYTES", "100", Limits, "bytes of body a second, at least", size(func(c *Config) *int64 { return &c.MinBodyRate }, 0)},
	{"write-timeout", "", "SEC", "60", Limits, "time without taking a byte", duration(func(c *Config) *time.Duration { return &c.WriteTimeout })},
	{"keepalive-timeout", "", "SEC", "65", Limits, "time between two requests; 0 closes", duration(func(c *Config) *time.Duration { return &c.KeepAliveTimeout })},
	{"max-keepalive", "", "N", "0", Limits, "requests on a connection", number(func(c *Config) *int { return &c.MaxKeepAlive }, 0, 1<<30)},
	{"max-target", "", "BYTES", "12K", Limits, "bytes of path and query, then 414", sizeInt(func(c *Config) *int { return &c.MaxTarget }, 16)},
	{"max-header", "", "BYTES", "112K", Limits, "bytes of request head, then 431", sizeInt(func(c *Config) *int { return &c.MaxHeader }, 256)},
	{"max-headers", "", "N", "200", Limits, "header lines, then 431", number(func(c *Config) *int { return &c.MaxHeaders }, 1, 1<<16)},
	{"max-body", "", "BYTES", "0", Limits, "bytes of body, then 413", size(func(c *Config) *int64 { return &c.MaxBody }, 0)},

	{"log-requests", "v", "", "", Logging, "write a line for each request", on(func(c *Config) *bool { return &c.LogRequests })},
	{"quiet", "q", "", "", Logging, "write no line for each request (the default)", off(func(c *Config) *bool { return &c.LogRequests })},
	{"silent", "s", "", "", Logging, "write errors only", on(func(c *Config) *bool { return &c.Silent })},
	{"log-format", "", "FORMAT", "text", Logging, "text or json", choice(func(c *Config) *string { return &c.LogFormat }, "text", "json")},
	{"redirect-stdout", "", "FILE", "", Logging, "write standard output to a file", text(func(c *Config) *string { return &c.RedirectStdout })},
	{"redirect-stderr", "", "FILE", "", Logging, "write standard error to a file", text(func(c *Config) *string { return &c.RedirectStderr })},
	{"redirect-append", "", "", "", Logging, "continue these files", on(func(c *Config) *bool { return &c.RedirectAppend })},
	{"no-redirect-append", "", "", "", Logging, "empty these files first (the default)", off(func(c *Config) *bool { return &c.RedirectAppend })},
}

// variables are the settings of the environment that other programs read, too, best first. A configuration file beats them,
// as in Puma. Serval's own are in ownVariables.
var variables = []struct {
	names   []string
	setting string // the flag that would set it
	set     func(*Config, string) error
}{
	{[]string{"WEB_CONCURRENCY"}, "workers", setWorkers},
	{[]string{"PUMA_MIN_THREADS", "MIN_THREADS"}, "min-threads", number(func(c *Config) *int { return &c.MinThreads }, 0, maxThreads).set},
	{[]string{"PUMA_MAX_THREADS", "MAX_THREADS"}, "threads", number(func(c *Config) *int { return &c.MaxThreads }, 1, maxThreads).set},
	{[]string{"PUMA_PERSISTENT_TIMEOUT"}, "keepalive-timeout", duration(func(c *Config) *time.Duration { return &c.KeepAliveTimeout }).set},
	{[]string{"APP_ENV", "RACK_ENV", "RAILS_ENV"}, "environment", text(func(c *Config) *string { return &c.Environment }).set},
	{[]string{"TMPDIR"}, "spool-dir", text(func(c *Config) *string { return &c.SpoolDir }).set},
}

func addBind(c *Config, uri string) error {
	c.Binds = append(c.Binds, uri)
	return nil
}

func addPort(c *Config, value string) error {
	port, err := parseInt(value, 0, 65535)
	if err != nil {
		return err
	}
	return addBind(c, "tcp://"+net.JoinHostPort(defaultHost(), strconv.Itoa(port)))
}

func addInclude(c *Config, dirs string) error {
	// As in Puma, what is named later is searched earlier, but the directories of one flag keep their order.
	c.Include = append(splitPath(dirs), c.Include...)
	return nil
}

func splitPath(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ':' })
}

func addFile(c *Config, path string) error {
	if path == "" {
		return errors.New("name a file, or - for none")
	}
	c.wanted = append(c.wanted, path)
	return nil
}
