// Package analysis finds out what an app is and what is to run of it: a pure function from the app's files to a result,
// with everything that will not work as its author thinks, and what to do about it. It runs nothing: configuration files
// that are Ruby are looked at as text.
package analysis

import (
	"io/fs"

	"serval/internal/finding"
	"serval/internal/manifest"
	"serval/internal/plan"
	"serval/internal/procfile"
)

// Options are what the files do not say.
type Options struct {
	App         string // its name
	Directory   string // where the files are
	Environment string // production, …
	Prefix      string // of unit names; empty: cloud66 for an app with .cloud66, else serval
	Remembered  string // the web server of the first analysis; empty: this is the first
	Bluepill    bool   // signals the manifest does not name are those of Bluepill, not of systemd
}

// Result is what an analysis found out.
type Result struct {
	App         string       `json:"app"`
	Directory   string       `json:"directory"`
	Environment string       `json:"environment"`
	Framework   Found        `json:"framework"`
	Ruby        Found        `json:"ruby"`
	Bundle      Bundle       `json:"bundle"`
	Server      Server       `json:"web_server"`
	Remembered  string       `json:"first_web_server,omitempty"` // the web server of the first analysis
	Procfile    string       `json:"procfile,omitempty"`         // its path
	Manifest    string       `json:"manifest,omitempty"`         // its path
	Prefix      string       `json:"prefix"`
	Processes   []Process    `json:"processes"`
	Findings    finding.List `json:"findings"`
	Background  finding.List `json:"-"` // those of the findings that are about what goes into the background
	Plan        plan.Plan    `json:"-"` // worth nothing when there are errors
}

// Found is something with a version, and the place that says so.
type Found struct {
	Name    string         `json:"name,omitempty"`
	Version string         `json:"version,omitempty"`
	From    *finding.Place `json:"from,omitempty"`
}

// Server is the web server.
type Server struct {
	Found
	Why string `json:"why"` // what decided it, in words
}

// Process is one of the plan with where its settings come from.
type Process struct {
	plan.Process
	Unit         string        `json:"unit"` // the name of its systemd unit, or of the template of its units
	Line         finding.Place `json:"from"`
	RestartFrom  string        `json:"restart_signal_from"`
	SequenceFrom string        `json:"stop_sequence_from"`
}

// analyst has all that has been found so far.
type analyst struct {
	Options
	files    files
	result   Result
	found    finding.List
	procfile *procfile.File
	manifest *manifest.File
	gems     gems
	server   server
	program  program // the web server's
	config   config  // the web server's
}

// Analyze looks at the files of an app.
func Analyze(app fs.FS, o Options) Result {
	a := &analyst{Options: o, files: files{app}}
	a.result = Result{App: o.App, Directory: o.Directory, Environment: o.Environment, Remembered: o.Remembered, Prefix: a.prefix(), Processes: []Process{}}
	a.checkNames()
	a.readProcfile()
	a.readManifest()
	a.readBundle()
	a.findRuby()
	a.findFramework()
	a.chooseServer()
	a.checkApp()
	a.plan()
	a.check()
	a.found.Sort()
	a.result.Findings = a.found
	if a.found == nil {
		a.result.Findings = finding.List{}
	}
	return a.result
}

// Passenger reports whether a web server's name is that of the one that nginx runs, to or from which nobody changes after
// the first analysis.
func Passenger(server string) bool { return server == passenger.name }

func (a *analyst) prefix() string {
	switch {
	case a.Prefix != "":
		return a.Prefix
	case a.files.isDir(".cloud66"):
		return plan.Cloud66Prefix
	}
	return plan.Prefix
}

// checkNames refuses names that would become part of a path or a unit's name.
func (a *analyst) checkNames() {
	for _, n := range []struct{ what, name string }{{"app's name", a.App}, {"prefix", a.result.Prefix}, {"environment's name", a.Environment}} {
		if err := plan.CheckName(n.what, n.name); err != nil {
			a.sentence(finding.Error, finding.Place{}, err)
		}
	}
}

// readProcfile reads the Procfile of the environment, or that of all.
func (a *analyst) readProcfile() {
	a.procfile = &procfile.File{Path: "Procfile"}
	for _, name := range procfile.Names(a.Environment) {
		text, there := a.read(name)
		if !there {
			continue
		}
		var found finding.List
		a.result.Procfile = name
		a.procfile, found = procfile.Parse(name, text)
		a.found = append(a.found, found...)
		return
	}
}

// readManifest reads the manifest.
func (a *analyst) readManifest() {
	a.manifest = &manifest.File{}
	for _, path := range manifest.Paths {
		text, there := a.read(path)
		switch {
		case !there:
		case a.result.Manifest != "":
			a.found.Add(finding.Note, finding.Place{File: path}, "", "this manifest is passed over, since there is %s", a.result.Manifest)
		default:
			var found finding.List
			a.result.Manifest = path
			a.manifest, found = manifest.Parse(path, text, a.Environment)
			a.found = append(a.found, found...)
		}
	}
}

// checkApp looks whether there is an app at all.
func (a *analyst) checkApp() {
	rackup := a.files.exists("config.ru")
	if !rackup && a.result.Bundle.Gemfile == "" && a.result.Procfile == "" {
		a.found.Add(finding.Error, finding.Place{}, "name the directory with its config.ru, Gemfile and Procfile", "there is no app in %s", a.Directory)
		return
	}
	if !rackup {
		a.found.Add(finding.Warning, finding.Place{File: "config.ru"}, "write one, such as: require_relative \"app\"; run App", "it is not there, and web servers load the app by it")
	}
}
