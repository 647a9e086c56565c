package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// load loads what must load.
func load(t *testing.T, args []Arg, environ ...string) Config {
	t.Helper()
	c, err := Load(args, "", environ, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFlagsBeatTheEnvironmentAndTheEnvironmentBeatsTheDefault(t *testing.T) {
	type value struct{ env, flag string }
	for _, setting := range []struct {
		name     string // the flag, and what Source is asked for
		variable string
		have     func(*Config) any
		fallback any
		env      string
		fromEnv  any
		flag     string
		fromFlag any
	}{
		{"workers", "WEB_CONCURRENCY", func(c *Config) any { return c.Workers }, 0, "3", 3, "2", 2},
		{"threads", "PUMA_MAX_THREADS", func(c *Config) any { return c.MaxThreads }, 5, "9", 9, "7", 7},
		{"threads", "MAX_THREADS", func(c *Config) any { return c.MaxThreads }, 5, "9", 9, "7", 7},
		{"threads", "PUMA_MIN_THREADS", func(c *Config) any { return c.MinThreads }, 0, "4", 4, "1:5", 1},
		{"threads", "MIN_THREADS", func(c *Config) any { return c.MinThreads }, 0, "4", 4, "1:5", 1},
		{"keepalive-timeout", "PUMA_PERSISTENT_TIMEOUT", func(c *Config) any { return c.KeepAliveTimeout },
			65 * time.Second, "20", 20 * time.Second, "5", 5 * time.Second},
		{"environment", "APP_ENV", func(c *Config) any { return c.Environment }, "development", "staging", "staging", "test", "test"},
		{"environment", "RACK_ENV", func(c *Config) any { return c.Environment }, "development", "staging", "staging", "test", "test"},
		{"environment", "RAILS_ENV", func(c *Config) any { return c.Environment }, "development", "staging", "staging", "test", "test"},
		{"ruby", "SERVAL_RUBY", func(c *Config) any { return c.Ruby }, "ruby", "jruby", "jruby", "ruby3", "ruby3"},
		{"spool-dir", "TMPDIR", func(c *Config) any { return c.SpoolDir }, "/var/tmp", "/a", "/a", "/b", "/b"},
	} {
		for given, want := range map[value]any{
			{}:                            setting.fallback,
			{env: " "}:                    setting.fallback,
			{env: setting.env}:            setting.fromEnv,
			{flag: setting.flag}:          setting.fromFlag,
			{setting.env, setting.flag}:   setting.fromFlag,
			{"\t", setting.flag}:          setting.fromFlag,
			{" " + setting.env + " ", ""}: setting.fromEnv,
		} {
			var args []Arg
			if given.flag != "" {
				args = []Arg{{setting.name, given.flag}}
			}
			c := load(t, args, setting.variable+"="+given.env)
			if have := setting.have(&c); have != want {
				t.Errorf("--%s %q with %s=%q: have %v, want %v", setting.name, given.flag, setting.variable, given.env, have, want)
			}
		}
	}
}

func TestBetterNamesOfAVariableWin(t *testing.T) {
	c := load(t, nil, "RAILS_ENV=c", "RACK_ENV=b", "APP_ENV=a", "MAX_THREADS=3", "PUMA_MAX_THREADS=4")
	if c.Environment != "a" || c.MaxThreads != 4 {
		t.Errorf("have %q and %d threads", c.Environment, c.MaxThreads)
	}
	if c = load(t, nil, "RAILS_ENV=c", "RACK_ENV=b", "APP_ENV="); c.Environment != "b" {
		t.Errorf("have %q, want RACK_ENV's, since APP_ENV is blank", c.Environment)
	}
}

func TestTheSourceOfAValueIsKnown(t *testing.T) {
	c := load(t, []Arg{{"threads", "3"}}, "WEB_CONCURRENCY=2", "MAX_THREADS=9")
	for name, want := range map[string]string{
		"threads": "--threads", "min-threads": "--threads", "workers": "WEB_CONCURRENCY", "environment": "default",
	} {
		if have := c.Source(name); have != want {
			t.Errorf("%s came from %q, want %q", name, have, want)
		}
	}
}

func TestABadValueNamesItsSource(t *testing.T) {
	for _, test := range []struct {
		args    []Arg
		environ string
		want    string
		flag    bool
	}{
		{nil, "WEB_CONCURRENCY=x", `WEB_CONCURRENCY="x": give a whole number`, false},
		{nil, "MIN_THREADS=-1", `MIN_THREADS="-1": give a whole number from 0`, false},
		{nil, "PUMA_PERSISTENT_TIMEOUT=soon", `PUMA_PERSISTENT_TIMEOUT="soon": give seconds`, false},
		{[]Arg{{"workers", "x"}}, "", `--workers "x": give a whole number`, true},
		{[]Arg{{"tag", ""}}, "", `--tag "": give a value`, true},
		{[]Arg{{"dir", "a\x00b"}}, "", `NUL byte`, true},
		{[]Arg{{"max-connections", "0"}}, "", `--max-connections "0": give a whole number from 1`, true},
		{[]Arg{{"port", "65536"}}, "", `--port "65536": give a whole number from 0 to 65535`, true},
	} {
		_, err := Load(test.args, "", []string{test.environ}, nil)
		var bad *Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), test.want) || bad.FromFlag() != test.flag {
			t.Errorf("%v %s: have %v, want %q", test.args, test.environ, err, test.want)
		}
	}
}

func TestPathsCountFromTheAppsDirectory(t *testing.T) {
	dir := t.TempDir()
	c, err := Load([]Arg{
		{"dir", dir}, {"pidfile", "tmp/pid"}, {"redirect-stdout", "out"}, {"redirect-stderr", "/err"},
		{"include", "lib:/usr/lib"}, {"ruby", "./bin/ruby"}, {"spool-dir", "spool"},
	}, "web/config.ru", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for have, want := range map[string]string{
		c.Directory: dir, c.Rackup: dir + "/web/config.ru", c.Pidfile: dir + "/tmp/pid", c.RedirectStdout: dir + "/out",
		c.RedirectStderr: "/err", c.Include[0]: dir + "/lib", c.Include[1]: "/usr/lib", c.Ruby: dir + "/bin/ruby",
		c.SpoolDir: dir + "/spool", c.Tag: filepath.Base(dir),
	} {
		if have != want {
			t.Errorf("have %q, want %q", have, want)
		}
	}
}

func TestTheDirectoryKeepsItsSymlinks(t *testing.T) {
	base := t.TempDir()
	release, current := filepath.Join(base, "release"), filepath.Join(base, "current")
	if err := os.Mkdir(release, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(release, current); err != nil {
		t.Fatal(err)
	}
	t.Chdir(release)
	for _, test := range []struct{ pwd, dir, want string }{
		{current, "", current},
		{release, "", release},
		{"", "", release},
		{base, "", release},                // PWD is another directory
		{base + "/gone", "", release},      // PWD is none
		{".", "", release},                 // PWD is relative
		{current, "sub", current + "/sub"}, // --dir counts from PWD
		{current, "/srv", "/srv"},
	} {
		var args []Arg
		if test.dir != "" {
			args = []Arg{{"dir", test.dir}}
		}
		c := load(t, args, "PWD="+test.pwd)
		if c.Directory != test.want {
			t.Errorf("PWD=%s --dir %q: have %s, want %s", test.pwd, test.dir, c.Directory, test.want)
		}
		if !slices.Contains(c.WorkerEnv, "PWD="+test.want) {
			t.Errorf("PWD=%s --dir %q: workers get %q", test.pwd, test.dir, c.WorkerEnv)
		}
	}
}

func TestWorkersGetTheEnvironmentDecidedHere(t *testing.T) {
	c := load(t, []Arg{{"environment", "test"}}, "RACK_ENV=old", "RAILS_ENV=other", "LANG=C.UTF-8", "ODD")
	for _, want := range []string{"RACK_ENV=test", "RAILS_ENV=other", "LANG=C.UTF-8"} {
		if !slices.Contains(c.WorkerEnv, want) {
			t.Errorf("%s is missing in %q", want, c.WorkerEnv)
		}
	}
	if slices.Contains(c.WorkerEnv, "RACK_ENV=old") {
		t.Errorf("RACK_ENV is there twice: %q", c.WorkerEnv)
	}
}

func TestTheGemfileIsFoundAsBundlerFindsIt(t *testing.T) {
	dir := t.TempDir()
	find := func(environ ...string) string {
		c := load(t, []Arg{{"dir", dir}}, environ...)
		return c.Gemfile
	}
	if have := find(); have != "" {
		t.Errorf("without any it is %q", have)
	}
	for _, name := range []string{"gems.rb", "Gemfile"} { // the later one goes first
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if have := find(); have != path {
			t.Errorf("with %s it is %q", name, have)
		}
	}
	if have := find("BUNDLE_GEMFILE=/elsewhere/Gemfile"); have != "/elsewhere/Gemfile" {
		t.Errorf("with BUNDLE_GEMFILE it is %q", have)
	}
}

func TestTextsAreUTF8WhereNothingSaysOtherwise(t *testing.T) {
	for _, test := range []struct {
		environ string
		added   bool
	}{
		{"HOME=/root", true}, {"LANG=", true}, {"LANG=de_DE.ISO-8859-1", false}, {"LC_ALL=C", false}, {"LC_CTYPE=C.UTF-8", false},
	} {
		c := load(t, nil, test.environ)
		if added := slices.Contains(c.WorkerEnv, "LANG=C.UTF-8"); added != test.added {
			t.Errorf("with %s, LANG=C.UTF-8 is added: %v", test.environ, added)
		}
	}
}

func TestWorkersCanEachAddToTheirEnvironment(t *testing.T) {
	c := load(t, nil, "RACK_ENV=old", "PWD=/old", "LANG=C.UTF-8")
	one, two := append(c.WorkerEnv, "WORKER=1"), append(c.WorkerEnv, "WORKER=2")
	if one[len(one)-1] != "WORKER=1" || two[len(two)-1] != "WORKER=2" {
		t.Errorf("have %q and %q", one, two)
	}
}

func TestWithoutBindsThePortIs9292(t *testing.T) {
	c := load(t, nil)
	if len(c.Binds) != 1 || c.Binds[0] != "tcp://0.0.0.0:9292" && c.Binds[0] != "tcp://[::]:9292" {
		t.Errorf("have %q", c.Binds)
	}
}
