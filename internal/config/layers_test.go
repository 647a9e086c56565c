package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rubyCode finds Serval's Ruby in the source tree, wherever a test has gone.
func rubyCode(name string) (string, error) { return filepath.Join(lib, name), libErr }

var lib, libErr = filepath.Abs("../../ruby/lib")

// withFiles makes an app with files, by their paths.
func withFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// evaluated loads an app with its configuration files.
func evaluated(t *testing.T, dir string, args []Arg, environ ...string) Config {
	t.Helper()
	environ = append(environ, "PATH="+os.Getenv("PATH"), "PWD="+dir)
	c, err := Load(append([]Arg{{"dir", dir}}, args...), "", environ, rubyCode)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryPairOfSourcesHasAStrongerOne(t *testing.T) {
	dir := withFiles(t, map[string]string{"config/puma.rb": "workers 3\n"})
	empty := withFiles(t, nil)
	for set := range 1 << 4 { // the sources that speak, weakest first
		variable, file, own, flag := set&1 != 0, set&2 != 0, set&4 != 0, set&8 != 0
		want, source := 0, "default"
		app, args, environ := empty, []Arg(nil), []string(nil)
		if variable {
			environ, want, source = append(environ, "WEB_CONCURRENCY=2"), 2, "WEB_CONCURRENCY"
		}
		if file {
			app, want, source = dir, 3, "config/puma.rb:1"
		}
		if own {
			environ, want, source = append(environ, "SERVAL_WORKERS=4"), 4, "SERVAL_WORKERS"
		}
		if flag {
			args, want, source = []Arg{{"workers", "5"}}, 5, "--workers"
		}
		c := evaluated(t, app, args, environ...)
		if c.Workers != want || c.Source("workers") != source {
			t.Errorf("variable %t, file %t, SERVAL_ %t, flag %t: have %d by %s, want %d by %s",
				variable, file, own, flag, c.Workers, c.Source("workers"), want, source)
		}
	}
}

func TestBindsOfAStrongerSourceTakeThePlaceOfAll(t *testing.T) {
	dir := withFiles(t, map[string]string{"config/puma.rb": "bind 'tcp://127.0.0.1:1'\nport 2, '127.0.0.1'\n"})
	for _, test := range []struct {
		args    []Arg
		environ string
		want    []string
		source  string
	}{
		{nil, "", []string{"tcp://127.0.0.1:1", "tcp://127.0.0.1:2"}, "config/puma.rb:2"},
		{nil, "SERVAL_BIND=unix:///a,unix:///b", []string{"unix:///a", "unix:///b"}, "SERVAL_BIND"},
		{[]Arg{{"bind", "unix:///c"}, {"bind", "unix:///d"}}, "SERVAL_BIND=unix:///a", []string{"unix:///c", "unix:///d"}, "--bind"},
	} {
		c := evaluated(t, dir, test.args, test.environ)
		if !slices.Equal(c.Binds, test.want) || c.BindSource(1) != test.source {
			t.Errorf("%v %s: have %q by %s", test.args, test.environ, c.Binds, c.BindSource(1))
		}
	}
}

func TestTheFirstFileThatIsThereIsRead(t *testing.T) {
	files := map[string]string{}
	order := []string{"config/serval/production.rb", "config/serval.rb", "config/puma/production.rb", "config/puma.rb"}
	for i := len(order) - 1; i >= 0; i-- {
		files[order[i]] = fmt.Sprintf("tag %q\n", order[i])
		dir := withFiles(t, files)
		if c := evaluated(t, dir, nil, "RACK_ENV=production"); c.Tag != order[i] || !slices.Equal(c.ConfigFiles, []string{dir + "/" + order[i]}) {
			t.Errorf("with %v: have %q of %q", files, c.Tag, c.ConfigFiles)
		}
	}
	dir := withFiles(t, files)
	if c := evaluated(t, dir, []Arg{{"environment", "test"}}); c.Tag != "config/serval.rb" {
		t.Errorf("in another environment have %q", c.Tag)
	}
	for _, args := range [][]Arg{{{"no-config", "true"}}, {{"config", "-"}}} {
		if c := evaluated(t, dir, args); len(c.ConfigFiles) != 0 || c.Tag != filepath.Base(dir) {
			t.Errorf("%v: have %q", args, c.ConfigFiles)
		}
	}
}

func TestFilesThatAreNamedAddUpAndTheLaterOneWins(t *testing.T) {
	dir := withFiles(t, map[string]string{
		"a.rb": "tag 'a'\nworkers 2\nbind 'unix:///a'\n", "b.rb": "tag 'b'\nbind 'unix:///b'\n", "config/puma.rb": "tag 'c'\n",
	})
	c := evaluated(t, dir, []Arg{{"config", "a.rb"}, {"config", "b.rb"}})
	if c.Tag != "b" || c.Workers != 2 || !slices.Equal(c.Binds, []string{"unix:///a", "unix:///b"}) {
		t.Errorf("have %q, %d workers, %q", c.Tag, c.Workers, c.Binds)
	}
	if have := c.Source("tag"); have != "b.rb:1" {
		t.Errorf("the tag is by %s", have)
	}
	_, err := Load([]Arg{{"dir", dir}, {"config", "gone.rb"}}, "", nil, rubyCode)
	if err == nil || err.Error() != "cannot read the configuration file gone.rb (-C): no such file or directory" {
		t.Errorf("have %v", err)
	}
}

func TestMistakesInAFileNameTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"workers 2\nthreads 3, 1\n": "config/puma.rb:2: threads 3, 1: the smaller number comes first",
		"\nworkers 5000\n":          `config/puma.rb:2: workers "5000": give a whole number from 0 to 1024`,
		"max_body '10X'\n":          `config/puma.rb:1: max_body "10X": give a number of bytes`,
		"boom\n":                    "config/puma.rb:1: there is no setting called boom",
		"1 +\n":                     "config/puma.rb:1: syntax error",
		"exit!\n":                   "config/puma.rb: Ruby ended before it was done",
	} {
		dir := withFiles(t, map[string]string{"config/puma.rb": text})
		_, err := Load([]Arg{{"dir", dir}}, "", []string{"PATH=" + os.Getenv("PATH")}, rubyCode)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: have %v, want %s", text, err, want)
		}
	}
}

func TestWhatAFilePrintsDoesNotMatter(t *testing.T) {
	dir := withFiles(t, map[string]string{"config/puma.rb": "puts '{}'\n$stdout.flush\nsystem('echo more')\ntag 'x'\n"})
	if c := evaluated(t, dir, nil); c.Tag != "x" {
		t.Errorf("have %q", c.Tag)
	}
}

func TestBlocksAndObjectsOfAFileAreKnown(t *testing.T) {
	for text, want := range map[string]struct{ mold, app, formatter, logger bool }{
		"on_worker_boot { }\nout_of_band { }\n":    {},
		"before_fork { }\n":                        {mold: true},
		"after_booted { }\n":                       {mold: true},
		"app { |env| [200, {}, []] }\n":            {app: true},
		"log_formatter { |line| line }\n":          {formatter: true},
		"custom_logger $stderr\n":                  {logger: true},
		"plugin :tmp_restart\nbefore_refork { }\n": {},
	} {
		c := evaluated(t, withFiles(t, map[string]string{"config/puma.rb": text}), nil)
		if c.MoldHooks != want.mold || c.App != want.app || c.LogFormatter != want.formatter || c.CustomLogger != want.logger {
			t.Errorf("%q: have hooks %t, app %t, formatter %t, logger %t", text, c.MoldHooks, c.App, c.LogFormatter, c.CustomLogger)
		}
		if strings.Contains(text, "tmp_restart") != c.TmpRestart {
			t.Errorf("%q: tmp restart is %t", text, c.TmpRestart)
		}
	}
}

func TestAFileSetsWhatFlagsSet(t *testing.T) {
	dir := withFiles(t, map[string]string{"config/serval.rb": `
request_timeout 2.5
worker_max_age "12h"
queue_limit 7
enable_keep_alives false
raise_exception_on_sigterm false
supported_http_methods %w[GET POST]
state_permission 0640
worker_culling_strategy :oldest
fork_worker
directory "sub"
pidfile "app.pid"
`})
	c := evaluated(t, dir, nil)
	if c.RequestTimeout != 2500*time.Millisecond || c.MaxAge != 12*time.Hour || c.QueueLimit != 7 || c.KeepAliveTimeout != 0 ||
		!c.QuietTerm || !slices.Equal(c.Methods, []string{"GET", "POST"}) || c.StatePermission != 0o640 || !c.CullOldest ||
		c.ForkWorker != 1000 {
		t.Errorf("have %+v", c)
	}
}

func TestTheAppsDirectoryCanBeSetInAFile(t *testing.T) {
	dir := withFiles(t, map[string]string{"config/puma.rb": "directory '/tmp'\npidfile 'app.pid'\n"})
	t.Chdir(dir)
	c, err := Load(nil, "", []string{"PATH=" + os.Getenv("PATH"), "PWD=" + dir}, rubyCode)
	if err != nil {
		t.Fatal(err)
	}
	if c.Directory != "/tmp" || c.Pidfile != "/tmp/app.pid" || c.Rackup != "/tmp/config.ru" ||
		!slices.Equal(c.ConfigFiles, []string{dir + "/config/puma.rb"}) {
		t.Errorf("have %s, %s, %s, %q", c.Directory, c.Pidfile, c.Rackup, c.ConfigFiles)
	}
}

func TestWorkersByVariableArePreloadedUnlessSomebodyDecides(t *testing.T) {
	for _, test := range []struct {
		args    []Arg
		environ string
		want    bool
	}{
		{nil, "", false}, {nil, "WEB_CONCURRENCY=1", false}, {nil, "WEB_CONCURRENCY=2", true},
		{[]Arg{{"workers", "2"}}, "WEB_CONCURRENCY=2", false}, {[]Arg{{"workers", "2"}, {"preload", "true"}}, "", true},
		{[]Arg{{"preload", "false"}}, "WEB_CONCURRENCY=2", false},
	} {
		if c := load(t, test.args, test.environ); c.Preload != test.want {
			t.Errorf("%v %s: have %t", test.args, test.environ, c.Preload)
		}
	}
}

func TestYJITIsAskedOfRubyInTheEnvironment(t *testing.T) {
	for value, want := range map[string]string{"on": "RUBY_YJIT_ENABLE=1", "off": "RUBY_YJIT_ENABLE=0", "auto": ""} {
		c := load(t, []Arg{{"yjit", value}})
		at := slices.IndexFunc(c.WorkerEnv, func(entry string) bool { return strings.HasPrefix(entry, "RUBY_YJIT_ENABLE=") })
		if at < 0 != (want == "") || at >= 0 && c.WorkerEnv[at] != want {
			t.Errorf("%s: have %q", value, c.WorkerEnv)
		}
	}
}

func TestEnvironmentFilesSpeakToTheFileAndToWorkers(t *testing.T) {
	dir := withFiles(t, map[string]string{
		"config/puma.rb": "tag ENV.fetch('TAG')\n", "app.env": "TAG=one\nMAX_THREADS=9\nHOME=/elsewhere\n",
	})
	c := evaluated(t, dir, []Arg{{"env-file", "app.env"}, {"env-file", "-missing.env"}}, "HOME=/root")
	if c.Tag != "one" || c.MaxThreads != 9 {
		t.Errorf("have %q and %d threads", c.Tag, c.MaxThreads)
	}
	if at := slices.Index(c.WorkerEnv, "HOME=/elsewhere"); at < slices.Index(c.WorkerEnv, "HOME=/root") {
		t.Errorf("have %q", c.WorkerEnv)
	}
	if err := os.WriteFile(dir+"/app.env", []byte("TAG=two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadEnvironment(); err != nil || !slices.Contains(c.WorkerEnv, "TAG=two") || slices.Contains(c.WorkerEnv, "TAG=one") {
		t.Errorf("have %v, %q", err, c.WorkerEnv)
	}
}

func TestAPluginOfTheCommandLineIsConfigured(t *testing.T) {
	dir := withFiles(t, map[string]string{"lib/puma/plugin/greeter.rb": `Puma::Plugin.create do
  def config(dsl) dsl.tag("greeted") end
  def start(launcher) end
end
`})
	c := evaluated(t, dir, []Arg{{"plugin", "greeter"}, {"plugin", "tmp_restart"}, {"include", "lib"}})
	if c.Tag != "greeted" || !c.TmpRestart || !c.MoldHooks || len(c.Hooks) != 1 || c.Hooks[0].Source != "--plugin" {
		t.Errorf("have tag %q, tmp restart %t, mold hooks %t, %v", c.Tag, c.TmpRestart, c.MoldHooks, c.Hooks)
	}
	_, err := Load([]Arg{{"dir", dir}, {"plugin", "gone"}}, "", []string{"PATH=" + os.Getenv("PATH")}, rubyCode)
	if err == nil || !strings.HasPrefix(err.Error(), "--plugin: cannot load the plugin gone: ") {
		t.Errorf("have %v", err)
	}
}

func TestEverySettingHasAMethodInTheFilesAndEachOfOurMethodsASetting(t *testing.T) {
	ask := func(script string) []string {
		out, err := exec.Command("ruby", "-r", filepath.Join(lib, "serval/configuration.rb"), "-e", script).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	methods := ask("puts Serval::Configuration::DSL.known")
	for _, s := range Settings {
		switch s.Name {
		case "config", "no-config": // which file is read is not for the file to say
		case "restart-cmd": // restart_command
		default:
			if name := strings.ReplaceAll(s.Name, "-", "_"); !slices.Contains(methods, name) {
				t.Errorf("files know no %s", name)
			}
		}
	}
	for _, method := range ask("puts Serval::Configuration::Own.instance_methods") {
		if find(strings.ReplaceAll(method, "_", "-")) == nil {
			t.Errorf("%s sets nothing", method)
		}
	}
}
