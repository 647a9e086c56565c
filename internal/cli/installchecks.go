package cli

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"serval/internal/analysis"
	"serval/internal/finding"
	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/unit"
)

// owner is the name of the user whom a directory belongs to.
func owner(directory string) (string, error) {
	info, err := os.Stat(directory)
	if err != nil {
		return "", err
	}
	uid := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid)
	u, err := user.LookupId(uid)
	if err != nil {
		return "", fmt.Errorf("%s belongs to user %s, who has no name on this host: say by --user who the app is to run as", directory, uid)
	}
	return u.Username, nil
}

// checkAccounts refuses users and groups that are not there.
func checkAccounts(i installation.Installation) error {
	if _, err := user.Lookup(i.User); err != nil {
		return fmt.Errorf("there is no user %q on this host: make one, or name another by --user", i.User)
	}
	if i.Group == "" {
		return nil
	}
	if _, err := user.LookupGroup(i.Group); err != nil {
		return fmt.Errorf("there is no group %q on this host: make one, or name another by --group", i.Group)
	}
	return nil
}

// findingsOf are the warnings of an analysis as sentences.
func findingsOf(r analysis.Result) (sentences []string) {
	for _, f := range r.Findings {
		if f.Level == finding.Warning {
			sentences = append(sentences, "warning: "+f.Error())
		}
	}
	return sentences
}

// warnings are what is worth knowing about the host and does not stand in the way.
func (p *project) warnings() (sentences []string) {
	warn := func(format string, args ...any) {
		sentences = append(sentences, "warning: "+fmt.Sprintf(format, args...))
	}
	p.warnOfDirectory(warn)
	p.warnOfVariables(warn)
	for _, path := range p.next.EnvFiles {
		path = strings.TrimPrefix(path, "-")
		if info, err := os.Stat(path); err == nil && info.Mode()&0o004 != 0 {
			warn("%s can be read by every user of this host: chmod o-r it if there are secrets in it", path)
		}
	}
	return sentences
}

// warnOfDirectory looks at who else could decide what runs.
func (p *project) warnOfDirectory(warn func(string, ...any)) {
	directory, err := filepath.EvalSymlinks(p.next.Directory)
	if err != nil {
		directory = p.next.Directory
	}
	if info, err := os.Stat(directory); err == nil && info.Mode()&0o002 != 0 {
		warn("%s can be written by every user, who could have %s run anything: chmod o-w %[1]s", directory, p.next.User)
	}
	if log := filepath.Join(directory, "log"); !unit.Readable(directory, p.next.User, p.next.Group) {
		warn("%s cannot enter %s, and runs nothing there: chown it, or chmod the directories that it is in", p.next.User, directory)
	} else if !unit.Writable(log, p.next.User, p.next.Group) && (there(log) || !unit.Writable(directory, p.next.User, p.next.Group)) {
		warn("%s cannot write to %s, so what processes say goes to the journal: make it, and chown it to that user", p.next.User, log)
	}
	if u, err := user.Lookup(p.next.User); err == nil && u.Uid == "0" {
		warn("the app runs as root, which no web app needs: give its directory to a user of its own (chown), or name one by --user")
	}
}

// warnOfVariables looks at what commands do not get.
func (p *project) warnOfVariables(warn func(string, ...any)) {
	told := map[string]bool{}
	for _, s := range p.services {
		for _, name := range s.Missing {
			if at := s.Process.Name + " " + name; !told[at] {
				warn("%s: $%s has no value, so the command goes without it: give it one in the environment file", s.Process.Name, name)
				told[at] = true
			}
		}
		if s.Process.Server != "Serval" {
			continue
		}
		for _, path := range unit.Unreadable(p.next.EnvFiles, s.User, s.Group, unit.Readable) {
			warn("%s cannot read %s, so its changes take serval restart web --hard: chgrp it to a group of that user and chmod g+r it to have every restart take them", s.User, path)
		}
	}
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// refuseEdited protects what somebody has written.
func (p *project) refuseEdited(force bool) error {
	if len(p.change.Edited) == 0 || force {
		return nil
	}
	path := p.change.Edited[0]
	if p.before != nil && slices.Contains(p.before.Files, path) {
		return fmt.Errorf("%s was edited after it was installed: move the changes to a file of their own (systemctl edit %s), or give --force to have them overwritten", path, filepath.Base(path))
	}
	if other := ownerOf(path, p.state); other != nil {
		return fmt.Errorf("%s belongs to the app %s in %s: choose other names with --prefix", path, other.App, other.Directory)
	}
	return fmt.Errorf("%s is there already, and serval install has not written it: choose other names with --prefix, take it away, or give --force to have it overwritten", path)
}

// ownerOf is the installation of another app that a file belongs to, or nil.
func ownerOf(path, state string) *installation.Installation {
	for _, other := range others(state) {
		if slices.Contains(other.Files, path) {
			return other
		}
	}
	return nil
}

// others are the installations of other apps.
func others(state string) (found []*installation.Installation) {
	states, _ := filepath.Glob(filepath.Join(filepath.Dir(state), "*")) //nolint:errcheck // the pattern is well-formed but for odd names
	for _, other := range states {
		if i, err := installation.Load(other); err == nil && i != nil && other != state {
			found = append(found, i)
		}
	}
	return found
}

// refuseTaken refuses a socket that systemd holds for another app: it would take the path from that.
func (p *project) refuseTaken() error {
	for _, s := range p.services {
		if !s.Process.Web || s.Socket == "" {
			continue
		}
		for _, other := range others(p.state) {
			if slices.ContainsFunc(other.Files, func(path string) bool { return unit.Listens(path, s.Socket) }) {
				return fmt.Errorf("%s is the socket of the app %s in %s: have the command name another, such as /run/%s.sock", s.Socket, other.App, other.Directory, p.next.App)
			}
		}
	}
	return nil
}

// checkPrograms refuses commands that nobody could execute, those of processes without instances included.
func checkPrograms(i installation.Installation, p plan.Plan) error {
	for _, process := range p.Processes {
		s, err := i.Template(p, process)
		if err != nil {
			return err
		}
		if filepath.IsAbs(s.Argv[0]) {
			if info, err := os.Stat(s.Argv[0]); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				continue
			}
			return fmt.Errorf("%s: there is no program %s: install it, or put the command right", process.Name, s.Argv[0])
		}
		return fmt.Errorf("%s: there is no program %s in PATH (%s): install it, or give PATH another value in the environment file", process.Name, s.Argv[0], valueOf(s.Env, "PATH"))
	}
	return nil
}
