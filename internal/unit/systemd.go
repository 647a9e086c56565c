// Package unit writes the systemd units of an app: a service for its web server with the socket that systemd keeps for it, and a
// template for the instances of each other process.
package unit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"serval/internal/installation"
	"serval/internal/plan"
)

// Systemd is the systemd of this host as what an app is installed for.
type Systemd struct {
	Directory string // of unit files
	Version   int    // of systemd
	Serval    string // the program's path, for units that call it
	StateDir  string // of the app
	Logrotate string // the directory of logrotate's configuration; empty: there is none
	Readable  func(path, user, group string) bool
}

// UnitDirectory is where an administrator's units are.
const UnitDirectory = "/etc/systemd/system"

// Check refuses users who may not write units, and hosts on which systemd does not run.
func (s *Systemd) Check() error {
	if os.Geteuid() != 0 {
		return errors.New("units of systemd are written by root: run this by sudo, or choose --backend supervisor")
	}
	if info, err := os.Lstat("/run/systemd/system"); err != nil || !info.IsDir() { // sd_booted(3)
		return errors.New("this host has not been booted with systemd: choose --backend supervisor")
	}
	return nil
}

// Files are the units, the links by which they are started at boot, copies of environment files where they are needed, and what
// logrotate is told.
func (s *Systemd) Files(i installation.Installation, p plan.Plan, services []installation.Service) ([]installation.File, error) {
	envFiles, err := s.environmentFiles(i)
	if err != nil {
		return nil, err
	}
	r := &rendering{Systemd: s, installation: i, plan: p, envFiles: envFiles}
	var files []installation.File
	for _, f := range envFiles {
		if f.source != "" {
			files = append(files, installation.File{Path: f.path, Text: f.text, Mode: 0o600, Volatile: true})
		}
	}
	for _, process := range p.Processes {
		units, err := r.process(process)
		if err != nil {
			return nil, err
		}
		files = append(files, units...)
	}
	rotation, err := r.rotation()
	if err != nil {
		return nil, err
	}
	files = append(files, rotation...)
	for _, service := range services {
		files = append(files, s.enabled("multi-user.target", service.Unit, p.Template(service.Process)))
	}
	return files, nil
}

// process are the units of a process.
func (r *rendering) process(p plan.Process) ([]installation.File, error) {
	service, err := r.installation.Template(r.plan, p)
	if err != nil {
		return nil, err
	}
	socket := ""
	if p.Web {
		socket = socketName(service)
	}
	files := []installation.File{r.file(service.Unit, r.service(service, socket))}
	if socket != "" {
		files = append(files, r.file(socket, r.socket(service, socket)), r.file(gateName(socket), r.gate(socket)), r.enabled("sockets.target", socket, socket))
	}
	if p.Health != nil {
		health := healthName(service.Unit, "")
		files = append(files, r.file(health, r.health(service, health)))
	}
	return files, nil
}

func (s *Systemd) file(unit, text string) installation.File {
	return installation.File{Path: filepath.Join(s.Directory, unit), Text: text, Mode: 0o644}
}

// enabled is the link by which a unit is started at boot.
func (s *Systemd) enabled(target, unit, file string) installation.File {
	return installation.File{Path: filepath.Join(s.Directory, target+".wants", unit), Kind: installation.Link, Text: filepath.Join(s.Directory, file)}
}

// Owned are the links of instances that were enabled since, by serval scale or by hand.
func (s *Systemd) Owned(i installation.Installation) (links []string) {
	for _, path := range i.Files {
		template, isTemplate := strings.CutSuffix(path, "@.service")
		if !isTemplate || filepath.Dir(path) != s.Directory {
			continue
		}
		found, err := filepath.Glob(filepath.Join(s.Directory, "*.wants", filepath.Base(template)+"@*.service"))
		if err != nil {
			continue // only a pattern that is none, and names have nothing special
		}
		for _, link := range found {
			if !slices.Contains(i.Files, link) {
				links = append(links, link)
			}
		}
	}
	return links
}
