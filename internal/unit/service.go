package unit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"serval/internal/envfile"
	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/procfile"
	"serval/internal/sequence"
)

// rendering is what all units of an app are made from.
type rendering struct {
	*Systemd
	installation installation.Installation
	plan         plan.Plan
	envFiles     []environmentFile
}

// environmentFile is a file of environment variables as systemd gets it.
type environmentFile struct {
	path   string // what systemd reads
	source string // what path is a copy of, made at each start; empty: it is the file itself
	text   string // of a copy
}

// head writes what every file begins with.
func (r *rendering) head(t *text, unit string) {
	t.comment("Written by serval install for " + r.plan.App + " in " + oneLine(r.installation.Directory) + ".")
	t.comment("The next install writes it anew; settings of your own go beside it:")
	t.comment("systemctl edit " + unit)
}

// oneLine is a text that cannot end a comment.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// service is the unit of a process, or the template of the units of its instances.
func (r *rendering) service(s installation.Service, socket string) string {
	var t text
	r.head(&t, s.Unit)
	r.unitSection(&t, s, socket)
	r.serviceSection(&t, s, socket)
	t.section("Install")
	t.set("WantedBy", "multi-user.target")
	return t.String()
}

func (r *rendering) unitSection(t *text, s installation.Service, socket string) {
	t.section("Unit")
	after, wants := []string{"network-online.target"}, []string{"network-online.target"}
	if s.Process.Web {
		t.set("Description", percent(r.plan.App+": web server, "+s.Process.Server))
	} else {
		t.set("Description", percent(r.plan.App+": "+s.Process.Name+" ")+"%i")
	}
	for _, name := range s.Process.DependsOn {
		units := r.units(name)
		after, wants = append(after, units...), append(wants, units...)
	}
	if s.Process.Health != nil {
		wants = append(wants, healthName(s.Unit, "%i"))
	}
	if socket != "" {
		t.set("Requires", socket)
		after = append(after, socket)
		wants = append(wants, gateName(socket))
	}
	t.set("Wants", strings.Join(wants, " "))
	t.set("After", strings.Join(after, " "))
	// A database that is away for minutes must not be the end of what needs it: it is tried again for ever.
	t.set("StartLimitIntervalSec", "0")
}

// units are the units of a process's instances.
func (r *rendering) units(name string) (units []string) {
	p := r.plan.Process(name)
	if p == nil {
		return nil
	}
	if p.Web {
		return []string{r.plan.Unit(*p, 0)}
	}
	for number := 1; number <= r.installation.Count(*p); number++ {
		units = append(units, r.plan.Unit(*p, number))
	}
	return units
}

func (r *rendering) serviceSection(t *text, s installation.Service, socket string) {
	serval := s.Process.Server == "Serval"
	command, _ := procfile.Split(s.Process.Command)
	t.section("Service")
	t.set("Type", map[bool]string{true: "notify", false: "simple"}[serval])
	if serval && command.Bare {
		t.set("NotifyAccess", "all")
	}
	t.set("User", percent(s.User))
	t.set("Group", percent(s.Group))
	t.set("WorkingDirectory", percent(s.Directory))
	r.environment(t, s, r.rereads(s))
	t.command("ExecStart", append([]string{r.Serval, "exec", "--log", s.Log}, s.Argv...)...)
	t.set("Sockets", socket)
	if s.Process.Web && s.Process.RestartSignal != 0 {
		t.command("ExecReload", r.reload(s.Process, command.Bare)...)
	}
	if s.Process.Server == "Unicorn" {
		// At USR2 a new master takes the old one's place, and says so in the pid file.
		t.set("PIDFile", percent(s.PIDFile))
	}
	t.stop(r.Serval, s.Process.StopSequence, command.Bare)
	t.set("Restart", "always")
	t.set("RestartSec", "1")
	if r.Version >= 254 {
		t.set("RestartSteps", "6")
		t.set("RestartMaxDelaySec", "60")
	}
	if serval {
		t.set("WatchdogSec", "30")
	}
	r.limits(t, s)
}

// reload is the command by which the web server restarts itself.
func (r *rendering) reload(p plan.Process, shell bool) []string {
	signal := syscall.Signal(p.RestartSignal)
	if p.Server == "Serval" {
		// These return when the new workers serve, and fail when they do not.
		switch signal {
		case syscall.SIGUSR1:
			return []string{r.Serval, "ctl", "-p", mainPID, "phased-restart"}
		case syscall.SIGUSR2:
			return []string{r.Serval, "ctl", "-p", mainPID, "restart"}
		}
	}
	if (p.Server == "Puma" || p.Server == "Unicorn") && !shell {
		// It waits for one that boots, since Ruby ends by a signal that nobody has a handler for yet.
		return []string{r.Serval, "signal", p.Server, sequence.Name(signal), mainPID}
	}
	return []string{"/bin/kill", "-s", strings.ToUpper(sequence.Name(signal)), mainPID}
}

// environment writes what the process is told. What the files say wins over Environment=. With rereads the process reads them
// itself.
func (r *rendering) environment(t *text, s installation.Service, rereads bool) {
	given := r.installation.Given(s.Process)
	if rereads {
		given["SERVAL_ENV_FILE"] = strings.Join(r.installation.EnvFiles, ",")
	}
	host, _ := os.Hostname()
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "SERVER_NAME" && given[name] == host {
			t.set("Environment", "SERVER_NAME=%H")
			continue
		}
		t.set("Environment", quote(name+"="+given[name]))
	}
	if rereads {
		return
	}
	for _, file := range r.envFiles {
		if file.source != "" {
			t.set("ExecStartPre", "+"+quote(r.Serval)+" environment "+literal(file.source)+" "+literal(file.path))
		}
		t.set("EnvironmentFile", percent(file.path))
	}
}

// rereads reports whether the process reads the environment files itself, at each of its restarts. What systemd gave it would
// stay when it is taken out of a file.
func (r *rendering) rereads(s installation.Service) bool {
	if s.Process.Server != "Serval" || filepath.Base(s.Argv[0]) != "serval" || len(r.installation.EnvFiles) == 0 {
		return false
	}
	commas := slices.ContainsFunc(r.installation.EnvFiles, func(path string) bool { return strings.Contains(path, ",") })
	return !commas && len(Unreadable(r.installation.EnvFiles, s.User, s.Group, r.Readable)) == 0
}

// Unreadable are the environment files that a user cannot read. One that may be missing, and is, can be read.
func Unreadable(files []string, user, group string, readable func(path, user, group string) bool) (found []string) {
	for _, path := range files {
		path, optional := strings.CutPrefix(path, "-")
		if _, err := os.Lstat(path); optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if !readable(path, user, group) {
			found = append(found, path)
		}
	}
	return found
}

// limits writes what the process may have and do.
func (r *rendering) limits(t *text, s installation.Service) {
	if s.Process.MemoryLimit > 0 {
		t.set("MemoryMax", fmt.Sprint(s.Process.MemoryLimit))
	}
	if s.Process.Web {
		t.set("OOMPolicy", "continue") // a worker that takes too much is replaced by the web server
		t.set("LimitNOFILE", "65536")  // every client takes a descriptor
	}
	// No PrivateTmp: the web server's socket and pid file are in /tmp. Nothing of what takes NoNewPrivileges along either, with
	// which neither sudo nor sendmail works.
	t.set("ProtectSystem", "full")
	t.set("ProtectControlGroups", "yes")
	if protected(r.installation.Directory) || protected(r.resolved()) {
		t.set("ReadWritePaths", quote(r.resolved()))
	}
}

func (r *rendering) resolved() string {
	path, err := filepath.EvalSymlinks(r.installation.Directory)
	if err != nil {
		return r.installation.Directory
	}
	return path
}

// protected reports whether ProtectSystem=full takes the permission to write away there.
func protected(path string) bool {
	for _, top := range []string{"/usr", "/boot", "/efi", "/etc"} {
		if path == top || strings.HasPrefix(path, top+"/") {
			return true
		}
	}
	return false
}

// environmentFiles are the files as systemd gets them. Of one that it would read otherwise than Serval it gets a copy in its own
// way of writing.
func (s *Systemd) environmentFiles(i installation.Installation) (files []environmentFile, err error) {
	for n, named := range i.EnvFiles {
		path, optional := strings.CutPrefix(named, "-")
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && optional {
			raw, err = nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the environment file: %w", err)
		}
		if envfile.SystemdAgrees(string(raw)) && !strings.ContainsAny(path, "*?[\\\n") {
			files = append(files, environmentFile{path: named})
			continue
		}
		env, err := envfile.Parse(path, string(raw))
		if err != nil {
			return nil, err
		}
		files = append(files, environmentFile{path: filepath.Join(s.StateDir, fmt.Sprintf("environment.%d", n+1)), source: named, text: envfile.Format(env)})
	}
	return files, nil
}
