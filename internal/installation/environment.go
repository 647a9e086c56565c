package installation

import (
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"serval/internal/analysis"
	"serval/internal/envfile"
	"serval/internal/plan"
	"serval/internal/procfile"
)

// Path is where programs are looked for when no environment file names PATH. It is systemd's and Debian's.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what the environment files say.
func (i Installation) environment() (map[string]string, error) {
	own := map[string]string{}
	entries, err := envfile.Read(i.EnvFiles)
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		own[name] = value
	}
	return own, err
}

// Given is what a process is told whatever the environment files say, unless they say something else about the same
// variables: where the app lives, in which environment it runs, and where the web server is found.
func (i Installation) Given(p plan.Process) map[string]string {
	given := map[string]string{
		"PATH": Path,
		// Ruby takes texts for ASCII where nothing says in which encoding they are, as in most units.
		"LANG":       "C.UTF-8",
		"STACK_BASE": analysis.Root(i.Directory),
		// The link current, and not the release that it leads to at the start: a web server that restarts itself goes there.
		"PWD": i.Directory,
	}
	i.follow(given, p)
	if name, err := os.Hostname(); err == nil {
		given["SERVER_NAME"] = name
	}
	maps.Copy(given, p.Environment)
	return given
}

// follow adds what has a web server that restarts itself go to where the link current leads then, and not to the release that it
// was started in. A command that takes a shell may have gone elsewhere.
func (i Installation) follow(given map[string]string, p plan.Process) {
	if info, err := os.Lstat(i.Directory); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return
	}
	if command, err := procfile.Split(p.Command); err != nil || command.Shell {
		return
	}
	switch p.Server {
	case "Serval":
		given["SERVAL_DIR"] = i.Directory
	case "Puma", "Unicorn":
		// Bundler would name the release's, and look for gems there for ever.
		if gemfile := i.gemfile(); gemfile != "" {
			given["BUNDLE_GEMFILE"] = gemfile
		}
	}
}

// gemfile is the app's Gemfile; empty where there is none.
func (i Installation) gemfile() string {
	for _, name := range []string{"Gemfile", "gems.rb"} {
		path := filepath.Join(i.Directory, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// variables is the whole environment of a process.
func (i Installation) variables(p plan.Process, name string, own map[string]string) (map[string]string, error) {
	env := i.Given(p)
	login, err := login(name)
	if err != nil {
		return nil, err
	}
	maps.Copy(env, login)
	maps.Copy(env, own)
	return env, nil
}

// login is what a user's processes are told about the user.
func login(name string) (map[string]string, error) {
	u, err := lookup(name)
	if err != nil {
		return nil, err
	}
	return map[string]string{"HOME": u.HomeDir, "USER": u.Username, "LOGNAME": u.Username}, nil
}

// lookup finds a user; an empty name is whoever runs this.
func lookup(name string) (*user.User, error) {
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("cannot find out who runs this: %w", err)
		}
		return u, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("there is no user %q on this host: make one, or name another", name)
	}
	return u, nil
}
