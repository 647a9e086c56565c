package bluepill

import (
	"slices"

	"serval/internal/finding"
)

// attributes are those of a process, and how each is read.
var attributes = map[string]func(*Process, setting) error{
	"pre_start_command": reads(setting.command, func(p *Process) *[]string { return &p.PreStart }),
	"start_command":     reads(setting.command, func(p *Process) *[]string { return &p.Start }),
	"stop_command":      reads(setting.command, func(p *Process) *[]string { return &p.Stop }),
	"restart_command":   reads(setting.command, func(p *Process) *[]string { return &p.Restart }),

	"daemonize":        reads(truth, func(p *Process) *bool { return &p.Daemonize }),
	"pid_file":         reads(setting.path, func(p *Process) *string { return &p.PIDFile }),
	"pid_command":      reads(setting.text, func(p *Process) *string { return &p.PIDCommand }),
	"cache_actual_pid": reads(falsehood, func(p *Process) *bool { return &p.ForgetPID }),

	"stdin":       reads(setting.path, func(p *Process) *string { return &p.Stdin }),
	"stdout":      reads(setting.path, func(p *Process) *string { return &p.Stdout }),
	"stderr":      reads(setting.path, func(p *Process) *string { return &p.Stderr }),
	"working_dir": reads(setting.path, func(p *Process) *string { return &p.Directory }),
	"environment": reads(setting.environment, func(p *Process) *[]string { return &p.Environment }),

	"uid":                  reads(setting.text, func(p *Process) *string { return &p.User }),
	"gid":                  reads(setting.text, func(p *Process) *string { return &p.UserGroup }),
	"supplementary_groups": reads(setting.texts, func(p *Process) *[]string { return &p.UserGroups }),

	"start_grace_time":   reads(setting.seconds, func(p *Process) *duration { return &p.StartGrace }),
	"stop_grace_time":    reads(setting.seconds, func(p *Process) *duration { return &p.StopGrace }),
	"restart_grace_time": reads(setting.seconds, func(p *Process) *duration { return &p.RestartGrace }),

	"stop_signals":     reads(setting.sequence, func(p *Process) *signals { return &p.StopSignals }),
	"auto_start":       reads(forbidden, func(p *Process) *bool { return &p.Unmonitored }),
	"on_start_timeout": reads(setting.event, func(p *Process) *string { return &p.OnStartTimeout }),
	"group":            reads(setting.text, func(p *Process) *string { return &p.Group }),

	"group_start_noblock":     waits("start"),
	"group_stop_noblock":      waits("stop"),
	"group_restart_noblock":   waits("restart"),
	"group_unmonitor_noblock": waits("unmonitor"),

	"actual_pid": func(*Process, setting) error { return nil }, // of a child
}

// reads puts a setting into a field.
func reads[T any](read func(setting) (T, error), field func(*Process) *T) func(*Process, setting) error {
	return func(p *Process, s setting) (err error) {
		if s.Value == nil { // as if it had not been set
			return nil
		}
		*field(p), err = read(s)
		return err
	}
}

// waits is for the attributes that say whether a command to the group goes on without waiting for this process.
func waits(command string) func(*Process, setting) error {
	return func(p *Process, s setting) error {
		if !s.truth() {
			p.OneByOne = append(p.OneByOne, command)
			slices.Sort(p.OneByOne)
		}
		return nil
	}
}

func truth(s setting) (bool, error)     { return s.truth(), nil }
func falsehood(s setting) (bool, error) { return !s.truth(), nil }

// forbidden is for auto_start, where only false means no.
func forbidden(s setting) (bool, error) { return s.Value == false, nil }

// attributes reads all of them that are known.
func (r *reading) attributes(p *Process, given map[string]setting) {
	for _, name := range sorted(given) {
		s := given[name]
		read, known := attributes[name]
		switch {
		case !known:
			r.warn(s.place, nearest(name), "%s is no attribute of a process and has no effect", name)
		case s.Foreign != "":
			r.fail(s.place, "write the value itself", "%s is of Ruby's class %s, and such a value cannot cross to Serval", name, s.Foreign)
		default:
			if err := read(p, s); err != nil {
				r.fail(s.place, "", "%s %v", name, err)
			}
		}
		if known && s.Foreign == "" && isCommand[name] {
			r.checkShell(name, s)
		}
	}
}

var isCommand = map[string]bool{"pre_start_command": true, "start_command": true, "stop_command": true, "restart_command": true}

// checkShell finds commands that were meant for a shell.
func (r *reading) checkShell(name string, s setting) {
	words, err := s.command()
	if err != nil {
		return
	}
	for _, word := range words {
		if slices.Contains(forShells, word) {
			r.warn(s.place, "write sh -c '…' around it, or use working_dir, environment, stdout and stderr", "%s has %s in it, and no shell runs it: the program gets that as a word", name, word)
			return
		}
	}
}

// nearest says which attribute may have been meant.
func nearest(name string) string {
	for _, known := range sorted(attributes) {
		if finding.Nearly(name, known) {
			return "did you mean " + known + "?"
		}
	}
	return ""
}
