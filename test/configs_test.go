package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// configFile is a file in test/configs. Its comments say how it is to be read:
//
//	# env: NAME=value     a variable that is set meanwhile
//	# puma: 8             the installed Puma does not know what it uses
//	# serval: name=value  what Serval makes of it, where that is not what the installed Puma does
//	# notices: names      the methods of which Serval says that they have no effect
type configFile struct {
	path    string
	env     map[string]string
	newer   bool
	want    map[string]string
	notices []string
}

func configFiles(t *testing.T) []configFile {
	t.Helper()
	paths, err := filepath.Glob("configs/*.rb")
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	var files []configFile
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if path, err = filepath.Abs(path); err != nil {
			t.Fatal(err)
		}
		f := configFile{path: path, env: map[string]string{}, want: map[string]string{}}
		for _, m := range regexp.MustCompile(`(?m)^# (env|puma|serval|notices): (.*)$`).FindAllStringSubmatch(string(text), -1) {
			name, value, _ := strings.Cut(m[2], "=")
			switch m[1] {
			case "env":
				f.env[name] = value
			case "puma":
				f.newer = true
			case "serval":
				f.want[name] = value
			case "notices":
				f.notices = strings.Fields(m[2])
			}
		}
		files = append(files, f)
	}
	return files
}

// report is what serval config --json writes.
type report struct {
	Settings map[string]struct{ Value, Source string }
	Objects  map[string]string
	Hooks    []struct{ Name string }
	Notices  []string
}

func (r *report) hooks() map[string]int {
	hooks := map[string]int{}
	for _, h := range r.Hooks {
		hooks[h.Name]++
	}
	return hooks
}

// pumaReport is what test/configs/support/puma_settings.rb writes about one file.
type pumaReport struct {
	Settings map[string]*string
	Hooks    map[string]int
	Objects  []string
}

// askPuma has the installed Puma load all files, each with its variables, and no file as "".
func askPuma(t *testing.T, dir string, files []configFile) map[string]pumaReport {
	t.Helper()
	type question struct {
		File *string           `json:"file"`
		Env  map[string]string `json:"env"`
	}
	asked := map[string]question{"": {nil, map[string]string{}}}
	for _, f := range files {
		if !f.newer {
			asked[f.path] = question{&f.path, f.env}
		}
	}
	input, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("configs/support/puma_settings.rb")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ruby", script)
	cmd.Dir, cmd.Stdin, cmd.Env = dir, bytes.NewReader(input), plainEnvironment(nil)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	reports := map[string]pumaReport{}
	if err := json.Unmarshal(out, &reports); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return reports
}

// plainEnvironment has nothing that either server takes for a wish, but more.
func plainEnvironment(more map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "SERVAL_") || strings.HasPrefix(name, "PUMA_") || strings.HasSuffix(name, "_ENV") ||
			slices.Contains([]string{"WEB_CONCURRENCY", "MIN_THREADS", "MAX_THREADS", "PORT", "TMPDIR", "PWD", "PIDFILE"}, name)
	})
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	return env
}

func askServal(t *testing.T, dir string, f configFile) report {
	t.Helper()
	cmd := exec.Command(testkit.Binary(t), "config", "--json", "-C", f.path)
	cmd.Dir, cmd.Env = dir, plainEnvironment(f.env)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// What a file sets has the value that Puma gives it, and what it leaves alone in Serval it leaves alone in Puma, too: the
// defaults themselves are those of a newer Puma.
func TestConfigurationFilesMeanWhatTheyMeanToPuma(t *testing.T) {
	dir := t.TempDir()
	files := configFiles(t)
	puma := askPuma(t, dir, files)
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f.path), ".rb"), func(t *testing.T) {
			have := askServal(t, dir, f)
			for name, want := range f.want {
				checkWish(t, &have, name, want)
			}
			if !f.newer {
				comparePuma(t, &f, &have, puma[f.path], puma[""])
			}
			for _, method := range f.notices {
				if !slices.ContainsFunc(have.Notices, func(n string) bool { return strings.Contains(n, ": "+method+" has no effect: ") }) {
					t.Errorf("nothing says that %s has no effect", method)
				}
			}
			if len(have.Notices) != len(f.notices) {
				t.Errorf("have notices %q, want of %q", have.Notices, f.notices)
			}
		})
	}
}

func checkWish(t *testing.T, have *report, name, want string) {
	t.Helper()
	setting, isSetting := have.Settings[name]
	switch {
	case name == "hooks":
		wanted := map[string]int{}
		for _, hook := range strings.Fields(want) {
			wanted[hook]++
		}
		if !maps.Equal(have.hooks(), wanted) {
			t.Errorf("have hooks %v, want %v", have.hooks(), wanted)
		}
	case isSetting && setting.Value != want:
		t.Errorf("%s is %q, want %q", name, setting.Value, want)
	case !isSetting && have.Objects[name] == "":
		t.Errorf("%s is missing", name)
	}
}

func comparePuma(t *testing.T, f *configFile, have *report, puma, untouched pumaReport) {
	t.Helper()
	for name, value := range puma.Settings {
		want, plain := text(value), text(untouched.Settings[name])
		setting, known := have.Settings[name]
		_, told := f.want[name]
		switch {
		case !known:
			t.Errorf("serval config shows no %s", name)
		case told, derived[name] && setting.Source == "default":
		case setting.Source == "default" && want != plain && setting.Value != want:
			t.Errorf("%s is Serval's default, and in Puma %q in place of %q", name, want, plain)
		case setting.Source != "default" && !same(name, setting.Value, want):
			t.Errorf("%s is %q (%s), in Puma %q", name, setting.Value, setting.Source, want)
		}
	}
	if !maps.Equal(have.hooks(), puma.Hooks) {
		t.Errorf("have hooks %v, in Puma %v", have.hooks(), puma.Hooks)
	}
	objects := slices.Sorted(maps.Keys(have.Objects))
	slices.Sort(puma.Objects)
	if !slices.Equal(objects, puma.Objects) {
		t.Errorf("have %q, in Puma %q", objects, puma.Objects)
	}
}

// derived are settings whose default follows others.
var derived = map[string]bool{"tag": true, "rackup": true, "preload": true}

// same allows what both mean: Puma keeps the name of a header in the env's spelling.
func same(name, have, want string) bool {
	switch name {
	case "remote-address":
		return strings.EqualFold(strings.ReplaceAll(have, "-", "_"), want)
	case "bind":
		return have == want || strings.ReplaceAll(have, "[::]", "0.0.0.0") == want // Puma 8's address for a port
	}
	return have == want
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

func TestTheConfigurationFilesCoverEveryMethod(t *testing.T) {
	out, err := exec.Command("ruby", "-r", "../ruby/lib/serval/configuration.rb", "-e",
		"puts Serval::Configuration::DSL.known - Serval::Configuration::Own.instance_methods").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range configFiles(t) {
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	methods := strings.Fields(string(out))
	if len(methods) < 80 {
		t.Errorf("only %d methods", len(methods))
	}
	for _, method := range methods {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)(^|[^#\w] *)%s\b`, regexp.QuoteMeta(strings.TrimSuffix(method, "!")))).MatchString(all.String()) {
			t.Errorf("no file in test/configs calls %s", method)
		}
	}
}
