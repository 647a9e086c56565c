package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serval/internal/analysis"
	"serval/internal/finding"
	"serval/internal/installation"
)

const analyzeHelp = `Usage: serval analyze [flags] [DIR]

Finds out what the app in DIR (default this directory) is and what is to run of
it: framework, Ruby, bundle, web server, processes and their signals. Says what
will not work, where, and what to do about it. Nothing of the app is run.

The first analysis is remembered, and decides between Passenger, which serves
apps whose Procfile has no custom_web, and all other web servers.

      --json                   print the result as JSON
      --reset                  forget the first analysis and start over
  -e, --environment ENV        whose Procfile and manifest count (default
                               APP_ENV, RACK_ENV, RAILS_ENV or production)
      --app NAME               the app's name (default the directory's)
      --prefix PREFIX          what unit names begin with (default cloud66 when
                               there is a .cloud66 directory, else serval)
  -h, --help                   show this help
`

// survey is how an app is looked at: what the flags of analyze say.
type survey struct {
	directory   string
	environment string
	app         string
	prefix      string
	json, reset bool
	bluepill    bool // Bluepill runs it, or is to run it
	leaving     bool // Bluepill runs it, and is to run it no more
}

// newAnalyze makes the command that analyzes an app.
func newAnalyze(streams Streams) *cobra.Command {
	var s survey
	cmd := &cobra.Command{
		Use: "analyze [flags] [DIR]",
		Args: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) > 1 {
				return usagef("one directory is enough, and here are %d (%s): name one. See serval analyze --help", len(dirs), quoted(dirs))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, dirs []string) error {
			s.directory = "."
			if len(dirs) == 1 {
				s.directory = dirs[0]
			}
			return analyze(s, os.Geteuid() == 0, os.Getenv, streams.Out)
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), analyzeHelp) }) //nolint:errcheck // nobody is left to hear of it
	flags := cmd.Flags()
	flags.BoolVar(&s.json, "json", false, "")
	flags.BoolVar(&s.reset, "reset", false, "")
	flags.StringVarP(&s.environment, "environment", "e", "", "")
	flags.StringVar(&s.app, "app", "", "")
	flags.StringVar(&s.prefix, "prefix", "", "")
	return cmd
}

// analyze looks at an app, prints what it finds, and remembers the first time.
func analyze(s survey, root bool, getenv func(string) string, out io.Writer) error {
	result, remember, err := s.look(root, getenv)
	if err != nil {
		return err
	}
	if s.json {
		err = writeJSON(out, result)
	} else {
		err = writeAnalysis(out, result)
	}
	if wrong := result.Findings.Errors(); len(wrong) > 0 {
		return findings(wrong)
	}
	return errors.Join(err, remember())
}

// look analyzes an app with what is remembered of it. remember keeps that this has happened; it is for results without
// errors.
func (s survey) look(root bool, getenv func(string) string) (result analysis.Result, remember func() error, err error) {
	directory, app, state, err := s.place(root, getenv)
	if err != nil {
		return result, nil, err
	}
	there, err := installation.Load(state)
	if err != nil {
		return result, nil, err
	}
	if there == nil || s.reset {
		there = &installation.Installation{}
	}
	o := analysis.Options{
		App: app, Directory: directory, Prefix: cmp.Or(s.prefix, there.Prefix), Bluepill: s.bluepill || there.Backend == installation.Bluepill && !s.leaving,
		Environment: cmp.Or(s.environment, there.Environment, getenv("APP_ENV"), getenv("RACK_ENV"), getenv("RAILS_ENV"), "production"),
	}
	memory := &analysis.Memory{App: o.App, Directory: analysis.Root(directory), When: time.Now().UTC().Truncate(time.Second)}
	if !s.reset {
		first, err := analysis.Recall(state)
		if err != nil {
			return result, nil, err
		}
		if first != nil && first.Directory != memory.Directory {
			return result, nil, fmt.Errorf("%s is the name of the app in %s already: name this one with --app NAME, or start over with serval analyze --reset if it has moved here", o.App, first.Directory)
		}
		if first != nil {
			memory, o.Remembered = first, first.Server
		}
	}
	result = analysis.Analyze(os.DirFS(directory), o)
	return result, func() error {
		if memory.Server != "" {
			return nil
		}
		memory.Server = result.Server.Name
		return memory.Store(state)
	}, nil
}

// place is where an app is, what it is called, and where things are remembered of it.
func (s survey) place(root bool, getenv func(string) string) (directory, app, state string, err error) {
	if directory, err = appDirectory(s.directory, getenv("PWD")); err != nil {
		return "", "", "", err
	}
	if app = cmp.Or(s.app, analysis.Name(directory)); app == "" {
		return "", "", "", fmt.Errorf("no name can be made of %s: give the app one with --app", directory)
	}
	if state, err = analysis.StateDir(app, root, getenv); err != nil {
		return "", "", "", usageError{err}
	}
	return directory, app, state, nil
}

// appDirectory is a directory's absolute path. Where the shell says that it came there through a symlink, it is kept: the
// app is current, and not the release that this is today.
func appDirectory(name, pwd string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot analyze %s: %w", name, errors.Unwrap(err))
	case !info.IsDir():
		return "", fmt.Errorf("cannot analyze %s: it is no directory; name the app's", name)
	}
	if filepath.IsAbs(name) {
		return byCurrent(filepath.Clean(name)), nil
	}
	here, err := os.Stat(".")
	if logical, statErr := os.Stat(pwd); err == nil && statErr == nil && filepath.IsAbs(pwd) && os.SameFile(here, logical) {
		return byCurrent(filepath.Join(pwd, name)), nil
	}
	path, err := filepath.Abs(name)
	return byCurrent(path), err
}

// byCurrent is the directory of a release by the link current, where that leads to it: sudo does not tell the way on which
// somebody came there.
func byCurrent(directory string) string {
	if filepath.Base(filepath.Dir(directory)) != "releases" {
		return directory
	}
	current := filepath.Join(analysis.Root(directory), "current")
	here, err := os.Stat(directory)
	there, statErr := os.Stat(current)
	if err == nil && statErr == nil && os.SameFile(here, there) {
		return current
	}
	return directory
}

// findings is an error of several sentences, one a line.
type findings finding.List

func (f findings) Error() string {
	var lines []string
	for _, e := range f {
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\nserval: ")
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false) // commands have & and > in them
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
