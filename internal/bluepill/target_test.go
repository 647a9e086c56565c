package bluepill

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/finding"
	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/sequence"
)

// blog has the page's web server and two workers whose words and variables are hard to write down.
func blog() (installation.Installation, plan.Plan, []installation.Service) {
	p := plan.Plan{App: "blog", Prefix: plan.Cloud66Prefix}
	p.Add(plan.Process{Name: "web", Web: true, Count: 1, RestartSignal: plan.Signal(syscall.SIGUSR2), StopSequence: sequence.MustParse("quit, 30, term, 11, kill")})
	p.Add(plan.Process{Name: "worker", Count: 2, StopSequence: sequence.MustParse("term, 31, kill"), MemoryLimit: 1 << 20})
	i := installation.Installation{App: "blog", Directory: "/srv/blog", Prefix: p.Prefix, User: "nobody"}
	services := []installation.Service{{
		Process: p.Processes[0], Name: "web", Unit: "cloud66_web_server.service", Directory: i.Directory, User: "deploy", Group: "app_writers", Log: "/srv/blog/log/custom_web.log",
		Argv: []string{"/usr/bin/bundle", "exec", "puma", "--pidfile", "/tmp/web_server.pid"}, Env: []string{"RACK_ENV=production"}, PIDFile: "/tmp/web_server.pid",
	}}
	for n := 1; n <= 2; n++ {
		services = append(services, installation.Service{
			Process: p.Processes[1], Number: n, Unit: p.Unit(p.Processes[1], n), Name: "worker." + string(rune('0'+n)), Directory: i.Directory, Log: "/srv/blog/log/worker_" + string(rune('0'+n)) + ".log",
			Argv: []string{"/bin/sh", "-c", `echo "it's #{1}" $HOME & exit`, "", "a\tb\nc", "ü", "#{raise}"},
			Env:  []string{"A=#{raise} \"q\" \\ '", "B=two\nlines\x01", "C=\xff", "D="},
		})
	}
	return i, p, services
}

func TestWhatIsWrittenIsReadAsItWasMeant(t *testing.T) {
	i, p, services := blog()
	dir := t.TempDir()
	files, err := Target{dir}.Files(i, p, services)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]Application{}
	for _, f := range files {
		if f.Kind != installation.Text {
			continue
		}
		if f.Mode != 0o600 {
			t.Errorf("%s has mode %o, and secrets in it", f.Path, f.Mode)
		}
		write(t, f.Path, f.Text)
		applications, found, err := evaluator(t).Load(t.Context(), f.Path)
		if err != nil || len(found) > 0 || len(applications) != 1 {
			t.Fatalf("%v, %v\n%s", found, err, f.Text)
		}
		read[filepath.Base(f.Path)] = applications[0]
	}
	web, worker := read["cloud66_web_server.pill"], read["user_worker.pill"]
	if len(read) != 2 || len(web.Processes) != 1 || len(worker.Processes) != 2 {
		t.Fatalf("%+v", read)
	}
	want := Process{
		Name: "cloud66_web_server", Start: services[0].Argv, Restart: []string{"kill", "-USR2", "{{PID}}"}, Daemonize: true, PIDFile: "/tmp/web_server.pid",
		Stdout: "/srv/blog/log/unicorn_bluepill.log", Stderr: "/srv/blog/log/unicorn_bluepill.log", Directory: "/srv/blog", Environment: services[0].Env,
		User: "deploy", UserGroup: "app_writers", StartGrace: startGrace, RestartGrace: startGrace, StopGrace: 46 * time.Second,
		StopSignals: sequence.MustParse("quit, 30, term, 11, kill"), OnStartTimeout: "start",
	}
	web.Processes[0].Place, web.Processes[0].Places = finding.Place{}, nil
	if got := web.Processes[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\n%+v", got, want)
	}
	second := worker.Processes[1]
	second.Environment[2] = strings.ReplaceAll(second.Environment[2], "\ufffd", "\xff") // bytes that are no text do not cross to JSON
	if !reflect.DeepEqual(second.Start, services[2].Argv) || !reflect.DeepEqual(second.Environment, services[2].Env) {
		t.Errorf("%q\n%q", second.Start, second.Environment)
	}
	if second.Name != "user_worker_2" || second.Stdout != "/srv/blog/log/user_worker_2.log" || worker.LogFile != "/srv/blog/log/user_worker_pill.log" {
		t.Errorf("%+v", second)
	}
	if len(second.Checks) != 1 || second.Checks[0].Below != 1<<20 || second.Restart != nil {
		t.Errorf("%+v", second.Checks)
	}
}

func TestApplicationsAreCalledAsOnThePage(t *testing.T) {
	_, p, _ := blog()
	for prefix, want := range map[string]string{"cloud66": "cloud66_web_server user_worker", "serval": "serval_web_server user_worker", "shop": "shop_web_server shop_worker"} {
		if got := strings.Join(Applications(prefix, p), " "); got != want {
			t.Errorf("with %s they are %s", prefix, got)
		}
	}
	if got := NewTarget(true, os.Getenv("HOME")).Directory; got != "/etc/bluepill/autoload" {
		t.Error(got)
	}
	if got := NewTarget(false, "/home/a").Directory; got != "/home/a/.bluepill/autoload" {
		t.Error(got)
	}
}

func TestInstallSaysHowToLoadWhatItWrote(t *testing.T) {
	i, _, services := blog()
	want := "Start them, and have them take what has changed, by\n  bluepill load /x/cloud66_web_server.pill\n  bluepill load /x/user_worker.pill"
	if got := strings.Join(Target{"/x"}.Hints(nil, services, nil), "\n"); got != want {
		t.Error(got)
	}
	if got := (Target{"/x"}).Hints(&i, services, nil); got != nil {
		t.Errorf("%q although nothing has changed", got)
	}
}
