package installation

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"serval/internal/plan"
)

func blog() plan.Plan {
	p := plan.Plan{App: "blog", Prefix: plan.Cloud66Prefix}
	told := map[string]string{"RACK_ENV": "production", "CUSTOM_WEB_SOCKET_FILE": "unix:///tmp/web_server.sock", "CUSTOM_WEB_PID_FILE": "/tmp/web_server.pid"}
	p.Add(plan.Process{Name: "web", Web: true, Count: 1, Command: `sh -e $RACK_ENV -b "$SOCKET"`, Environment: told, Socket: "$SOCKET", PIDFile: "${PIDS:-tmp/pids}/web.pid"})
	p.Add(plan.Process{Name: "worker", Count: 2, Command: "bin/work -i {{UNIQUE_INT}} $QUEUE $NOTHING", Environment: told})
	p.Add(plan.Process{Name: "clock", Count: 0, Command: "cd clock && exec ./tick", Environment: told})
	return p
}

func services(t *testing.T, i Installation, env string) map[string]Service {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app.env")
	if err := os.WriteFile(file, []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	i.Directory, i.EnvFiles = "/srv/blog/current", []string{file}
	all, err := i.Services(blog())
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]Service{}
	for _, s := range all {
		named[s.Name] = s
	}
	return named
}

func TestServicesHaveWordsUnitsLogsAndSockets(t *testing.T) {
	s := services(t, Installation{}, "SOCKET=unix:///run/blog.sock\nQUEUE='a b'\n")
	web, second := s["web"], s["worker.2"]
	if len(s) != 3 || web.Number != 0 || second.Number != 2 {
		t.Fatalf("%v", s)
	}
	if !filepath.IsAbs(web.Argv[0]) || !slices.Equal(web.Argv[1:], []string{"-e", "production", "-b", "unix:///run/blog.sock"}) {
		t.Errorf("%q", web.Argv)
	}
	if !slices.Equal(second.Argv, []string{"/srv/blog/current/bin/work", "-i", "1012", "a", "b"}) || !slices.Equal(second.Missing, []string{"NOTHING"}) {
		t.Errorf("%q, %q", second.Argv, second.Missing)
	}
	for have, want := range map[string]string{
		web.Unit: "cloud66_web_server.service", second.Unit: "cloud66_process_worker@2.service",
		web.Log: "/srv/blog/current/log/custom_web.log", second.Log: "/srv/blog/current/log/worker_2.log",
		web.Socket: "/run/blog.sock", web.PIDFile: "/srv/blog/current/tmp/pids/web.pid", second.Socket: "",
		web.Directory: "/srv/blog/current",
	} {
		if have != want {
			t.Errorf("%q in place of %q", have, want)
		}
	}
}

func TestTheEnvironmentIsWhole(t *testing.T) {
	env := services(t, Installation{}, "RACK_ENV=staging\nPATH=/opt/ruby/bin:/bin\n")["web"].Env
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"RACK_ENV=staging", "PATH=/opt/ruby/bin:/bin", "LANG=C.UTF-8", "STACK_BASE=/srv/blog", "PWD=/srv/blog/current", "CUSTOM_WEB_PID_FILE=/tmp/web_server.pid", "HOME=" + me.HomeDir, "USER=" + me.Username, "LOGNAME=" + me.Username} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %q", want, env)
		}
	}
	if !slices.IsSorted(env) {
		t.Errorf("%q", env)
	}
}

func TestAnAddressHasItsVariables(t *testing.T) {
	var p plan.Plan
	p.Add(plan.Process{Name: "web", Web: true, Command: "puma", Address: "tcp://0.0.0.0:${PORT:-3000}", Environment: map[string]string{"PORT": "8000"}})
	all, err := Installation{}.Services(p)
	if err != nil || all[0].Address != "tcp://0.0.0.0:8000" || all[0].Socket != "" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestATemplateIsForAllInstances(t *testing.T) {
	p := blog()
	i := Installation{Directory: "/srv/blog"}
	s, err := i.Template(p, p.Processes[1])
	if err != nil {
		t.Fatal(err)
	}
	if s.Unit != "cloud66_process_worker@.service" || s.Log != "/srv/blog/log/worker_"+Instance+".log" || !slices.Equal(s.Argv, []string{"/srv/blog/bin/work", "-i", "101" + Instance}) {
		t.Errorf("%+v", s)
	}
	if s, err = i.Template(p, p.Processes[0]); err != nil || s.Unit != "cloud66_web_server.service" || s.Name != "web" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestThroughTheLinkCurrentAWebServerFindsTheNextRelease(t *testing.T) {
	base := t.TempDir()
	for name, err := range map[string]error{
		"release": os.Mkdir(filepath.Join(base, "1"), 0o755),
		"Gemfile": os.WriteFile(filepath.Join(base, "1", "Gemfile"), nil, 0o644),
		"link":    os.Symlink("1", filepath.Join(base, "current")),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	current, gemfile := filepath.Join(base, "current"), filepath.Join(base, "current", "Gemfile")
	for c, want := range map[[3]string][2]string{
		{"current", "Puma", "bundle exec puma"}:       {gemfile, ""},
		{"current", "Puma", "cd x; bundle exec puma"}: {"", ""},
		{"current", "Serval", "serval"}:               {"", current},
		{"current", "Serval", "cd x && serval"}:       {"", ""},
		{"current", "", "bundle exec sidekiq"}:        {"", ""},
		{"1", "Puma", "bundle exec puma"}:             {"", ""},
	} {
		given := Installation{Directory: filepath.Join(base, c[0])}.Given(plan.Process{Server: c[1], Command: c[2]})
		if given["BUNDLE_GEMFILE"] != want[0] || given["SERVAL_DIR"] != want[1] {
			t.Errorf("%q: %q", c, given)
		}
	}
}

func TestCountsOfScaleWin(t *testing.T) {
	s := services(t, Installation{Counts: map[string]int{"worker": 0, "clock": 1, "web": 5}}, "")
	if _, clock := s["clock.1"]; !clock || len(s) != 2 {
		t.Errorf("%v", s)
	}
	if argv := s["clock.1"].Argv; !slices.Equal(argv, []string{"/bin/sh", "-c", "cd clock && exec ./tick"}) {
		t.Errorf("%q", argv)
	}
}

func TestUsersAreThoseOfTheManifestOrOfTheInstallation(t *testing.T) {
	i := Installation{Directory: "/srv/blog", User: "nobody", Group: "daemon"}
	p := blog()
	p.Processes[1].User = "root"
	all, err := i.Services(p)
	if err != nil {
		t.Fatal(err)
	}
	if web, worker := all[0], all[1]; web.User != "nobody" || web.Group != "daemon" || worker.User != "root" || worker.Group != "" || !slices.Contains(worker.Env, "USER=root") {
		t.Errorf("%+v, %+v", web, worker)
	}
	p.Processes[1].User = "no-such-user"
	if _, err := i.Services(p); err == nil || !strings.Contains(err.Error(), `worker: there is no user "no-such-user"`) {
		t.Error(err)
	}
}

func TestACommandOfWhichNothingIsLeftIsRefused(t *testing.T) {
	var p plan.Plan
	p.Add(plan.Process{Name: "worker", Count: 1, Command: "$NOTHING"})
	if _, err := (Installation{Directory: "/srv/blog"}).Services(p); err == nil || !strings.Contains(err.Error(), `worker: nothing is left of "$NOTHING"`) {
		t.Error(err)
	}
}
