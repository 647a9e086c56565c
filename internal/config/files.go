package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// none is the file name that stands for no configuration file at all, as in Puma.
const none = "-"

// chooseFiles fills ConfigFiles: those that were named, or else the first that is there of config/serval/ENV.rb,
// config/serval.rb, config/puma/ENV.rb and config/puma.rb.
func (c *Config) chooseFiles(here string) error {
	for _, name := range c.wanted {
		if name == none {
			c.ConfigFiles = nil // files named later still count
			continue
		}
		path, err := c.findNamed(name, here)
		if err != nil {
			return err
		}
		c.ConfigFiles = append(c.ConfigFiles, path)
	}
	if len(c.wanted) > 0 {
		return nil
	}
	for _, name := range []string{
		"config/serval/" + c.Environment + ".rb", "config/serval.rb", "config/puma/" + c.Environment + ".rb", "config/puma.rb",
	} {
		if info, err := os.Stat(c.abs(name)); err == nil && info.Mode().IsRegular() {
			c.ConfigFiles = []string{c.abs(name)}
			return nil
		}
	}
	return nil
}

// findNamed looks for a file where Puma does, from the current directory, and then in the app's.
func (c *Config) findNamed(name, here string) (string, error) {
	if filepath.IsAbs(name) {
		return name, readable(name, name)
	}
	path := filepath.Join(here, name)
	if err := readable(path, name); errors.Is(err, fs.ErrNotExist) && c.abs(name) != path {
		path = c.abs(name)
	}
	return path, readable(path, name)
}

// missing is an error of a file that was named, which can be told to be of one that is not there.
type missing struct {
	text  string
	cause error
}

func (e *missing) Error() string { return e.text }
func (e *missing) Unwrap() error { return e.cause }

func readable(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return &missing{fmt.Sprintf("cannot read the configuration file %s (-C): %s", name, reason(err)), err}
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("cannot read the configuration file %s (-C): it is a directory", name)
	}
	return nil
}

// short is a path as people write it: from the app's directory when it is below.
func (c *Config) short(path string) string {
	return strings.TrimPrefix(path, c.Directory+"/")
}
