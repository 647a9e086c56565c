package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"serval/internal/analysis"
	"serval/internal/backend"
	"serval/internal/installation"
)

// installedApp is an app as it is installed on this host, and the processes that are to run of it now.
type installedApp struct {
	installation.Installation
	state    string // where the record is
	analysis analysis.Result
	services []installation.Service
	mistakes error // in the app's files, which then do not say what is to run
}

// findInstalled finds out what is installed of the app in a directory. Users other than root are shown what root installed.
func findInstalled(directory, app string, root bool, getenv func(string) string) (*installedApp, error) {
	directory, err := appDirectory(cmp.Or(directory, "."), getenv("PWD"))
	if err != nil {
		return nil, err
	}
	for _, root := range slices.Compact([]bool{root, true}) {
		i, err := recordOf(directory, app, root, getenv)
		if err != nil {
			return nil, err
		}
		if i != nil {
			return i, i.look(root, getenv)
		}
	}
	return nil, fmt.Errorf("nothing is installed of the app in %s: run serval install there first", directory)
}

// recordOf reads the record of an app: that of its name, or, if nobody said a name, any of its directory.
func recordOf(directory, app string, root bool, getenv func(string) string) (*installedApp, error) {
	name := cmp.Or(app, analysis.Name(directory))
	if name == "" {
		return nil, fmt.Errorf("no name can be made of %s: say what the app is called, by --app", directory)
	}
	state, err := analysis.StateDir(name, root, getenv)
	if err != nil {
		return nil, usageError{err}
	}
	states := []string{state}
	if app == "" {
		others, _ := filepath.Glob(filepath.Join(filepath.Dir(state), "*")) //nolint:errcheck // the pattern is well-formed but for odd names
		states = append(states, others...)
	}
	for n, state := range states {
		i, err := installation.Load(state)
		if err != nil && n == 0 {
			return nil, err
		}
		if err == nil && i != nil && (app != "" || analysis.Root(i.Directory) == analysis.Root(directory)) {
			return &installedApp{Installation: *i, state: state}, nil
		}
	}
	return nil, nil
}

// look finds out what is to run of the app today.
func (i *installedApp) look(root bool, getenv func(string) string) error {
	s := survey{directory: i.Directory, environment: i.Environment, app: i.App, prefix: i.Prefix}
	result, _, err := s.look(root, getenv)
	if err != nil {
		return err
	}
	if wrong := result.Findings.Errors(); len(wrong) > 0 {
		i.mistakes = findings(wrong)
		return nil
	}
	i.analysis = result
	i.services, err = i.Services(result.Plan)
	return err
}

// outdated reports whether the app's files ask for something else than what is installed. What cannot be found out is for serval
// diff to say.
func (i *installedApp) outdated(root bool) bool {
	target, err := newTarget(i.Backend, i.state, root)
	if err != nil {
		return false
	}
	change, err := changeTo(target, i.state, &i.Installation, i.Installation, i.analysis.Plan, i.services)
	return err == nil && !change.Nothing()
}

// passenger reports whether nginx runs the web server, so that it is no service.
func (i *installedApp) passenger() bool { return analysis.Passenger(i.analysis.Server.Name) }

// backend is what runs the services.
func (i *installedApp) backend(ctx context.Context) (backend.Backend, error) {
	switch i.Backend {
	case installation.Systemd:
		return backend.NewSystemd(ctx)
	case installation.Supervisor:
		return backend.NewSupervised(i.state), nil
	case installation.Bluepill:
		return nil, fmt.Errorf("%s is installed for Bluepill: use bluepill %s_web_server status, start, stop and restart", i.App, i.Prefix)
	}
	return nil, fmt.Errorf("%s is installed for %q, which this serval does not know", i.App, i.Backend)
}

// pick are the services that somebody names: web or custom_web, a process by its name, or one instance of it, such as worker.2.
// No name means all.
func (i *installedApp) pick(names []string) (picked []installation.Service, err error) {
	if len(names) == 0 {
		return i.services, nil
	}
	for _, name := range names {
		found := slices.DeleteFunc(slices.Clone(i.services), func(s installation.Service) bool { return !isCalled(s, name) })
		if len(found) == 0 {
			return nil, i.unknown(name)
		}
		for _, s := range found {
			if !slices.ContainsFunc(picked, func(p installation.Service) bool { return p.Name == s.Name }) {
				picked = append(picked, s)
			}
		}
	}
	return picked, nil
}

func isCalled(s installation.Service, name string) bool {
	return s.Name == name || s.Process.Name == name || s.Process.Web && name == "custom_web"
}

// unknown is the error about a name that no service has.
func (i *installedApp) unknown(name string) error {
	process, _, _ := strings.Cut(name, ".")
	if p := i.analysis.Plan.Process(process); p != nil && !p.Web {
		return fmt.Errorf("there is no %s: %s has %s. Use serval scale %s=N for more", name, process, plural(i.Count(*p), "instance"), process)
	}
	var known []string
	for _, p := range i.analysis.Plan.Processes {
		known = append(known, p.Name)
	}
	text := fmt.Sprintf("there is no process %s: ", name)
	if meant := nearest(name, known); meant != "" {
		text += "did you mean " + meant + "? "
	}
	if len(known) == 0 {
		return usagef("%sthe Procfile has none that are run", text)
	}
	return usagef("%sThere %s %s", text, areOrIs(len(known)), strings.Join(known, ", "))
}

func areOrIs(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// nearest is the word that somebody may have meant; empty if none is near.
func nearest(typed string, words []string) (best string) {
	least := 1 + len(typed)/4
	for _, word := range words {
		if d := distance(typed, word); d <= least && d < len(typed) {
			best, least = word, d-1
		}
	}
	return best
}

// findInstalledHere is findInstalled for whoever runs this program. Mistakes in the app's files are an error.
func findInstalledHere(directory, app string) (*installedApp, error) {
	i, err := findInstalledAnyway(directory, app)
	if err == nil {
		err = i.mistakes
	}
	return i, err
}

// findInstalledAnyway leaves it to the caller to look at mistakes.
func findInstalledAnyway(directory, app string) (*installedApp, error) {
	return findInstalled(directory, app, os.Geteuid() == 0, os.Getenv)
}
