package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// samples are values that differ from the default of each setting, and the fields that they ought to change.
var samples = map[string]struct {
	value  string
	fields []string
}{
	"bind":                {"tcp://127.0.0.1:1", []string{"Binds"}},
	"port":                {"3000", []string{"Binds"}},
	"workers":             {"3", []string{"Workers"}},
	"threads":             {"2:7", []string{"MinThreads", "MaxThreads"}},
	"environment":         {"test", []string{"Environment"}},
	"dir":                 {"/", []string{"Directory"}},
	"include":             {"lib", []string{"Include"}},
	"ruby":                {"ruby3.4", []string{"Ruby"}},
	"pidfile":             {"serval.pid", []string{"Pidfile"}},
	"tag":                 {"blog", []string{"Tag"}},
	"boot-timeout":        {"1", []string{"BootTimeout"}},
	"shutdown-timeout":    {"1", []string{"ShutdownTimeout"}},
	"hijack-timeout":      {"1", []string{"HijackTimeout"}},
	"idle-timeout":        {"1", []string{"IdleTimeout"}},
	"worker-memory-limit": {"1G", []string{"WorkerMemoryLimit"}},
	"request-timeout":     {"1", []string{"RequestTimeout"}},
	"queue-limit":         {"1", []string{"QueueLimit"}},
	"queue-timeout":       {"1", []string{"QueueTimeout"}},
	"early-hints":         {"true", []string{"EarlyHints"}},
	"request-id":          {"true", []string{"RequestID"}},
	"spool-dir":           {"/", []string{"SpoolDir"}},
	"max-connections":     {"1", []string{"MaxConnections"}},
	"header-timeout":      {"1", []string{"HeaderTimeout"}},
	"body-timeout":        {"1", []string{"BodyTimeout"}},
	"min-body-rate":       {"1", []string{"MinBodyRate"}},
	"write-timeout":       {"1", []string{"WriteTimeout"}},
	"keepalive-timeout":   {"1", []string{"KeepAliveTimeout"}},
	"max-keepalive":       {"1", []string{"MaxKeepAlive"}},
	"max-target":          {"1K", []string{"MaxTarget"}},
	"max-header":          {"1K", []string{"MaxHeader"}},
	"max-headers":         {"1", []string{"MaxHeaders"}},
	"max-body":            {"1K", []string{"MaxBody"}},
	"log-requests":        {"true", []string{"LogRequests"}},
	"quiet":               {"true", []string{"LogRequests"}},
	"silent":              {"true", []string{"Silent"}},
	"log-format":          {"json", []string{"LogFormat"}},
	"redirect-stdout":     {"out.log", []string{"RedirectStdout"}},
	"redirect-stderr":     {"err.log", []string{"RedirectStderr"}},
	"redirect-append":     {"true", []string{"RedirectAppend"}},
	"no-redirect-append":  {"true", []string{"RedirectAppend"}},

	"config":                     {"config/blog.rb", nil},
	"no-config":                  {"true", nil},
	"bind-to-activated-sockets":  {"only", []string{"ActivatedSockets"}},
	"rackup":                     {"web.ru", []string{"Rackup"}},
	"yjit":                       {"on", []string{"YJIT"}},
	"accelerator":                {"off", []string{"Accelerator"}},
	"preload":                    {"true", []string{"Preload"}},
	"fork-worker":                {"10", []string{"ForkWorker"}},
	"env-file":                   {"-.env", []string{"EnvFiles"}},
	"worker-timeout":             {"1", []string{"WorkerTimeout"}},
	"worker-check-interval":      {"1", []string{"WorkerCheckInterval"}},
	"worker-culling-strategy":    {"oldest", []string{"CullOldest"}},
	"worker-max-requests":        {"1", []string{"MaxRequests"}},
	"worker-max-age":             {"1h", []string{"MaxAge"}},
	"out-of-band-gc":             {"true", []string{"OutOfBandGC"}},
	"quiet-term":                 {"true", []string{"QuietTerm"}},
	"tmp-restart":                {"true", []string{"TmpRestart"}},
	"plugin":                     {"tmp_restart", []string{"TmpRestart"}},
	"debug":                      {"true", []string{"Notices"}},
	"prune-bundler":              {"true", []string{"Notices"}},
	"extra-runtime-dependencies": {"nio4r", []string{"Notices"}},
	"restart-cmd":                {"puma", []string{"Notices"}},
	"control-url":                {"auto", []string{"ControlURL"}},
	"control-token":              {"none", []string{"ControlToken"}},
	"control-data-only":          {"true", []string{"ControlDataOnly"}},
	"state":                      {"tmp/state", []string{"StatePath"}},
	"state-permission":           {"0640", []string{"StatePermission"}},
	"remote-address":             {"header:X-Real-IP", []string{"RemoteAddress"}},
	"url-scheme":                 {"https", []string{"URLScheme"}},
	"http-methods":               {"GET,POST", []string{"Methods"}},
	"no-underscore-headers":      {"true", []string{"UnderscoreHeaders"}},
}

func TestEverySettingChangesItsFieldsAndNoOther(t *testing.T) {
	for _, s := range Settings {
		sample, ok := samples[s.Name]
		if !ok {
			t.Errorf("--%s has no sample here", s.Name)
			continue
		}
		before, after := Default(), Default()
		if s.Name == "quiet" || s.Name == "no-redirect-append" { // those that switch off need something to switch off
			for _, c := range []*Config{&before, &after} {
				c.LogRequests, c.RedirectAppend = true, true
			}
		}
		if err := s.set(&after, sample.value); err != nil {
			t.Errorf("--%s %s: %v", s.Name, sample.value, err)
		}
		if have := changed(before, after); !slices.Equal(have, sample.fields) {
			t.Errorf("--%s %s changed %v, want %v", s.Name, sample.value, have, sample.fields)
		}
	}
}

func changed(before, after Config) (names []string) {
	b, a := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range b.NumField() {
		if f := b.Type().Field(i); f.IsExported() && !reflect.DeepEqual(b.Field(i).Interface(), a.Field(i).Interface()) {
			names = append(names, f.Name)
		}
	}
	return names
}

func TestNamesAndLettersOfFlagsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Settings {
		for _, name := range []string{s.Name, s.Short} {
			if name != "" && seen[name] {
				t.Errorf("%q is used twice", name)
			}
			seen[name] = true
		}
		if !slices.Contains(Groups, s.Group) {
			t.Errorf("--%s is in the group %q, which the help text does not show", s.Name, s.Group)
		}
	}
}

func TestLaterFlagsWinAndListsGrow(t *testing.T) {
	c := load(t, []Arg{
		{"workers", "2"}, {"workers", "4"},
		{"log-requests", "true"}, {"quiet", "true"},
		{"bind", "tcp://127.0.0.1:1"}, {"bind", "unix:///tmp/x"}, {"port", "80"},
		{"include", "/a:/b"}, {"include", "/c"},
	})
	if c.Workers != 4 || c.LogRequests {
		t.Errorf("have %d workers and log-requests %t", c.Workers, c.LogRequests)
	}
	if len(c.Binds) != 3 || c.Binds[1] != "unix:///tmp/x" || !strings.HasSuffix(c.Binds[2], ":80") {
		t.Errorf("have binds %q", c.Binds)
	}
	if want := []string{"/c", "/a", "/b"}; !slices.Equal(c.Include, want) {
		t.Errorf("have load path %q, want %q", c.Include, want)
	}
}
