package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"serval/internal/backend"
	"serval/internal/installation"
	"serval/internal/plan"
)

// findRemembered is findInstalledHere for commands that only take the names of services: mistakes in the app's files are said, and
// the services are those of the last install.
func findRemembered(directory, app string, errs io.Writer) (*installedApp, error) {
	i, err := findInstalledAnyway(directory, app)
	if err != nil || i.mistakes == nil {
		return i, err
	}
	if i.remember(); len(i.services) == 0 {
		return nil, i.mistakes
	}
	fmt.Fprintf(errs, "serval: %v\nserval: these are the services of the last install\n", i.mistakes)
	return i, nil
}

// pickRemembered is findRemembered for the services that are named, with what runs them, to be closed.
func pickRemembered(ctx context.Context, f serviceFlags, names []string, errs io.Writer) (app *installedApp, services []installation.Service, b backend.Backend, err error) {
	if app, err = findRemembered(f.directory, f.app, errs); err != nil {
		return nil, nil, nil, err
	}
	if services, err = app.pick(names); err != nil {
		return nil, nil, nil, err
	}
	b, err = app.backend(ctx)
	return app, services, b, err
}

// remember has the services be those whose units install wrote: their names, units and logs.
func (i *installedApp) remember() {
	i.services, i.analysis.Plan = nil, plan.Plan{App: i.App, Directory: i.Directory, Prefix: i.Prefix}
	for _, path := range i.Files {
		unit := filepath.Base(path)
		name, isProcess := strings.CutPrefix(strings.TrimSuffix(unit, "@.service"), i.Prefix+"_process_")
		switch {
		case strings.HasSuffix(filepath.Dir(path), ".wants"):
		case unit == i.Prefix+"_web_server.service":
			i.add(plan.Process{Name: "web", Web: true, Count: 1})
		case isProcess && strings.HasSuffix(unit, "@.service"):
			i.add(plan.Process{Name: name, Count: i.linked(name)})
		}
	}
}

// add adds a process with its services.
func (i *installedApp) add(p plan.Process) {
	i.analysis.Plan.Add(p)
	first, last := 1, i.Count(p)
	if p.Web {
		first, last = 0, 0
	}
	for number := first; number <= last; number++ {
		i.services = append(i.services, i.Named(i.analysis.Plan, p, number))
	}
}

// linked is the highest number of a process's instances that install has had start at boot.
func (i *installedApp) linked(name string) (highest int) {
	for _, path := range i.Files {
		number, is := strings.CutPrefix(filepath.Base(path), i.Prefix+"_process_"+name+"@")
		n, err := strconv.Atoi(strings.TrimSuffix(number, ".service"))
		if is && err == nil {
			highest = max(highest, n)
		}
	}
	return highest
}
