// Package manifest reads what a manifest says about an app's processes: procfile_metadata, with or without the level of the
// environment above it. Everything else in the file belongs to others and is passed over in silence.
package manifest

import (
	"bytes"
	"errors"
	"strings"

	"go.yaml.in/yaml/v4"

	"serval/internal/finding"
	"serval/internal/plan"
	"serval/internal/sequence"
)

const maxSize = 4 << 20 // bytes of a manifest

const metadata = "procfile_metadata"

// Paths are where a manifest may be in the app's directory, the preferred one first.
var Paths = []string{".serval/manifest.yml", ".cloud66/manifest.yml"}

// File is a manifest.
type File struct {
	Path      string
	Processes []Process // in the order of the file
}

// Process is what the manifest says about a process. What is nil or zero, it does not mention.
type Process struct {
	Name  string // "web" and "custom_web" are the web server
	Place finding.Place

	RestartSignal   *plan.Signal
	StopSequence    sequence.Sequence
	RestartOnDeploy *bool

	// Serval's own.
	Count       *int
	MemoryLimit int64 // bytes
	User        string
	DependsOn   []string
	Health      *plan.Health

	places map[string]finding.Place // of keys
}

// Of returns where a key of the process stands; where it is not mentioned, the process's own place.
func (p *Process) Of(key string) finding.Place {
	if place, found := p.places[key]; found {
		return place
	}
	return p.Place
}

// Says reports whether the manifest mentions a key of the process.
func (p *Process) Says(key string) bool {
	_, says := p.places[key]
	return says
}

// Process returns what the manifest says about a process, or nil.
func (f *File) Process(name string) *Process {
	for i := range f.Processes {
		if f.Processes[i].Name == name {
			return &f.Processes[i]
		}
	}
	return nil
}

// Parse reads a manifest for an environment. What stands below the environment's name wins over what stands at the top.
// When an error was found, what is all right is there nevertheless.
func Parse(path string, text []byte, environment string) (*File, finding.List) {
	r := reader{file: &File{Path: path}}
	if len(text) > maxSize {
		r.complain(nil, "take out what is not needed", "a manifest of %d bytes is too large, %d are the most", len(text), maxSize)
		return r.file, r.found
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return r.file, nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		r.found = append(r.found, loadError(path, text, err))
		return r.file, r.found
	}
	r.document(&document, environment)
	return r.file, r.found
}

// loadError is a mistake in the YAML itself.
func loadError(path string, text []byte, err error) finding.Finding {
	f := finding.Finding{Level: finding.Error, Place: finding.Place{File: path}, Text: "this is no YAML, " + err.Error(), Remedy: "put it right"}
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return f
	}
	f.Line, f.Column = load.Mark.Line, load.Mark.Column
	what := strings.TrimPrefix(load.Message, "yaml: ")
	if load.ContextMsg != "" {
		what = load.ContextMsg + ": " + what
	}
	f.Text = "this is no YAML, " + what
	switch lines := bytes.Split(text, []byte("\n")); {
	case f.Line > 0 && f.Line <= len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[f.Line-1], " "), []byte("\t")):
		f.Text, f.Remedy = "a tab cannot indent a line of YAML", "use spaces"
	case strings.Contains(what, "UTF-8"):
		f.Line, f.Column = notUTF8(lines)
		f.Text, f.Remedy = "this is not UTF-8", "save the file as UTF-8"
	}
	return f
}
