package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// app makes a directory with a rackup file and a configuration that is right.
func app(t *testing.T) (dir string, c Config) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte("run ->(env) { [200, {}, []] }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, load(t, []Arg{{"dir", dir}, {"spool-dir", dir}})
}

func TestARightConfigurationIsValidAndLeavesNothingBehind(t *testing.T) {
	dir, c := app(t)
	c.Pidfile = filepath.Join(dir, "pid")
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("the directory holds %v", files)
	}
}

func TestWhatIsWrongIsSaidInOneSentence(t *testing.T) {
	for name, test := range map[string]struct {
		change func(dir string, c *Config)
		want   string // DIR stands for the app's directory
	}{
		"no directory": {func(dir string, c *Config) { c.Directory = dir + "/gone" },
			"cannot enter DIR/gone: no such file or directory; name the app's directory with --dir"},
		"a file as the directory": {func(dir string, c *Config) { c.Directory = dir + "/config.ru" },
			"cannot enter DIR/config.ru: it is not a directory; name the app's directory with --dir"},
		"no time to live on": {func(_ string, c *Config) { c.HijackTimeout = c.ShutdownTimeout },
			"a worker cannot live on for hijacked connections for 30s (default) when it is killed after 30s (default): shorten --hijack-timeout or lengthen --shutdown-timeout"},
		"no config.ru": {func(dir string, c *Config) { os.Remove(c.Rackup) },
			"cannot find config.ru in DIR: name the rackup file (serval path/to/config.ru) or the directory (--dir)"},
		"no such rackup file": {func(dir string, c *Config) { c.Rackup = dir + "/web/app.ru" },
			"cannot find app.ru in DIR/web: name the rackup file (serval path/to/config.ru) or the directory (--dir)"},
		"a directory as the rackup file": {func(dir string, c *Config) { c.Rackup = dir },
			"cannot load DIR: it is a directory; name a rackup file in it, or say --dir DIR"},
		"a rackup file below a file": {func(dir string, c *Config) { c.Rackup += "/config.ru" },
			"cannot read DIR/config.ru/config.ru: not a directory; name another rackup file (serval path/to/config.ru)"},
		"no spool directory": {func(dir string, c *Config) { c.SpoolDir = dir + "/gone" },
			"cannot keep large bodies in DIR/gone (--spool-dir): no such file or directory; name another directory with --spool-dir"},
		"no directory for the pidfile": {func(dir string, c *Config) { c.Pidfile = dir + "/tmp/pid" },
			"cannot write DIR/tmp/pid: no such file or directory; create its directory or choose another with --pidfile"},
		"a directory as a log": {func(dir string, c *Config) { c.RedirectStdout = dir },
			"cannot write DIR: it is a directory; name a file with --redirect-stdout"},
		"threads that contradict each other": {func(dir string, c *Config) { c.MinThreads = 8 },
			"8 threads at least (default) and 5 at most (default) contradict each other: set both with --threads"},
		"no threads": {func(dir string, c *Config) { c.MaxThreads = 0 },
			"a worker cannot have 0:0 threads: give at least one (--threads)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, c := app(t)
			test.change(dir, &c)
			err := c.Validate()
			if err == nil {
				t.Fatal("this was found right")
			}
			if have := strings.ReplaceAll(err.Error(), dir, "DIR"); have != test.want {
				t.Errorf("have %q\nwant %q", have, test.want)
			}
		})
	}
}

func TestThreadsOfTwoSourcesThatContradictEachOtherNameBoth(t *testing.T) {
	c := load(t, nil, "PUMA_MIN_THREADS=8")
	err := c.Validate()
	want := "8 threads at least (PUMA_MIN_THREADS) and 5 at most (default) contradict each other: set both with --threads"
	if err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
}

func TestAnUnreadableRackupFileIsRefused(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	_, c := app(t)
	if err := os.Chmod(c.Rackup, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "permission denied; let this user read it") {
		t.Errorf("have %v", err)
	}
}
