package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Validate reports the first thing that would keep Serval from running: settings that contradict each other, or files
// that are not there. It reads the file system and changes nothing.
func (c *Config) Validate() error {
	for _, check := range []func() error{c.checkThreads, c.checkPatience, c.checkDirectory, c.checkRackup, c.checkSpoolDir, c.checkFiles} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkThreads() error {
	if c.MaxThreads < 1 || c.MinThreads < 0 {
		return fmt.Errorf("a worker cannot have %d:%d threads: give at least one (--threads)", c.MinThreads, c.MaxThreads)
	}
	if c.MinThreads > c.MaxThreads {
		return fmt.Errorf("%d threads at least (%s) and %d at most (%s) contradict each other: set both with --threads",
			c.MinThreads, c.Source("min-threads"), c.MaxThreads, c.Source("threads"))
	}
	return nil
}

func (c *Config) checkPatience() error {
	if c.HijackTimeout > 0 && c.HijackTimeout >= c.ShutdownTimeout {
		return fmt.Errorf("a worker cannot live on for hijacked connections for %s (%s) when it is killed after %s (%s): shorten --hijack-timeout or lengthen --shutdown-timeout",
			c.HijackTimeout, c.Source("hijack-timeout"), c.ShutdownTimeout, c.Source("shutdown-timeout"))
	}
	return nil
}

func (c *Config) checkDirectory() error {
	info, err := os.Stat(c.Directory)
	switch {
	case err != nil:
		return fmt.Errorf("cannot enter %s: %s; name the app's directory with --dir", c.Directory, reason(err))
	case !info.IsDir():
		return fmt.Errorf("cannot enter %s: it is not a directory; name the app's directory with --dir", c.Directory)
	}
	return nil
}

func (c *Config) checkRackup() error {
	if c.App {
		return nil
	}
	info, err := os.Stat(c.Rackup)
	dir, name := filepath.Split(c.Rackup)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot find %s in %s: name the rackup file (serval path/to/config.ru) or the directory (--dir)",
			name, filepath.Clean(dir))
	case err != nil:
		return fmt.Errorf("cannot read %s: %s; name another rackup file (serval path/to/config.ru)", c.Rackup, reason(err))
	case info.IsDir():
		return fmt.Errorf("cannot load %s: it is a directory; name a rackup file in it, or say --dir %[1]s", c.Rackup)
	}
	f, err := os.Open(c.Rackup)
	if err != nil {
		return fmt.Errorf("cannot read %s: %s; let this user read it", c.Rackup, reason(err))
	}
	return f.Close()
}

func (c *Config) checkSpoolDir() error {
	f, err := os.CreateTemp(c.SpoolDir, "serval-")
	if err != nil {
		return fmt.Errorf("cannot keep large bodies in %s (%s): %s; name another directory with --spool-dir",
			c.SpoolDir, c.Source("spool-dir"), reason(err))
	}
	os.Remove(f.Name())
	return f.Close()
}

// checkFiles looks at the directories of the files Serval is going to write.
func (c *Config) checkFiles() error {
	for _, file := range []struct{ flag, path string }{
		{"--pidfile", c.Pidfile},
		{"--redirect-stdout", c.RedirectStdout},
		{"--redirect-stderr", c.RedirectStderr},
	} {
		if file.path == "" {
			continue
		}
		if info, err := os.Stat(file.path); err == nil && info.IsDir() {
			return fmt.Errorf("cannot write %s: it is a directory; name a file with %s", file.path, file.flag)
		}
		if _, err := os.Stat(filepath.Dir(file.path)); err != nil {
			return fmt.Errorf("cannot write %s: %s; create its directory or choose another with %s",
				file.path, reason(err), file.flag)
		}
	}
	return nil
}

// reason is the cause of a file error alone, since our sentences name the path themselves.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
