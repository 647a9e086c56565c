package bluepill

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"serval/internal/finding"
	"serval/internal/sequence"
)

// Application is what Bluepill.application describes: what one daemon runs.
type Application struct {
	Name       string        `json:"name"`
	BaseDir    string        `json:"base_dir"`
	LogFile    string        `json:"log_file,omitempty"` // empty: syslog
	Foreground bool          `json:"foreground,omitempty"`
	Patience   time.Duration `json:"patience"` // with an earlier daemon that is to end
	Processes  []Process     `json:"processes"`
}

// Process is one process of an application. Commands are words, run without a shell.
type Process struct {
	Name  string `json:"name"`
	Group string `json:"group,omitempty"` // empty: none

	PreStart []string `json:"pre_start,omitempty"`
	Start    []string `json:"start"`
	Stop     []string `json:"stop,omitempty"`    // {{PID}} in it is the process's
	Restart  []string `json:"restart,omitempty"` // {{PID}} in it is the process's; none: stop and start

	Daemonize  bool   `json:"daemonize,omitempty"` // the daemon puts it into the background; otherwise it does so itself
	PIDFile    string `json:"pid_file"`
	PIDCommand string `json:"pid_command,omitempty"` // a shell's, which prints the process id; wins over PIDFile
	ForgetPID  bool   `json:"forget_pid,omitempty"`  // look for it anew each time

	Stdin       string   `json:"stdin,omitempty"`
	Stdout      string   `json:"stdout,omitempty"` // appended to
	Stderr      string   `json:"stderr,omitempty"` // appended to
	Directory   string   `json:"directory,omitempty"`
	Environment []string `json:"environment,omitempty"` // NAME=value
	User        string   `json:"user,omitempty"`        // name or number
	UserGroup   string   `json:"user_group,omitempty"`  // name or number
	UserGroups  []string `json:"user_groups,omitempty"` // supplementary

	StartGrace   time.Duration `json:"start_grace"`
	StopGrace    time.Duration `json:"stop_grace"`
	RestartGrace time.Duration `json:"restart_grace"`

	StopSignals    sequence.Sequence `json:"stop_signals,omitempty"` // none, and no Stop either: TERM
	Unmonitored    bool              `json:"unmonitored,omitempty"`  // not started by itself
	OnStartTimeout string            `json:"on_start_timeout"`       // the event when a command is not in the background in time
	OneByOne       []string          `json:"one_by_one,omitempty"`   // commands to the group that wait for this process before the next

	Checks   []Check   `json:"checks,omitempty"`
	Flapping *Flapping `json:"flapping,omitempty"`
	Children *Children `json:"children,omitempty"` // nil: not looked after

	Place  finding.Place            `json:"-"` // where the file describes it
	Places map[string]finding.Place `json:"-"` // where it sets each attribute
}

// Children is how a process's children are looked after.
type Children struct {
	Stop      []string      `json:"stop"` // {{PID}} in it is the child's
	StopGrace time.Duration `json:"stop_grace"`
	Checks    []Check       `json:"checks,omitempty"`
	Flapping  *Flapping     `json:"flapping,omitempty"`
}

// Grace is how long a process is left alone after a start, a stop or a restart where nothing is said.
const Grace = 3 * time.Second

const maxName = 128

// reading makes applications of a report.
type reading struct {
	named, main string // how the file is called, and its absolute path
	classes     []class
	found       finding.List
}

// class is one of the file's own that is part of Bluepill.
type class struct {
	name, kind string
	at         finding.Place
}

// at is a place as it is shown.
func (r *reading) at(p place) finding.Place {
	if p.File == r.main {
		p.File = r.named
	}
	return finding.Place{File: p.File, Line: p.Line}
}

func (r *reading) fail(p place, remedy, format string, args ...any) {
	r.found.Add(finding.Error, r.at(p), remedy, format, args...)
}

func (r *reading) warn(p place, remedy, format string, args ...any) {
	r.found.Add(finding.Warning, r.at(p), remedy, format, args...)
}

func (r *reading) applications(answer *report) (all []Application) {
	for _, c := range answer.Classes {
		r.classes = append(r.classes, class{c.Name, c.Kind, r.at(c.place)})
		if c.Kind == "change" {
			r.warn(c.place, "", "%s is changed here, and that code is Bluepill's own: it has no effect on Serval", c.Name)
		}
	}
	if len(answer.Applications) == 0 {
		r.fail(place{File: r.main}, "write Bluepill.application(\"name\") do |app| … end", "the file describes no application")
	}
	names := map[string]bool{}
	for _, a := range answer.Applications {
		if names[a.Name] {
			r.fail(a.place, "give it another name", "the application %s is there twice", a.Name)
		}
		names[a.Name] = true
		all = append(all, r.application(a))
	}
	r.found.Sort()
	r.found = slices.CompactFunc(r.found, func(a, b finding.Finding) bool { return a == b }) // of children with what they inherit
	return all
}

func (r *reading) application(a givenApplication) Application {
	app := Application{Name: a.Name, BaseDir: absolute(a.BaseDir), Patience: 5 * time.Second}
	r.checkName(a.place, "application", a.Name)
	r.options(&app, a)
	if len(a.Processes) == 0 {
		r.warn(a.place, "add one with app.process(\"name\") do |process| … end", "the application %s has no process", a.Name)
	}
	for _, p := range a.Processes {
		app.Processes = append(app.Processes, r.process(p))
	}
	r.checkUnique(&app, a.Processes)
	return app
}

// options reads what stands beside the application's name.
func (r *reading) options(app *Application, a givenApplication) {
	a.Options.place = a.place
	options, ok := a.Options.Value.(map[string]any)
	if !ok {
		r.fail(a.place, "write them as log_file: \"/path\"", "the options of the application %s are no hash with values that can cross", a.Name)
	}
	for _, name := range sorted(options) {
		s := setting{place: a.place, Value: options[name]}
		var err error
		switch name {
		case "log_file":
			app.LogFile, err = s.path()
		case "base_dir": // the evaluator has seen it
		case "foreground":
			app.Foreground = s.truth()
		case "kill_timeout": // Bluepill counts half seconds
			var n float64
			n, err = s.number()
			app.Patience = time.Duration(n * float64(time.Second) / 2)
		default:
			r.warn(a.place, "Bluepill's are log_file, base_dir, foreground and kill_timeout", "%s is no option of an application and has no effect", name)
		}
		if err != nil {
			r.fail(a.place, "", "%s %v", name, err)
		}
	}
}

func (r *reading) process(p givenProcess) Process {
	result := Process{Name: p.Name, StartGrace: Grace, StopGrace: Grace, RestartGrace: Grace, OnStartTimeout: "start", Place: r.at(p.place), Places: map[string]finding.Place{}}
	for name, s := range p.Attributes {
		result.Places[name] = r.at(s.place)
	}
	r.checkName(p.place, "process", p.Name)
	r.attributes(&result, p.Attributes)
	result.Checks, result.Flapping = r.checks(p.Checks)
	if len(result.Start) == 0 && !r.failed(p.Attributes, "start_command") {
		r.fail(p.place, "set it, such as process.start_command = \"bundle exec puma\"", "the process %s has no start_command", p.Name)
	}
	if result.Group != "" {
		r.checkName(p.Attributes["group"].place, "group", result.Group)
	}
	r.checkStopSignals(result, p)
	if p.Children != nil {
		result.Children = r.children(p)
	}
	return result
}

// failed reports whether an attribute was set at all, so that what is wrong with it has been said.
func (r *reading) failed(attributes map[string]setting, name string) bool {
	s, set := attributes[name]
	return set && (s.Foreign != "" || s.Value != nil)
}

// checkStopSignals knows that Bluepill looks away for as long as stop_grace_time.
func (r *reading) checkStopSignals(result Process, p givenProcess) {
	if result.StopSignals == nil {
		return
	}
	total := result.StopSignals.Total()
	_, set := p.Attributes["stop_grace_time"]
	if !set || result.StopGrace <= total {
		r.fail(p.Attributes["stop_signals"].place, fmt.Sprintf("set stop_grace_time to more than %g seconds", total.Seconds()), "the stop_signals of %s take longer than its stop_grace_time", p.Name)
	}
}

func (r *reading) children(p givenProcess) *Children {
	var c Process
	c.StopGrace = Grace
	r.attributes(&c, p.Children.Attributes)
	children := &Children{Stop: c.Stop, StopGrace: c.StopGrace}
	children.Checks, children.Flapping = r.checks(p.Children.Checks)
	if len(c.Stop) == 0 {
		r.fail(p.Children.place, "set it, such as child.stop_command = \"kill -QUIT {{PID}}\"", "the children of %s have no stop_command", p.Name)
	}
	return children
}

// checkUnique refuses processes that would be taken for each other. Bluepill makes up the same pid file for processes of the
// same name in different groups; here the second one gets its group's name in front.
func (r *reading) checkUnique(app *Application, from []givenProcess) {
	names, files := map[string]bool{}, map[string]bool{}
	for i := range app.Processes {
		p := &app.Processes[i]
		where, made := from[i].place, from[i].Attributes["pid_file"].Default
		if names[p.Group+":"+p.Name] {
			r.fail(where, "give it another name, or another group", "the process %s is there twice", strings.TrimPrefix(p.Group+":"+p.Name, ":"))
		}
		names[p.Group+":"+p.Name] = true
		if files[p.PIDFile] && made && p.Group != "" {
			p.PIDFile = filepath.Join(filepath.Dir(p.PIDFile), unsafe.ReplaceAllString(p.Group, "_")+"_"+filepath.Base(p.PIDFile))
		}
		if files[p.PIDFile] && p.PIDFile != "" {
			r.fail(cmp.Or(from[i].Attributes["pid_file"].place, where), "give each its own", "two processes have the pid file %s", p.PIDFile)
		}
		files[p.PIDFile] = true
	}
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// checkName refuses names that could leave the directory that is named after them, or that a command could not name.
func (r *reading) checkName(at place, what, name string) {
	bad := func(c rune) bool { return c == '/' || c == ':' || c < ' ' || c == 0x7f }
	switch {
	case name == "":
		r.fail(at, "give it one", "the %s has no name", what)
	case len(name) > maxName:
		r.fail(at, "shorten it", "the name of the %s has %d bytes, and %d are the most", what, len(name), maxName)
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-"):
		r.fail(at, "begin with a letter or digit", "the name of the %s begins with %q: %q", what, name[:1], name)
	case strings.IndexFunc(name, bad) >= 0:
		r.fail(at, "use letters, digits, - and _", "the name of the %s has a %q in it: %q", what, []rune(name)[slices.IndexFunc([]rune(name), bad)], name)
	}
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
