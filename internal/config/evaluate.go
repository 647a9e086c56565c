package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Script returns the path of a file of Serval's Ruby code, as "serval/evaluate.rb".
type Script func(name string) (string, error)

// patience is how long configuration files may take.
const patience = 60 * time.Second

// evaluation is what the evaluator, ruby/lib/serval/evaluate.rb, writes.
type evaluation struct {
	Error    string // empty, or what is wrong with the files
	Settings []struct {
		Name, Value string
		place
	}
	Hooks []struct {
		Name, Written, Place string
		place
	}
	Notices []struct {
		Written, Text string
		place
	}
	Objects map[string]place
	Store   []string
	Plugins []struct {
		Name  string
		Start bool
		place
	}
}

type place struct {
	File string
	Line int
}

// evaluate has Ruby read the configuration files. A file is part of the app: it gets the app's bundle and environment.
func (c *Config) evaluate(script Script, environ []string, workers string) (*evaluation, error) {
	path, err := script("serval/evaluate.rb")
	if err != nil {
		return nil, err
	}
	answer, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Ruby, path)
	cmd.Dir = c.Directory
	settings := []string{
		"config=" + strings.Join(c.ConfigFiles, ":"), "environment=" + c.Environment,
		"include=" + strings.Join(c.Include, ":"), "bundle_gemfile=" + c.Gemfile, "known_workers=" + workers,
		"plugins=" + strings.Join(c.Plugins, ","),
	}
	cmd.Env = append(environ, "PWD="+c.Directory, "SERVAL_WORKER="+strings.Join(settings, "\n"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // standard output may be a report that somebody reads
	cmd.ExtraFiles = []*os.File{write}
	if err = cmd.Start(); err != nil {
		write.Close()
		return nil, fmt.Errorf("cannot start Ruby (%s) for the configuration: %w", c.Ruby, err)
	}
	write.Close()
	go func() { // a process that the files leave behind may keep the pipe open
		<-ctx.Done()
		answer.Close()
	}()
	var result evaluation
	reading := json.NewDecoder(answer).Decode(&result)
	late := ctx.Err() != nil
	waiting := cmd.Wait()
	switch {
	case late:
		return nil, fmt.Errorf("%s: it is not done after %s", c.files(), patience)
	case reading != nil:
		return nil, fmt.Errorf("%s: Ruby ended before it was done: %w", c.files(), errors.Join(waiting, ignoreEOF(reading)))
	case result.Error != "":
		return nil, errors.New(result.Error)
	}
	return &result, nil
}

func ignoreEOF(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return err
	}
	return nil
}

func (c *Config) files() string {
	var b bytes.Buffer
	for i, path := range c.ConfigFiles {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.short(path))
	}
	return b.String()
}

// source is a place as it is shown to people.
func (c *Config) source(p place) string {
	if p.Line == 0 { // a plugin of the command line
		return p.File
	}
	return fmt.Sprintf("%s:%d", c.short(p.File), p.Line)
}

// wishes are the settings that the files contain.
func (c *Config) wishes(e *evaluation) []wish {
	wishes := make([]wish, len(e.Settings))
	for i, s := range e.Settings {
		wishes[i] = wish{s.Name, s.Value, c.source(s.place)}
	}
	return wishes
}

// masters are the hooks that only a mold can run; the others it runs as well.
var masters = map[string]bool{
	"before_fork": true, "before_worker_fork": true, "after_worker_fork": true, "after_worker_shutdown": true,
	"before_restart": true, "after_booted": true, "after_stopped": true,
}

// keep takes what the files hold besides settings.
func (c *Config) keep(e *evaluation) {
	for _, h := range e.Hooks {
		c.Hooks = append(c.Hooks, Hook{h.Name, h.Written, h.Place, c.source(h.place)})
		c.MoldHooks = c.MoldHooks || masters[h.Name]
	}
	for _, p := range e.Plugins {
		if p.Start {
			c.Hooks = append(c.Hooks, Hook{"start", "plugin " + p.Name, "mold", c.source(p.place)})
			c.MoldHooks = true
		}
	}
	for _, n := range e.Notices {
		c.Notices = append(c.Notices, fmt.Sprintf("%s: %s has no effect: %s", c.source(n.place), n.Written, n.Text))
	}
	c.Store = e.Store
	for name, p := range e.Objects {
		c.sources[name] = c.source(p)
	}
	_, c.App = e.Objects["app"]
	_, c.LogFormatter = e.Objects["log_formatter"]
	_, c.CustomLogger = e.Objects["custom_logger"]
}
