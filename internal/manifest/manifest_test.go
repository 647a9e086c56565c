package manifest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"serval/internal/testkit"
)

func TestManifestsAreReadAsTheirGoldenFilesSay(t *testing.T) {
	testkit.Golden(t, "test/manifests", 30, func(t *testing.T, input string) string {
		var b strings.Builder
		file, found := Parse("manifest.yml", []byte(input), "production")
		for _, p := range file.Processes {
			fmt.Fprintf(&b, "%s %s:%s\n", p.Place, p.Name, describe(p))
		}
		for _, f := range found {
			fmt.Fprintf(&b, "%s: %v\n", f.Level, f)
		}
		return b.String()
	})
}

// describe lists what a manifest says about a process, and where.
func describe(p Process) string {
	values := map[string]any{"count": p.Count, "memory_limit": p.MemoryLimit, "user": p.User, "depends_on": p.DependsOn, "health_check": p.Health,
		"restart_signal": p.RestartSignal, "stop_sequence": p.StopSequence, "restart_on_deploy": p.RestartOnDeploy}
	var b strings.Builder
	for _, key := range keyNames {
		if p.Says(key) {
			value, _ := json.Marshal(values[key])
			fmt.Fprintf(&b, "\n  %d:%d %s %s", p.Of(key).Line, p.Of(key).Column, key, value)
		}
	}
	return b.String()
}

func TestWhereAKeyIsNotMentionedTheProcessIsThePlace(t *testing.T) {
	f, found := Parse("m.yml", []byte("procfile_metadata:\n  web:\n    restart_signal: usr1\n"), "")
	web := f.Process("web")
	if len(found) != 0 || web == nil || f.Process("worker") != nil {
		t.Fatalf("%+v, %v", f, found)
	}
	if got := web.Of("count").String(); got != "m.yml:2:3" || web.Says("count") {
		t.Error(got)
	}
	if got := web.Of("restart_signal").String(); got != "m.yml:3:21" {
		t.Error(got)
	}
}

func TestAManifestHasALimit(t *testing.T) {
	if _, found := Parse("m.yml", make([]byte, maxSize+1), ""); len(found.Errors()) != 1 {
		t.Error(found)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("production:\n  procfile_metadata:\n    web: &a\n      restart_signal: usr1\n      health_check: {url: /up}\n    worker: {<<: *a, count: 3}\n")
	f.Add("a: &a\n  <<: *a\nprocfile_metadata: *a\n")
	f.Add("procfile_metadata: [1, \"\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, found := Parse("m.yml", []byte(text), "production")
		for _, e := range found {
			if strings.ContainsFunc(e.Error(), unicode.IsControl) || e.Line < 0 {
				t.Fatalf("%q: %+v", text, e)
			}
		}
	})
}
