package config

import (
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
	Requests  Group = "Requests"
	Limits    Group = "Limits and timeouts"
	Logging   Group = "Logging"
)

// Groups lists the groups in the order they are shown.
var Groups = []Group{Binding, Processes, Requests, Limits, Logging}

// Setting is one thing the command line can set. The flags, the help text and the defaults are all made from Settings.
type Setting struct {
	Name    string // the flag, without its dashes
	Short   string // its one-letter form, if it has one
	Arg     string // what its value stands for; empty for a switch
	Default string // the default, written as a value; empty: the zero value, or worked out by Load
	Group   Group
	Help    string // one line or more, without the default
	set     func(*Config, string) error
}

// Settings are all settings, grouped. The names and meanings of Puma's flags are Puma's; the rest is Serval's own.
var Settings = []Setting{
	{"bind", "b", "URI", "", Binding, "tcp://HOST:PORT or unix:///PATH (repeatable)", addBind},
	{"port", "p", "PORT", "", Binding, "listen on this TCP port of every address", addPort},

	{"workers", "w", "N", "", Processes, "worker processes, or auto (default one)", setWorkers},
	{"threads", "t", "MIN:MAX", "0:5", Processes, "threads in each worker", setThreads},
	{"environment", "e", "ENV", "development", Processes, "the app's RACK_ENV", text(func(c *Config) *string { return &c.Environment })},
	{"dir", "", "DIR", "", Processes, "the app's directory (default this one)", text(func(c *Config) *string { return &c.Directory })},
	{"include", "I", "DIR[:DIR]", "", Processes, "directories to put first on Ruby's load path", addInclude},
	{"ruby", "", "PATH", "ruby", Processes, "the Ruby that runs the workers", text(func(c *Config) *string { return &c.Ruby })},
	{"pidfile", "", "PATH", "", Processes, "write the process id to a file", text(func(c *Config) *string { return &c.Pidfile })},
	{"tag", "", "NAME", "", Processes, "a name for the process list", text(func(c *Config) *string { return &c.Tag })},
	{"boot-timeout", "", "SEC", "60", Processes, "time to load the app", duration(func(c *Config) *time.Duration { return &c.BootTimeout })},
	{"shutdown-timeout", "", "SEC", "30", Processes, "time to finish requests at the end", duration(func(c *Config) *time.Duration { return &c.ShutdownTimeout })},
	{"idle-timeout", "", "SEC", "0", Processes, "stop when idle for so long", duration(func(c *Config) *time.Duration { return &c.IdleTimeout })},
	{"worker-memory-limit", "", "BYTES", "0", Processes, "replace a worker past this", size(func(c *Config) *int64 { return &c.WorkerMemoryLimit }, 0)},

	{"request-timeout", "", "SEC", "0", Requests, "time to begin a response", duration(func(c *Config) *time.Duration { return &c.RequestTimeout })},
	{"queue-limit", "", "N", "1024", Requests, "requests in the queue, then 503", number(func(c *Config) *int { return &c.QueueLimit }, 0, 1<<24)},
	{"queue-timeout", "", "SEC", "30", Requests, "time in the queue, then 503", duration(func(c *Config) *time.Duration { return &c.QueueTimeout })},
	{"early-hints", "", "", "", Requests, "let the app send 103 Early Hints", on(func(c *Config) *bool { return &c.EarlyHints })},
	{"request-id", "", "", "", Requests, "give each request an X-Request-Id", on(func(c *Config) *bool { return &c.RequestID })},
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

// variables are the settings of the environment, with the names that Puma reads, best first.
var variables = []struct {
	names   []string
	setting string // the flag that would set it
	set     func(*Config, string) error
}{
	{[]string{"WEB_CONCURRENCY"}, "workers", setWorkers},
	{[]string{"PUMA_MIN_THREADS", "MIN_THREADS"}, "min-threads", number(func(c *Config) *int { return &c.MinThreads }, 0, maxThreads)},
	{[]string{"PUMA_MAX_THREADS", "MAX_THREADS"}, "threads", number(func(c *Config) *int { return &c.MaxThreads }, 1, maxThreads)},
	{[]string{"PUMA_PERSISTENT_TIMEOUT"}, "keepalive-timeout", duration(func(c *Config) *time.Duration { return &c.KeepAliveTimeout })},
	{[]string{"APP_ENV", "RACK_ENV", "RAILS_ENV"}, "environment", text(func(c *Config) *string { return &c.Environment })},
	{[]string{"SERVAL_RUBY"}, "ruby", text(func(c *Config) *string { return &c.Ruby })},
	{[]string{"TMPDIR"}, "spool-dir", text(func(c *Config) *string { return &c.SpoolDir })},
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
