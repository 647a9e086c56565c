// Package config knows every setting of Serval: its name, its default, where its value came from and what is wrong
// with it. A flag beats a SERVAL_ variable, which beats the configuration file, which beats the variables
// that Puma knows, which beat the default. No other package takes
// settings from the environment.
package config

import (
	"os"
	"path/filepath"
	"time"
)

// Config is what one run of Serval goes by. Default gives one that is complete; Load layers the user's wishes over it.
type Config struct {
	// Binds are the addresses to listen on, as written: "tcp://HOST:PORT" or "unix:///PATH". Relative unix paths
	// count from Directory. Default: port 9292 on every address, IPv6 included where the machine has it (as Puma 8).
	Binds []string

	// Directory is the app's directory, absolute. Symlinks in it are kept. Default: the current one.
	Directory string

	// Rackup is the app's rackup file, absolute. Default: config.ru in Directory.
	Rackup string

	// Gemfile is the app's Gemfile, by Bundler's rules: BUNDLE_GEMFILE, else Gemfile or gems.rb in Directory. Empty: the
	// app has none.
	Gemfile string

	// Environment is the app's environment, RACK_ENV for the workers. Default: "development".
	Environment string

	// Tag is the name shown in process titles. Default: the base name of Directory.
	Tag string

	// MaxThreads is how many requests one worker runs at a time; so many threads are started with it, and sleep until
	// they are needed. MinThreads is taken because Puma takes it, and only checked: 0 ≤ MinThreads ≤ MaxThreads,
	// 1 ≤ MaxThreads ≤ 1024. Default: 0 and 5.
	MinThreads, MaxThreads int

	// Workers is the number of worker processes as asked for, 0–1024. Zero, the default, is Puma's single mode: one
	// worker, and a log without process ids. See WorkerCount.
	Workers int

	// Include are directories to put first on Ruby's load path, absolute, the first one first.
	Include []string

	// Ruby is the Ruby that runs the workers: a name looked up in PATH or a path. Default: "ruby".
	Ruby string

	// EarlyHints says whether apps may send 103 responses.
	EarlyHints bool

	// Pidfile is where the front's process id is written, absolute. Empty: nowhere.
	Pidfile string

	// RedirectStdout and RedirectStderr are files, absolute, that take the place of the two streams. Empty: kept.
	RedirectStdout, RedirectStderr string

	// RedirectAppend says that the files are continued rather than emptied at start.
	RedirectAppend bool

	// LogRequests asks for an access log on standard output.
	LogRequests bool

	// Silent drops everything but errors from the event log.
	Silent bool

	// Notices are lines for the log, about things found while loading that do not keep Serval from starting.
	Notices []string

	// Store holds texts of the configuration files that binds refer to, as "store:0": certificates and keys. They are secret.
	Store []string

	// Localhost is for ssl:// addresses that name no certificate.
	Localhost Certificate

	// MaxConnections is how many client connections may be open at once. At least 1. Default: 16384.
	MaxConnections int

	// QueueLimit is how many requests may wait for a free thread; the next one gets 503. Zero: none may wait.
	// Default: 1024.
	QueueLimit int

	// QueueTimeout is how long a request may wait for a free thread before it gets 503. Zero: for ever. Default: 30 s.
	QueueTimeout time.Duration

	// RequestTimeout is how long the app may take to begin its response. Zero, the default: for ever.
	RequestTimeout time.Duration

	// HeaderTimeout is how long a client may take to send one whole request head. Zero: for ever. Default: 30 s.
	HeaderTimeout time.Duration

	// BodyTimeout is how long a client may take to send one whole request body. Zero, the default: for ever, as long
	// as it keeps to MinBodyRate.
	BodyTimeout time.Duration

	// MinBodyRate is how many bytes a second of a request body must arrive, averaged over any 20 s. Zero: any rate
	// will do. Default: 100.
	MinBodyRate int64

	// WriteTimeout is how long a client may take no byte of its response before it is cut. Zero: for ever.
	// Default: 60 s.
	WriteTimeout time.Duration

	// KeepAliveTimeout is how long a connection may be idle between two requests. Zero: every response closes its
	// connection. Default: 65 s, as Puma's persistent_timeout.
	KeepAliveTimeout time.Duration

	// MaxKeepAlive is how many requests one connection may carry. Zero, the default: any number.
	MaxKeepAlive int

	// MaxTarget is how many bytes a request target (path and query) may have; longer ones get 414. Default: 12 KiB, as
	// Puma.
	MaxTarget int

	// MaxHeader is how many bytes a request head may have in all; more get 431. Default: 112 KiB, as Puma.
	MaxHeader int

	// MaxHeaders is how many header lines a request may have; more get 431. Default: 200.
	MaxHeaders int

	// MaxBody is how many bytes a request body may have; larger ones get 413. Zero, the default: any number.
	MaxBody int64

	// SpoolDir is where large bodies wait on disk. Default: TMPDIR, or else /var/tmp, since /tmp is often memory.
	SpoolDir string

	// BootTimeout is how long a worker may take to load the app. Zero: for ever. Default: 60 s, as Puma.
	BootTimeout time.Duration

	// ShutdownTimeout is how long requests may go on after Serval was told to stop. Zero: they are cut at once.
	// Default: 30 s, as Puma.
	ShutdownTimeout time.Duration

	// HijackTimeout is how long a worker that is to end and has no request any more lives on for connections that its app
	// has hijacked. Less than ShutdownTimeout. Zero, the default: it ends at once, as Puma's do.
	HijackTimeout time.Duration

	// IdleTimeout ends Serval when no request came for so long. Zero, the default: never.
	IdleTimeout time.Duration

	// WorkerMemoryLimit is the resident memory in bytes past which a worker is replaced. Zero, the default: none.
	WorkerMemoryLimit int64

	// ConfigFiles are the configuration files that were evaluated, absolute, in order. Workers and molds evaluate them
	// again, for the blocks in them.
	ConfigFiles []string

	// Plugins are those that were named outside the files (--plugin), but the ones that are built in.
	Plugins []string

	// Preload says that a mold loads the app once and forks the workers (preload_app!).
	Preload bool

	// MoldHooks says that the configuration has blocks for the process which Puma calls the master (before_fork,
	// after_booted, plugins and their like): a mold runs them, and forks the workers, even when it does not load the app.
	MoldHooks bool

	// ForkWorker is the number of requests that worker 0 serves before it becomes the mold of all others, once (Puma's
	// fork_worker). Zero: only when asked to, by URG. Negative, the default: never.
	ForkWorker int

	// EnvFiles are files of NAME=value lines, absolute, read anew for each generation (--env-file).
	EnvFiles []string

	// ControlURL is where the control server listens: a tcp or unix URL, or "auto" for a unix socket in the temporary
	// directory. Empty: nowhere.
	ControlURL string

	// ControlToken is what callers of the control server have to show. "none": nothing. Empty: one is made up.
	ControlToken string

	// ControlDataOnly leaves only the control server's endpoints that change nothing.
	ControlDataOnly bool

	// StatePath is the state file for ctl, absolute. Empty: none.
	StatePath string

	// StatePermission is the state file's mode. Default: 0600.
	StatePermission os.FileMode

	// WorkerTimeout is how long a worker may be silent before it is killed. Zero: for ever. Default: 60 s, as Puma.
	WorkerTimeout time.Duration

	// WorkerCheckInterval is how often workers are asked how they are. Default: 5 s, as Puma.
	WorkerCheckInterval time.Duration

	// CullOldest takes the oldest worker away rather than the youngest when there are to be fewer
	// (worker_culling_strategy).
	CullOldest bool

	// MaxRequests is after how many requests a worker is replaced. Zero, the default: never. MaxAge is after what time.
	MaxRequests int
	MaxAge      time.Duration

	// OutOfBandGC has idle workers collect garbage between requests.
	OutOfBandGC bool

	// ActivatedSockets says what becomes of sockets that systemd passes: "" uses those that match a bind, "true" all of
	// them, "only" all of them and no bind.
	ActivatedSockets string

	// LogFormat is "text", the default, or "json".
	LogFormat string

	// RequestID gives every request an id, passed to the app and back to the client as X-Request-Id.
	RequestID bool

	// LogFormatter and CustomLogger say that the configuration has such a block or object: lines of the log go through Ruby.
	LogFormatter, CustomLogger bool

	// TmpRestart restarts Serval when tmp/restart.txt is touched (plugin :tmp_restart).
	TmpRestart bool

	// QuietTerm ends with status 0 after a TERM, not by the signal (raise_exception_on_sigterm false).
	QuietTerm bool

	// RemoteAddress says what the app gets as REMOTE_ADDR: "socket", the default, is the client's address; "header:NAME" the
	// first address in that header, and the client's where it has none; "proxy_protocol:v1" the one that a proxy names in its
	// first line on a connection; anything else is passed as it is.
	RemoteAddress string

	// URLScheme is what apps get as rack.url_scheme, "http" or "https". Empty, the default: what the connection is.
	URLScheme string

	// Methods are those that reach the app, or "any" alone; others get 501. Nil, the default: those in IANA's registry, but
	// CONNECT.
	Methods []string

	// UnderscoreHeaders lets headers with an underscore in their names reach the app. Default: true.
	UnderscoreHeaders bool

	// YJIT is "on", "off" or, by default, "auto": on from Ruby 3.3 on, once the app is loaded, as Rails does it.
	YJIT string

	// Accelerator is "on", "off" or, by default, "auto": a part of the workers' Ruby code as C, compiled on this machine while
	// requests are served already. "on" compiles it before, and says so where it cannot.
	Accelerator string

	// App says that the configuration files hold the Rack app themselves: there need not be a rackup file.
	App bool

	// Hooks are the blocks in the configuration files, in the order they run.
	Hooks []Hook

	// WorkerEnv is the environment the workers start with: Serval's own, with RACK_ENV and PWD set right.
	WorkerEnv []string

	sources     map[string]string // of settings, by canonical name
	bindSources []string          // of each bind
	environ     []string          // what Load was given
	wanted      []string          // configuration files as named by flag or variable
}

// Hook is a block in a configuration file.
type Hook struct {
	Name    string // Puma 8's, as before_worker_boot
	Written string // the method that was called, as on_worker_boot
	Place   string // the processes it runs in: "mold" or "worker"
	Source  string // file and line
}

// Default is the configuration of a Serval that was asked for nothing. Directory is left empty; Load fills it.
func Default() Config {
	c := Config{sources: map[string]string{}, ForkWorker: -1, UnderscoreHeaders: true}
	for i := range Settings {
		s := &Settings[i]
		if s.Default == "" {
			continue
		}
		if err := s.set(&c, s.Default); err != nil {
			panic("config: the default of --" + s.Name + " does not parse: " + err.Error())
		}
	}
	return c
}

// WorkerCount is how many worker processes run: at least one.
func (c *Config) WorkerCount() int { return max(c.Workers, 1) }

// Cluster reports whether the user asked for workers by number, which is when Puma puts process ids into its log.
func (c *Config) Cluster() bool { return c.Workers > 0 }

// Source says where a setting, named as its flag is, got its value: "--threads", "SERVAL_THREADS",
// "config/puma.rb:12", "PUMA_MAX_THREADS" or "default".
func (c *Config) Source(name string) string {
	if s := c.sources[canonical(name)]; s != "" {
		return s
	}
	return "default"
}

// BindSource says where bind number i of Binds came from, as Source.
func (c *Config) BindSource(i int) string {
	if i < len(c.bindSources) {
		return c.bindSources[i]
	}
	return "default"
}

// abs makes a path of the user's absolute, counted from the app's directory as in Puma, which changes into it first.
func (c *Config) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Directory, path)
}
