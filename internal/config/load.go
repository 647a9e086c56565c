package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Arg is one flag of the command line, in the order they were given.
type Arg struct{ Name, Value string }

// Error is a value that cannot be used.
type Error struct {
	Source string // where it came from: "--threads" or "WEB_CONCURRENCY"
	Value  string
	Err    error // what to write instead
}

func (e *Error) Error() string {
	if e.FromFlag() {
		return fmt.Sprintf("%s %q: %v", e.Source, e.Value, e.Err)
	}
	return fmt.Sprintf("%s=%q: %v", e.Source, e.Value, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// FromFlag reports whether the value came from the command line, which makes it a mistake in usage.
func (e *Error) FromFlag() bool { return strings.HasPrefix(e.Source, "-") }

// Load layers the environment ("NAME=value", as os.Environ gives it) and then the flags over the defaults. The rackup
// file may be empty. Values are checked one by one here; whether they go together and exist is for Validate.
func Load(args []Arg, rackup string, environ []string) (Config, error) {
	c := Default()
	env := environment(environ)
	if err := c.loadVariables(env); err != nil {
		return Config{}, err
	}
	if err := c.loadArgs(args); err != nil {
		return Config{}, err
	}
	if err := c.settle(rackup, env); err != nil {
		return Config{}, err
	}
	c.notePumaConfig()
	c.WorkerEnv = workerEnv(environ, &c)
	return c, nil
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}

// loadVariables sets what the environment asks for. Blank values count as not set, as in Puma.
func (c *Config) loadVariables(env map[string]string) error {
	for _, v := range variables {
		for _, name := range v.names {
			value := strings.TrimSpace(env[name])
			if value == "" {
				continue
			}
			if err := v.set(c, value); err != nil {
				return &Error{Source: name, Value: env[name], Err: err}
			}
			c.sources[v.setting] = name
			break
		}
	}
	return nil
}

func (c *Config) loadArgs(args []Arg) error {
	for _, a := range args {
		s := find(a.Name)
		if s == nil {
			return fmt.Errorf("config: there is no setting called %q", a.Name)
		}
		if err := s.set(c, a.Value); err != nil {
			return &Error{Source: "--" + a.Name, Value: a.Value, Err: err}
		}
		c.sources[a.Name] = "--" + a.Name
		if a.Name == "threads" {
			c.sources["min-threads"] = "--threads"
		}
	}
	return nil
}

func find(name string) *Setting {
	for i := range Settings {
		if Settings[i].Name == name {
			return &Settings[i]
		}
	}
	return nil
}

// settle fills what depends on other settings: the directory, what counts from it, and the last defaults.
func (c *Config) settle(rackup string, env map[string]string) error {
	dir, err := currentDirectory(env["PWD"])
	if err != nil {
		return err
	}
	switch {
	case c.Directory == "":
		c.Directory = dir
	case !filepath.IsAbs(c.Directory):
		c.Directory = filepath.Join(dir, c.Directory)
	}
	if rackup == "" {
		rackup = "config.ru"
	}
	c.Rackup = c.abs(rackup)
	c.Gemfile = c.findGemfile(env["BUNDLE_GEMFILE"])
	c.Pidfile = c.abs(c.Pidfile)
	c.RedirectStdout = c.abs(c.RedirectStdout)
	c.RedirectStderr = c.abs(c.RedirectStderr)
	for i, dir := range c.Include {
		c.Include[i] = c.abs(dir)
	}
	if strings.Contains(c.Ruby, "/") {
		c.Ruby = c.abs(c.Ruby)
	}
	if c.Tag == "" {
		c.Tag = filepath.Base(c.Directory)
	}
	if c.SpoolDir == "" {
		c.SpoolDir = "/var/tmp"
		if _, err := os.Stat(c.SpoolDir); err != nil {
			c.SpoolDir = "/tmp"
		}
	}
	c.SpoolDir = c.abs(c.SpoolDir)
	if len(c.Binds) == 0 {
		return addPort(c, "9292")
	}
	return nil
}

func (c *Config) findGemfile(named string) string {
	if named != "" {
		return c.abs(named)
	}
	for _, name := range []string{"Gemfile", "gems.rb"} {
		if info, err := os.Stat(c.abs(name)); err == nil && info.Mode().IsRegular() {
			return c.abs(name)
		}
	}
	return ""
}

// notePumaConfig leaves a word in the log for people who wonder why their config file does nothing.
func (c *Config) notePumaConfig() {
	for _, path := range []string{"config/puma/" + c.Environment + ".rb", "config/puma.rb"} {
		if info, err := os.Stat(c.abs(path)); err == nil && info.Mode().IsRegular() {
			c.Notices = append(c.Notices, path+" is not read by this version of serval: give its settings as flags (serval --help)")
		}
	}
}

// workerEnv is the environment for the app: RACK_ENV says what was decided here, as Puma does it, and PWD names the
// app's directory the way the user does, with its symlinks. Where nothing says in which encoding texts are, as in most
// units and containers, it is UTF-8: Ruby would take them for ASCII, and refuse a config.ru with an umlaut in it.
func workerEnv(environ []string, c *Config) []string {
	env := make([]string, 0, len(environ)+2)
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "RACK_ENV=") && !strings.HasPrefix(entry, "PWD=") {
			env = append(env, entry)
		}
	}
	env = append(env, "RACK_ENV="+c.Environment, "PWD="+c.Directory)
	if !slices.ContainsFunc(environ, isLocale) {
		env = append(env, "LANG=C.UTF-8")
	}
	return slices.Clip(env) // workers that append to it at the same time must not meet in one array
}

// isLocale says whether an entry of the environment tells the encoding of texts (locale(7)).
func isLocale(entry string) bool {
	name, value, _ := strings.Cut(entry, "=")
	return value != "" && (name == "LC_ALL" || name == "LC_CTYPE" || name == "LANG")
}
