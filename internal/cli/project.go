package cli

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"serval/internal/analysis"
	"serval/internal/backend"
	"serval/internal/bluepill"
	"serval/internal/envfile"
	"serval/internal/install"
	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/unit"
)

// project is what an install would come to.
type project struct {
	state    string                     // where the record is
	before   *installation.Installation // what is installed; nil: nothing
	next     installation.Installation
	target   installation.Target
	result   analysis.Result
	services []installation.Service
	change   *install.Change
	remember func() error // the first analysis
}

// project finds out what an install would come to. With check, it refuses what could not be carried out.
func (w *wanted) project(check bool) (*project, error) {
	root := os.Geteuid() == 0
	directory, app, state, err := w.place(root, os.Getenv)
	if err != nil {
		return nil, err
	}
	p := &project{state: state}
	if p.before, err = installation.Load(state); err != nil {
		return nil, err
	}
	if p.next, err = w.next(p.before, directory); err != nil {
		return nil, err
	}
	p.next.App = app
	if p.target, err = newTarget(p.next.Backend, state, root); err != nil {
		return nil, err
	}
	if p.before != nil && p.before.Backend != p.next.Backend && !w.leaving {
		return nil, fmt.Errorf("%s is installed for %s: run serval uninstall before it is installed for %s", app, p.before.Backend, p.next.Backend)
	}
	if check {
		if err := p.target.Check(); err != nil {
			return nil, err
		}
	}
	return p, w.plan(p)
}

// plan finds out what is to be on disk.
func (w *wanted) plan(p *project) (err error) {
	told, err := envfile.Read(p.next.EnvFiles)
	if err != nil {
		return err
	}
	s := w.survey
	s.environment = cmp.Or(s.environment, valueOf(told, "RAILS_ENV"), valueOf(told, "RACK_ENV"))
	s.bluepill = p.next.Backend == installation.Bluepill
	if p.result, p.remember, err = s.look(os.Geteuid() == 0, os.Getenv); err != nil {
		return err
	}
	if wrong := p.result.Findings.Errors(); len(wrong) > 0 {
		return findings(wrong)
	}
	p.next.Directory, p.next.Environment, p.next.Prefix = p.result.Directory, p.result.Environment, p.result.Prefix
	if p.services, err = p.next.Services(p.result.Plan); err != nil {
		return err
	}
	if err := checkPrograms(p.next, p.result.Plan); err != nil {
		return err
	}
	p.change, err = changeTo(p.target, p.state, p.before, p.next, p.result.Plan, p.services)
	return err
}

// changeTo is what has to change on disk to get from what is installed to what is to be.
func changeTo(target installation.Target, state string, before *installation.Installation, next installation.Installation, p plan.Plan, services []installation.Service) (*install.Change, error) {
	files, err := target.Files(next, p, services)
	if err != nil {
		return nil, err
	}
	giveToUser(files, next)
	files = append([]installation.File{{Path: state, Kind: installation.Directory, Mode: 0o755}}, files...)
	var owned []string
	if before != nil {
		owned = target.Owned(*before)
	}
	return install.Compare(before, owned, files)
}

// giveToUser has directories of the app belong to whom the app runs as.
func giveToUser(files []installation.File, i installation.Installation) {
	u, err := user.Lookup(i.User)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	for n, f := range files {
		if f.Kind == installation.Directory && strings.HasPrefix(f.Path, i.Directory+"/") && f.UID <= 0 && f.GID <= 0 {
			fmt.Sscan(u.Uid+" "+u.Gid, &files[n].UID, &files[n].GID) //nolint:errcheck // the library has read them as numbers
		}
	}
}

func valueOf(env []string, name string) (value string) {
	for _, entry := range env {
		if v, found := strings.CutPrefix(entry, name+"="); found {
			value = v
		}
	}
	return value
}

// next is what is to be installed as far as the flags say; the rest is as it was installed.
func (w *wanted) next(before *installation.Installation, directory string) (next installation.Installation, err error) {
	if before != nil {
		next = installation.Installation{Backend: before.Backend, User: before.User, Group: before.Group, EnvFiles: before.EnvFiles, Counts: before.Counts}
	}
	next.When = time.Now().UTC().Truncate(time.Second)
	next.Backend = cmp.Or(w.backend, next.Backend, installation.Systemd)
	if w.envFilesSet {
		if next.EnvFiles, err = absolute(w.envFiles); err != nil {
			return next, err
		}
	}
	switch {
	case w.user != "":
		next.User, next.Group = w.user, ""
	case next.User == "":
		if next.User, err = owner(directory); err != nil {
			return next, err
		}
	}
	next.Group = cmp.Or(w.group, next.Group)
	return next, checkAccounts(next)
}

// absolute are the paths of environment files; an empty one is none. One that may be missing keeps its dash.
func absolute(files []string) (paths []string, err error) {
	for _, name := range files {
		if name == "" {
			continue
		}
		name, optional := strings.CutPrefix(name, "-")
		path, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		if optional {
			path = "-" + path
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// newTarget is a backend to install for.
func newTarget(name, state string, root bool) (installation.Target, error) {
	switch name {
	case installation.Systemd:
		self, err := ownPath()
		if err != nil {
			return nil, err
		}
		return unit.New(self, state)
	case installation.Supervisor:
		return backend.SupervisedTarget{StateDir: state}, nil
	case installation.Bluepill:
		home, _ := os.UserHomeDir() //nolint:errcheck // root has none here
		return bluepill.NewTarget(root, home), nil
	}
	return nil, usagef("there is no backend %q: choose one of %s", name, strings.Join(installation.Backends, ", "))
}

// ownPath is where this program is, by the name that it has in PATH if it has one there: another version may be there tomorrow.
func ownPath() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find out where this program is: %w", err)
	}
	there, err := exec.LookPath("serval")
	if err != nil || !filepath.IsAbs(there) {
		return self, nil
	}
	a, err := os.Stat(self)
	b, statErr := os.Stat(there)
	if err == nil && statErr == nil && os.SameFile(a, b) {
		return there, nil
	}
	return self, nil
}
