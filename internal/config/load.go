package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"serval/internal/envfile"
)

// Arg is one flag of the command line, in the order they were given.
type Arg struct{ Name, Value string }

// Error is a value that cannot be used.
type Error struct {
	Name   string // the setting's
	Source string // where it came from: "--threads", "WEB_CONCURRENCY" or "config/puma.rb:12"
	Value  string
	Err    error // what to write instead
}

func (e *Error) Error() string {
	if e.FromFlag() {
		return fmt.Sprintf("%s %q: %v", e.Source, e.Value, e.Err)
	}
	if strings.Contains(e.Source, ":") {
		return fmt.Sprintf("%s: %s %q: %v", e.Source, strings.ReplaceAll(e.Name, "-", "_"), e.Value, e.Err)
	}
	return fmt.Sprintf("%s=%q: %v", e.Source, e.Value, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// FromFlag reports whether the value came from the command line, which makes it a mistake in usage.
func (e *Error) FromFlag() bool { return strings.HasPrefix(e.Source, "-") }

// Load layers what was asked for over the defaults: the variables that Puma knows, the configuration files, the SERVAL_
// variables, the flags. The rackup file may be empty; environ is "NAME=value" as os.Environ gives it; script finds the code
// that has Ruby evaluate the files, and when it is nil there are none. Values are checked one by one here; whether they go
// together and exist is for Validate. Each call looks at the files anew.
func Load(args []Arg, rackup string, environ []string, script Script) (Config, error) {
	l := loader{args: args, rackup: rackup, environ: environ}
	c, err := l.load(nil)
	if err != nil || script == nil || c.checkDirectory() != nil {
		return c, err
	}
	if len(c.ConfigFiles)+len(c.Plugins) == 0 {
		return c, c.certify(script, l.variables())
	}
	found, err := c.evaluate(script, l.variables(), l.knownWorkers(&c))
	if err != nil {
		return Config{}, err
	}
	files := c.ConfigFiles
	again, err := l.load(c.wishes(found))
	if err != nil {
		return Config{}, err
	}
	again.ConfigFiles = files // an environment or directory that they set does not choose others
	again.keep(found)
	return again, again.certify(script, l.variables())
}

// loader makes a configuration of what was asked for, once without and once with the wishes of the files.
type loader struct {
	args     []Arg
	rackup   string
	environ  []string
	fromFile []string // what environment files add, when they are named outside the configuration files
}

// wish is a value for a setting, and where it came from.
type wish struct{ name, value, source string }

func (l *loader) load(files []wish) (Config, error) {
	c := Default()
	c.environ = l.environ
	flags := make([]wish, len(l.args))
	for i, a := range l.args {
		flags[i] = wish{a.Name, a.Value, "--" + a.Name}
	}
	if err := l.readEnvFiles(flags); err != nil {
		return Config{}, err
	}
	env := environment(l.variables())
	if err := c.loadVariables(env); err != nil {
		return Config{}, err
	}
	for _, layer := range [][]wish{files, ownVariables(env), flags} {
		if err := c.apply(layer); err != nil {
			return Config{}, err
		}
	}
	if err := c.settle(l.rackup, env); err != nil {
		return Config{}, err
	}
	return c, c.ReadEnvironment()
}

// variables is the environment with what environment files make of it.
func (l *loader) variables() []string {
	return append(slices.Clip(slices.Clone(l.environ)), l.fromFile...)
}

// readEnvFiles reads the environment files named outside the configuration files, since those may ask for their variables.
func (l *loader) readEnvFiles(flags []wish) error {
	var c Config
	c.sources = map[string]string{}
	env := environment(l.environ)
	for _, layer := range [][]wish{ownVariables(env), flags} {
		if err := c.apply(only(layer, "dir", "env-file")); err != nil {
			return err
		}
	}
	if len(c.EnvFiles) == 0 {
		return nil
	}
	if err := c.settleDirectory(env); err != nil {
		return err
	}
	found, err := envfile.Read(c.absEnvFiles())
	l.fromFile = found
	return err
}

func only(wishes []wish, names ...string) []wish {
	return slices.DeleteFunc(slices.Clone(wishes), func(w wish) bool { return !slices.Contains(names, w.name) })
}

// knownWorkers is the number of workers when the files do not decide it, for their blocks of single and cluster.
func (l *loader) knownWorkers(c *Config) string {
	if s := c.Source("workers"); s == "--workers" || s == "SERVAL_WORKERS" {
		return strconv.Itoa(c.Workers)
	}
	return ""
}

// ownVariables are the SERVAL_ variables. Values of a list stand between commas.
func ownVariables(env map[string]string) (wishes []wish) {
	for _, s := range Settings {
		name := VariableOf(s.Name)
		value := strings.TrimSpace(env[name])
		if value == "" {
			continue
		}
		values := []string{value}
		if lists[canonical(s.Name)] != nil {
			values = strings.Split(value, ",")
		}
		for _, v := range values {
			wishes = append(wishes, wish{s.Name, v, name})
		}
	}
	return wishes
}

// VariableOf is the name of the variable that sets what a flag sets: SERVAL_QUEUE_LIMIT for queue-limit.
func VariableOf(flag string) string {
	return "SERVAL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
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
				return &Error{Name: v.setting, Source: name, Value: env[name], Err: err}
			}
			c.sources[v.setting] = name
			break
		}
	}
	return nil
}

// apply sets what one source asks for. A list takes the place of what weaker sources said.
func (c *Config) apply(layer []wish) error {
	fresh := map[string]bool{}
	for _, w := range layer {
		s := find(w.name)
		if s == nil {
			return fmt.Errorf("config: there is no setting called %q", w.name)
		}
		name := canonical(w.name)
		if clear := lists[name]; clear != nil && !fresh[name] {
			clear(c)
			fresh[name] = true
		}
		if err := s.set(c, w.value); err != nil {
			return &Error{Name: w.name, Source: w.source, Value: w.value, Err: err}
		}
		c.sources[name] = w.source
		switch name {
		case "threads":
			c.sources["min-threads"] = w.source
		case "bind":
			c.bindSources = append(c.bindSources, w.source)
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
	if err := c.settleDirectory(env); err != nil {
		return err
	}
	here, err := currentDirectory(env["PWD"])
	if err != nil {
		return err
	}
	if err := c.chooseFiles(here); err != nil {
		return err
	}
	if rackup == "" {
		rackup = c.Rackup
	}
	if rackup == "" {
		rackup = "config.ru"
	}
	c.Rackup = c.abs(rackup)
	c.Gemfile = c.findGemfile(env["BUNDLE_GEMFILE"])
	c.Pidfile = c.abs(c.Pidfile)
	c.StatePath = c.abs(c.StatePath)
	c.EnvFiles = c.absEnvFiles()
	c.settlePreload()
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

func (c *Config) settleDirectory(env map[string]string) error {
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
	return nil
}

// settlePreload says what Puma 5 and 6 say: workers by the number in WEB_CONCURRENCY share a preloaded app unless somebody
// has decided otherwise. Puma 7 went on to preload for any number of workers. Here it takes a word (--preload,
// preload_app!), so that no app is forked that never was.
func (c *Config) settlePreload() {
	if c.Source("preload") == "default" && c.Source("workers") == "WEB_CONCURRENCY" && c.Workers > 1 {
		c.Preload = true
		c.sources["preload"] = "WEB_CONCURRENCY"
	}
}

// absEnvFiles are the environment files with absolute paths; one that may be missing keeps its dash.
func (c *Config) absEnvFiles() []string {
	files := make([]string, len(c.EnvFiles))
	for i, name := range c.EnvFiles {
		path, optional := strings.CutPrefix(name, "-")
		files[i] = c.abs(path)
		if optional {
			files[i] = "-" + files[i]
		}
	}
	return files
}

// ReadEnvironment reads the environment files and fills WorkerEnv. Each generation begins with it.
func (c *Config) ReadEnvironment() error {
	found, err := envfile.Read(c.EnvFiles)
	if err != nil {
		return err
	}
	c.WorkerEnv = workerEnv(append(slices.Clip(slices.Clone(c.environ)), found...), c)
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
	switch c.YJIT {
	case "on":
		env = append(env, "RUBY_YJIT_ENABLE=1") // and not the option --yjit, at which a Ruby without it would give up
	case "off":
		env = append(env, "RUBY_YJIT_ENABLE=0")
	}
	return slices.Clip(env) // workers that append to it at the same time must not meet in one array
}

// isLocale says whether an entry of the environment tells the encoding of texts (locale(7)).
func isLocale(entry string) bool {
	name, value, _ := strings.Cut(entry, "=")
	return value != "" && (name == "LC_ALL" || name == "LC_CTYPE" || name == "LANG")
}
