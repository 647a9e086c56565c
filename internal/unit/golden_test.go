package unit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"serval/internal/analysis"
	"serval/internal/installation"
	"serval/internal/testkit"
)

// goldenApp is an app of a golden file on disk. The file is the app: each of its files after a line "-- PATH --", where ENV is
// the environment file. Lines before the first of them are options: "current" for an app behind such a link, "systemd: 254",
// "user: root", "scale: worker=3", "optional environment: NAME".
type goldenApp struct {
	top          string // a directory of its own
	directory    string
	optional     []string // environment files that may be missing
	systemd      *Systemd
	installation installation.Installation
}

func newGoldenApp(t *testing.T, input string) *goldenApp {
	t.Helper()
	a := &goldenApp{top: t.TempDir()}
	a.directory = filepath.Join(a.top, "blog")
	a.systemd = &Systemd{Directory: filepath.Join(a.top, "units"), Version: 252, Serval: filepath.Join(a.top, "bin/serval"), StateDir: filepath.Join(a.top, "state"),
		Readable: func(path, user, group string) bool { return user == "daemon" }}
	a.installation = installation.Installation{App: "blog", User: "daemon", Counts: map[string]int{}}
	for _, program := range []string{"serval", "bundle", "puma", "env", "sleep", "falcon"} {
		a.write(t, "bin/"+program, "#!/bin/sh\n", 0o755)
	}
	var name, text string
	env := "PATH=" + filepath.Join(a.top, "bin") + "\n"
	done := func() {
		if name == "ENV" {
			env += text
		} else if name != "" {
			a.write(t, a.inApp(name), text, 0o755)
		}
	}
	for line := range strings.Lines(input) {
		if next, isFile := strings.CutPrefix(strings.TrimSuffix(line, " --\n"), "-- "); isFile {
			done()
			name, text = next, ""
			continue
		}
		if name == "" {
			a.option(t, strings.TrimSpace(line))
		}
		text += line
	}
	done()
	a.write(t, "app.env", env, 0o600)
	a.installation.EnvFiles = append([]string{filepath.Join(a.top, "app.env")}, a.optional...)
	return a
}

func (a *goldenApp) inApp(name string) string {
	if filepath.Base(a.directory) == "current" {
		return "blog/releases/1/" + name
	}
	return filepath.Base(a.directory) + "/" + name
}

func (a *goldenApp) option(t *testing.T, line string) {
	t.Helper()
	key, value, _ := strings.Cut(line, ": ")
	switch key {
	case "current":
		a.directory = filepath.Join(a.top, "blog", "current")
		if err := os.MkdirAll(filepath.Join(a.top, "blog/releases/1"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("releases/1", a.directory); err != nil {
			t.Fatal(err)
		}
	case "logrotate":
		a.systemd.Logrotate = filepath.Join(a.top, "logrotate.d")
	case "directory":
		a.directory = filepath.Join(a.top, value)
	case "systemd":
		fmt.Sscan(value, &a.systemd.Version)
	case "user":
		a.installation.User = value
	case "optional environment":
		a.optional = []string{"-" + filepath.Join(a.top, value)}
	case "group":
		a.installation.Group = value
	case "scale":
		name, count, _ := strings.Cut(value, "=")
		n := 0
		fmt.Sscan(count, &n)
		a.installation.Counts[name] = n
	default:
		t.Fatalf("the golden file begins with %q", line)
	}
}

func (a *goldenApp) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(a.top, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// files are what install would put on disk.
func (a *goldenApp) files(t *testing.T) []installation.File {
	t.Helper()
	found := analysis.Analyze(os.DirFS(a.directory), analysis.Options{App: "blog", Directory: a.directory, Environment: "production"})
	if wrong := found.Findings.Errors(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	a.installation.Directory, a.installation.Prefix = a.directory, found.Prefix
	services, err := a.installation.Services(found.Plan)
	if err != nil {
		t.Fatal(err)
	}
	files, err := a.systemd.Files(a.installation, found.Plan, services)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestUnitsAreAsTheirGoldenFilesSay(t *testing.T) {
	testkit.Golden(t, "test/units", 20, func(t *testing.T, input string) string {
		a := newGoldenApp(t, input)
		var b strings.Builder
		var units []string
		for _, f := range a.files(t) {
			switch f.Kind {
			case installation.Text:
				fmt.Fprintf(&b, "-- %s (%04o) --\n%s", f.Path, f.Mode, f.Text)
			case installation.Link:
				fmt.Fprintf(&b, "-- %s -> %s --\n", f.Path, f.Text)
			case installation.Directory:
				t.Errorf("%s is a directory", f.Path)
			}
			if f.Kind == installation.Text && filepath.Dir(f.Path) == a.systemd.Directory {
				units = append(units, f.Path)
				a.write(t, strings.TrimPrefix(f.Path, a.top), f.Text, f.Mode)
			}
		}
		a.verify(t, units)
		a.rotate(t)
		return strings.ReplaceAll(b.String(), a.top, "")
	})
}

// verify has systemd itself look at units, where there is one.
func (a *goldenApp) verify(t *testing.T, units []string) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil || len(units) == 0 || a.systemd.Version > 252 {
		return
	}
	said, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	// Of what is wrong with the machine's own units, nothing is our doing.
	wrong := slices.DeleteFunc(strings.Split(string(said), "\n"), func(line string) bool { return !strings.Contains(line, "serval") && !strings.Contains(line, "cloud66") })
	if len(wrong) > 0 || err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	}
}

// rotate has logrotate itself rotate the logs that install tells it of, where there is one.
func (a *goldenApp) rotate(t *testing.T) {
	t.Helper()
	logrotate, err := exec.LookPath("logrotate")
	if err != nil || a.systemd.Logrotate == "" || os.Geteuid() != 0 {
		return
	}
	logs := []string{"custom_web.log", "worker_1.log", "worker_12.log"}
	for _, name := range logs {
		a.write(t, strings.TrimPrefix(filepath.Join(a.directory, "log", name), a.top), "said\n", 0o666)
	}
	a.write(t, "rotation", strings.ReplaceAll(a.rotation(t), "su daemon daemon", "su root root"), 0o644)
	if said, err := exec.Command(logrotate, "--force", "--state", filepath.Join(a.top, "logrotate.state"), filepath.Join(a.top, "rotation")).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("logrotate: %v\n%s", err, said)
	}
	for _, name := range logs {
		log := filepath.Join(a.directory, "log", name)
		before, _ := os.ReadFile(log + ".1")
		if now, err := os.ReadFile(log); err != nil || len(now) > 0 || string(before) != "said\n" {
			t.Errorf("%s has %q now, and had %q", log, now, before)
		}
	}
}

func (a *goldenApp) rotation(t *testing.T) string {
	t.Helper()
	for _, f := range a.files(t) {
		if filepath.Dir(f.Path) == a.systemd.Logrotate {
			return f.Text
		}
	}
	t.Fatal("logrotate is told nothing")
	return ""
}
