// Package internal holds no code of its own, only this test of how the packages below it hang together.
package internal

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is docs/explanation/architecture.md as a table: what of ours each package may import.
const mayImport = `
serval/cmd/serval: cli
serval/internal/cli: analysis atomicfile backend bluepill config control envfile finding front health install installation listener pidfile plan process procfile restart ruby sequence site supervisor systemd unit worker
serval/internal/front: config control dispatch generation handover http1 listener logs loop metrics pidfile server systemd worker
serval/internal/server: dispatch http1 logs loop wire
serval/internal/handover: listener server
serval/internal/dispatch: logs loop metrics wire worker
serval/internal/worker: loop wire
serval/internal/loop:
serval/internal/config: envfile
serval/internal/envfile:
serval/internal/account:
serval/internal/atomicfile:
serval/internal/control: atomicfile listener
serval/internal/pidfile: atomicfile
serval/internal/metrics:
serval/internal/listener: tlsconfig
serval/internal/tlsconfig:
serval/internal/logs:
serval/internal/systemd:
serval/internal/http1:
serval/internal/wire:
serval/internal/testkit: load
serval/internal/load:
serval/internal/finding:
serval/internal/sequence:
serval/internal/plan: sequence
serval/internal/procfile: finding plan
serval/internal/bluepill: account atomicfile finding installation plan process sequence
serval/internal/process:
serval/internal/manifest: finding plan sequence
serval/internal/analysis: atomicfile finding manifest plan procfile sequence
serval/internal/health:
serval/internal/install: atomicfile installation
serval/internal/unit: envfile installation plan procfile sequence site
serval/internal/installation: analysis atomicfile envfile plan procfile
serval/internal/site:
serval/ruby:
serval/internal/generation: config worker
serval/internal/backend: installation plan process procfile restart supervisor worker
serval/internal/restart: control installation plan process site
serval/internal/supervisor: account health process sequence
`

func TestDependenciesPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "serval/cmd/...", "serval/internal/...", "serval/ruby").Output()
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][]string{}
	for line := range strings.Lines(mayImport) {
		if path, imports, ok := strings.Cut(line, ":"); ok {
			table[path] = strings.Fields(imports)
		}
	}
	for line := range strings.Lines(string(out)) {
		path, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		if path == "serval/internal" {
			continue
		}
		allowed, known := table[path]
		if !known {
			t.Errorf("%s is not in docs/explanation/architecture.md nor in this table: say where it belongs", path)
		}
		for _, imported := range strings.Fields(imports) {
			name, ours := strings.CutPrefix(imported, "serval/")
			name = strings.TrimPrefix(name, "internal/")
			if ours && !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s, which the architecture does not allow", path, imported)
			}
			if imported == "testing" && path != "serval/internal/testkit" {
				t.Errorf("%s imports testing outside its tests: it would be in the binary", path)
			}
		}
	}
}
