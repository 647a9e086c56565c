package bluepill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"serval/internal/finding"
	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/process"
	"serval/internal/sequence"
)

// File is a .pill file with what it describes.
type File struct {
	Path         string
	Applications []Application
}

// Files reads the .pill files of a directory. What is wrong with them is in the list.
func (e Evaluator) Files(ctx context.Context, directory string) (files []File, found finding.List, err error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*.pill"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		applications, wrong, err := e.Load(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, wrong...)
		if len(wrong.Errors()) == 0 {
			files = append(files, File{path, applications})
		}
	}
	return files, found, nil
}

// About reports whether an application is that of an app in a directory: a process of it runs there, or below.
func (a Application) About(directory string) bool {
	return slices.ContainsFunc(a.Processes, func(p Process) bool {
		return p.Directory == directory || strings.HasPrefix(p.Directory, strings.TrimSuffix(directory, "/")+"/")
	})
}

// End ends the daemon of an application, whoever's it is, and then its processes, as the file says. The error names what is
// still there.
func (c Client) End(ctx context.Context, app Application) error {
	id, err := c.Quit(app.Name)
	if err == nil {
		if err := gone(ctx, id, app.Patience); err != nil {
			return fmt.Errorf("bluepilld[%d] does not end: %w", id.PID, err)
		}
	} else if !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot end the daemon of %s: %w", app.Name, err)
	}
	d := &Daemon{app: app, log: &log{}, journal: openJournal(app.BaseDir, app.Name)}
	if file, err := openLog(app.LogFile, nil); err == nil {
		d.log = file
	}
	var mu sync.Mutex
	var left []error
	var all sync.WaitGroup
	for _, p := range app.Processes {
		m := newMonitor(p, d)
		if !m.running() {
			continue
		}
		all.Go(func() {
			defer m.drop()
			a := &action{id: m.handle.ID}
			m.stop(ctx, a, func() {})
			if a.id != (process.ID{}) {
				mu.Lock()
				defer mu.Unlock()
				left = append(left, fmt.Errorf("process %d (%s) is still there after its stop sequence", a.id.PID, p.Name))
			}
		})
	}
	all.Wait()
	return errors.Join(left...)
}

func gone(ctx context.Context, id process.ID, patience time.Duration) error {
	h, err := id.Open()
	if err != nil {
		return nil //nolint:nilerr // it has gone
	}
	defer h.Close()
	select {
	case <-h.Exited():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(patience):
		return fmt.Errorf("it is still there after %s", patience)
	}
}

// Leaver compares what Bluepill runs of an app with what systemd is to run of it.
type Leaver struct {
	Plan     plan.Plan
	Services []installation.Service
	Found    finding.List
	Changes  []Transition
}

// Transition is what becomes of one process.
type Transition struct {
	From, Unit     string // application:process; the unit
	LogBefore, Log string
	RestartBefore  string
	Restart        string
	StopBefore     string
	Stop           string
}

// bluepillStops are the stop signals that nobody has chosen.
var bluepillStops = []string{"quit, 30, term, 11, kill", "term, 31, kill"}

// Compare finds out what changes for the processes of an application.
func (l *Leaver) Compare(app Application) {
	for _, p := range app.Processes {
		s := l.service(app, p)
		if s == nil {
			l.Found.Add(finding.Error, p.Place, "write it into the Procfile, or take it out of the file", "no line of the Procfile runs %s, so systemd would not run it", p.Name)
			continue
		}
		l.compare(app, p, *s)
	}
}

// service is the service that takes a process's place: the web server's for the web server, for others that with the name and
// the number, or the one that runs the same words.
func (l *Leaver) service(app Application, p Process) *installation.Service {
	for i, s := range l.Services {
		web := strings.HasSuffix(app.Name, "_web_server") || p.PIDFile != "" && p.PIDFile == s.PIDFile
		if s.Process.Web && web {
			return &l.Services[i]
		}
	}
	for i, s := range l.Services {
		names := []string{fmt.Sprintf("user_%s_%d", s.Process.Name, s.Number), fmt.Sprintf("%s_%d", s.Process.Name, s.Number), fmt.Sprintf("%s-%d", s.Process.Name, s.Number), s.Process.Name}
		if !s.Process.Web && slices.Contains(names, p.Name) {
			return &l.Services[i]
		}
	}
	for i, s := range l.Services {
		if len(p.Start) == len(s.Argv) && filepath.Base(p.Start[0]) == filepath.Base(s.Argv[0]) && slices.Equal(p.Start[1:], s.Argv[1:]) {
			return &l.Services[i]
		}
	}
	return nil
}

func (l *Leaver) compare(app Application, p Process, s installation.Service) {
	t := Transition{From: app.Name + ":" + p.Name, Unit: s.Unit, LogBefore: p.Stdout, Log: s.Log, Stop: s.Process.StopSequence.String(), Restart: s.Process.RestartSignal.String()}
	t.StopBefore, t.RestartBefore = p.stops(), p.restarts()
	l.Changes = append(l.Changes, t)
	if p.StopSignals != nil && t.StopBefore != t.Stop && !slices.Contains(bluepillStops, t.StopBefore) {
		l.Found.Add(finding.Warning, p.at("stop_signals"), fmt.Sprintf("write stop_sequence: %s for %s into procfile_metadata of the manifest", t.StopBefore, s.Process.Name), "%s is stopped by a sequence of its own, and systemd would take %s", p.Name, t.Stop)
	}
	if p.Stop != nil {
		l.Found.Add(finding.Warning, p.at("stop_command"), "write a stop_sequence into procfile_metadata of the manifest", "systemd does not run the stop_command of %s, but sends %s", p.Name, t.Stop)
	}
	if signal, sent := p.restartSignal(); s.Process.Web && sent && signal != t.Restart {
		l.Found.Add(finding.Warning, p.at("restart_command"), fmt.Sprintf("write restart_signal: %s for web into procfile_metadata of the manifest", signal), "%s is restarted by %s, and serval restart web would send %s", p.Name, signal, t.Restart)
	}
	if p.PreStart != nil {
		l.Found.Add(finding.Warning, p.at("pre_start_command"), "have the Procfile's command do it first", "systemd does not run the pre_start_command of %s", p.Name)
	}
	if p.User != "" && p.User != s.User {
		l.Found.Add(finding.Warning, p.at("uid"), "say --user "+p.User, "%s runs as %s, and would as %s", p.Name, p.User, s.User)
	}
	for _, c := range p.Checks {
		remedy := "write a health_check for " + s.Process.Name + " into procfile_metadata of the manifest"
		if c.Kind == "mem_usage" {
			if s.Process.MemoryLimit > 0 {
				continue
			}
			remedy = fmt.Sprintf("write memory_limit: %d for %s into procfile_metadata of the manifest", int64(c.Below), s.Process.Name)
		}
		l.Found.Add(finding.Warning, p.Place, remedy, "systemd does not know the check %s of %s", c.Kind, p.Name)
	}
	l.compareEnvironment(p, s)
}

// compareEnvironment finds variables that only the file knows. Their values are nobody's business.
func (l *Leaver) compareEnvironment(p Process, s installation.Service) {
	var missing, other []string
	for _, entry := range p.Environment {
		name, value, _ := strings.Cut(entry, "=")
		now, set := lookup(s.Env, name)
		switch {
		case !set:
			missing = append(missing, name)
		case now != value:
			other = append(other, name)
		}
	}
	if len(missing) > 0 {
		l.Found.Add(finding.Error, p.at("environment"), "write them into an environment file, and name it by --env-file", "%s would not get %s, which only this file sets", p.Name, strings.Join(missing, ", "))
	}
	if len(other) > 0 {
		l.Found.Add(finding.Warning, p.at("environment"), "see which value is the right one", "%s would get other values of %s", p.Name, strings.Join(other, ", "))
	}
}

func lookup(env []string, name string) (value string, set bool) {
	for _, entry := range env {
		if v, found := strings.CutPrefix(entry, name+"="); found {
			value, set = v, true
		}
	}
	return value, set
}

func (p Process) at(attribute string) finding.Place {
	if place, set := p.Places[attribute]; set {
		return place
	}
	return p.Place
}

func (p Process) stops() string {
	switch {
	case p.Stop != nil:
		return join(p.Stop)
	case p.StopSignals != nil:
		return p.StopSignals.String()
	}
	return "term"
}

func (p Process) restarts() string {
	if signal, sent := p.restartSignal(); sent {
		return signal
	}
	if p.Restart != nil {
		return join(p.Restart)
	}
	return plan.Signal(0).String()
}

// restartSignal is the signal of a restart command that does nothing but send one: kill -USR2 {{PID}}.
func (p Process) restartSignal() (name string, sent bool) {
	words := p.Restart
	if len(words) == 4 && words[1] == "-s" {
		words = []string{words[0], "-" + words[2], words[3]}
	}
	if len(words) != 3 || filepath.Base(words[0]) != "kill" || words[2] != "{{PID}}" {
		return "", false
	}
	signal, err := sequence.ParseSignal(strings.TrimPrefix(words[1], "-"))
	if err != nil {
		return "", false
	}
	return sequence.Name(signal), true
}
