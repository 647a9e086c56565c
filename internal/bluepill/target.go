package bluepill

import (
	"context"
	"fmt"
	"math"
	"os"

	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/sequence"
)

// Autoload is where root's .pill files are.
const Autoload = "/etc/bluepill/autoload"

// Target writes an app's processes as .pill files, which Bluepill itself could load, too: one for the web server, and one for
// each of the other process types.
type Target struct {
	Directory string // of the files
}

// NewTarget is the target for root, or for a user with a home directory.
func NewTarget(root bool, home string) Target {
	if root {
		return Target{Autoload}
	}
	return Target{filepath.Join(home, ".bluepill", "autoload")}
}

// Check has nothing to refuse: the files can be written before whatever loads them is there.
func (t Target) Check() error { return nil }

// Apply has nothing to do: what is loaded goes on until bluepill load.
func (t Target) Apply(context.Context) error { return nil }

// Hints say which command loads the files.
func (t Target) Hints(before *installation.Installation, services []installation.Service, changed []string) (hints []string) {
	if before != nil && len(changed) == 0 {
		return nil
	}
	var loads []string
	for _, s := range services {
		load := "  bluepill load " + filepath.Join(t.Directory, ApplicationName(prefixOf(s), s.Process)+".pill")
		if !slices.Contains(loads, load) {
			loads = append(loads, load)
		}
	}
	return append([]string{"Start them, and have them take what has changed, by"}, loads...)
}

// prefixOf is the prefix of a service's unit name.
func prefixOf(s installation.Service) string {
	prefix, _, _ := strings.Cut(s.Unit, "_web_server.service")
	if !s.Process.Web {
		prefix, _, _ = strings.Cut(s.Unit, "_process_"+s.Process.Name+"@")
	}
	return prefix
}

// Withdraw stops what the daemons run whose files are taken away, and ends them.
func (t Target) Withdraw(ctx context.Context, _ installation.Installation, paths []string, say func(string)) error {
	client := Client{BaseDir: BaseDir(os.Getenv, os.Geteuid() == 0), Timeout: 10 * time.Second, Attempts: 1, Say: func(string, ...any) {}}
	for _, path := range paths {
		name, isPill := strings.CutSuffix(filepath.Base(path), ".pill")
		if !isPill || filepath.Dir(path) != t.Directory || !slices.Contains(client.Running(), name) {
			continue
		}
		say("stopping " + name)
		if err := client.Stop(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Owned are the files of processes that there are no instances of any more.
func (t Target) Owned(installation.Installation) []string { return nil }

// Files are the .pill files. They have the environment in them, and are for their owner's eyes alone.
func (t Target) Files(i installation.Installation, p plan.Plan, services []installation.Service) ([]installation.File, error) {
	logs := installation.File{Path: filepath.Join(i.Directory, "log"), Kind: installation.Directory, Mode: 0o755}
	if who, err := (&Process{User: i.User, UserGroup: i.Group}).identity(); err == nil && who.credential != nil {
		logs.UID, logs.GID = int(who.credential.Uid), int(who.credential.Gid)
	}
	files := []installation.File{{Path: t.Directory, Kind: installation.Directory, Mode: 0o755}, logs}
	for _, process := range p.Processes {
		own := slices.DeleteFunc(slices.Clone(services), func(s installation.Service) bool { return s.Process.Name != process.Name })
		if len(own) == 0 {
			continue
		}
		name := ApplicationName(i.Prefix, process)
		text, err := writePill(name, own)
		if err != nil {
			return nil, err
		}
		files = append(files, installation.File{Path: filepath.Join(t.Directory, name+".pill"), Text: text, Mode: 0o600})
	}
	return files, nil
}

// ApplicationName is what the application of a process is called, and its file: cloud66_web_server, user_worker. A prefix
// that somebody chose is part of all names.
func ApplicationName(prefix string, process plan.Process) string {
	switch {
	case process.Web:
		return prefix + "_web_server"
	case prefix == plan.Prefix || prefix == plan.Cloud66Prefix:
		return "user_" + process.Name
	}
	return prefix + "_" + process.Name
}

// Applications are the names of the applications of an app.
func Applications(prefix string, p plan.Plan) (names []string) {
	for _, process := range p.Processes {
		names = append(names, ApplicationName(prefix, process))
	}
	return names
}

// Where the grace times come from: how long a web server may take to boot, and what is added to the stop sequence so that
// its last signal has an effect before anybody looks.
const (
	startGrace = 10 * time.Second
	stopMargin = 5 * time.Second
)

// writePill writes the application of one process type.
func writePill(name string, services []installation.Service) (string, error) {
	var b strings.Builder
	first := services[0]
	b.WriteString("# Written by serval install, and again by the next one. serval uninstall takes it away.\n\n")
	log := filepath.Join(filepath.Dir(first.Log), name+"_pill.log")
	fmt.Fprintf(&b, "Bluepill.application(%s, log_file: %s) do |app|\n", quote(name), quote(log))
	for n, s := range services {
		if n > 0 {
			b.WriteString("\n")
		}
		processName := name
		if !s.Process.Web {
			processName = fmt.Sprintf("%s_%d", name, s.Number)
		}
		if err := writeProcess(&b, processName, s); err != nil {
			return "", err
		}
	}
	b.WriteString("end\n")
	return b.String(), nil
}

func writeProcess(b *strings.Builder, name string, s installation.Service) error {
	words := join(s.Argv)
	if again, err := split(words); err != nil || !slices.Equal(again, s.Argv) {
		return fmt.Errorf("%s: the command %q cannot be written for Bluepill: put it into a script", s.Name, s.Argv)
	}
	set := func(name, value string) { fmt.Fprintf(b, "    process.%s = %s\n", name, value) }
	fmt.Fprintf(b, "  app.process(%s) do |process|\n", quote(name))
	set("start_command", quote(words))
	set("working_dir", quote(s.Directory))
	b.WriteString("    process.environment = {\n")
	for _, entry := range s.Env {
		variable, value, _ := strings.Cut(entry, "=")
		fmt.Fprintf(b, "      %s => %s,\n", quote(variable), quote(value))
	}
	b.WriteString("    }\n")
	if s.User != "" {
		set("uid", quote(s.User))
	}
	if s.Group != "" {
		set("gid", quote(s.Group))
	}
	set("daemonize", "true")
	if s.PIDFile != "" {
		set("pid_file", quote(s.PIDFile))
	}
	log := LogFile(s)
	set("stdout", quote(log))
	set("stderr", quote(log))
	set("start_grace_time", seconds(startGrace))
	set("stop_signals", stopSignals(s.Process.StopSequence))
	set("stop_grace_time", seconds(s.Process.StopSequence.Total()+stopMargin))
	if s.Process.RestartSignal != 0 {
		set("restart_command", quote("kill -"+strings.ToUpper(s.Process.RestartSignal.String())+" {{PID}}"))
		set("restart_grace_time", seconds(startGrace))
	}
	if limit := s.Process.MemoryLimit; limit > 0 {
		fmt.Fprintf(b, "    process.checks :mem_usage, every: 10.seconds, below: %d, times: 3, include_children: true\n", limit)
	}
	if s.Process.Health != nil {
		b.WriteString("    # The manifest's health_check is not here: Bluepill can ask neither a unix socket nor a command.\n")
	}
	b.WriteString("  end\n")
	return nil
}

// LogFile is where what a process says goes under Bluepill: custom_web.log is unicorn_bluepill.log there, and worker_1.log
// user_worker_1.log.
func LogFile(s installation.Service) string {
	directory, name := filepath.Split(s.Log)
	if s.Process.Web {
		return directory + "unicorn_bluepill.log"
	}
	return directory + "user_" + name
}

func stopSignals(s sequence.Sequence) string {
	var words []string
	for i, step := range s {
		words = append(words, ":"+sequence.Name(step.Signal))
		if i < len(s)-1 {
			words = append(words, seconds(step.Wait))
		}
	}
	return "[" + strings.Join(words, ", ") + "]"
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d.seconds", int(math.Ceil(d.Seconds())))
}

// quote writes a text as Ruby does, in double quotes.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	whole := utf8.ValidString(text)
	for _, c := range []byte(text) {
		switch {
		case c == '"' || c == '\\' || c == '#':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f || c > 0x7f && !whole:
			fmt.Fprintf(&b, `\x%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

var _ installation.Target = Target{}
