package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// analyzed returns what serval analyze says about an app of these files.
func analyzed(t *testing.T, files map[string]string, args ...string) (out, errs string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(testkit.Binary(t), append([]string{"analyze", "--app", "blog", dir}, args...)...)
	cmd.Env = append(os.Environ(), "SERVAL_STATE_DIR="+t.TempDir())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run() //nolint:errcheck // what it prints says what went wrong
	return stdout.String(), stderr.String()
}

func TestThePageOnTheManifestHasTheDefaultSignals(t *testing.T) {
	rows := readPage(t, "docs/reference/manifest.md").section(t, "## Without a manifest").rows()
	if len(rows) < 8 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		out, errs := analyzed(t, map[string]string{"config.ru": "run 1", "Procfile": code(t, row["Procfile"]) + "\n"}, "--json")
		var result struct {
			Processes []struct {
				Restart string `json:"restart_signal"`
				Stop    string `json:"stop_sequence"`
			}
		}
		if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.Processes) != 1 {
			t.Fatalf("%s: %v\n%s%s", row["process"], err, out, errs)
		}
		restart := strings.Join(codes(row["restart signal"]), "")
		if got := result.Processes[0]; got.Restart != restart || got.Stop != code(t, row["stop sequence"]) {
			t.Errorf("%s has %+v", row["process"], got)
		}
	}
}

func TestThePageOnTheManifestHasAllKeys(t *testing.T) {
	var told []string
	for _, row := range readPage(t, "docs/reference/manifest.md").section(t, "## Keys").rows() {
		told = append(told, code(t, row["key"]))
	}
	_, errs := analyzed(t, map[string]string{"config.ru": "run 1", "Procfile": "a: b\n", ".serval/manifest.yml": "procfile_metadata: {a: {colour: blue}}\n"})
	_, list, _ := strings.Cut(strings.TrimSpace(errs), "use one of ")
	if known := strings.Split(list, ", "); !slices.Equal(known, told) {
		t.Errorf("Serval knows %q, the page %q", known, told)
	}
}

func TestThePageOnTheProcfileHasTheVariablesThatHaveValues(t *testing.T) {
	rows := readPage(t, "docs/reference/procfile.md").section(t, "## Commands").rows()
	for _, row := range rows {
		for _, name := range codes(row["variable"]) {
			out, _ := analyzed(t, map[string]string{"config.ru": "run 1", "Procfile": "a: b $" + name + "\n"}, "--json")
			var result struct {
				Processes []struct{ Environment map[string]string }
				Findings  []any
			}
			if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.Findings) != 0 {
				t.Fatalf("%s: %v, %v", name, err, result.Findings)
			}
			value := result.Processes[0].Environment[name]
			if told := codes(row["value"]); value == "" || strings.HasPrefix(row["value"], "`") && value != told[0] {
				t.Errorf("%s is %q, and the page says %s", name, value, row["value"])
			}
		}
	}
}

func TestThePageOnAnalyzeShowsItsHelp(t *testing.T) {
	help, err := exec.Command(testkit.Binary(t), "analyze", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	if p := readPage(t, "docs/reference/analyze.md"); !strings.Contains(p.text, "```text\n"+string(help)+"```\n") {
		t.Errorf("docs/reference/analyze.md shows another help than\n%s", help)
	}
}

func TestAnAppWithAFileCalledAnalyzeIsServed(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "ruby")
	dir := t.TempDir()
	for name, text := range map[string]string{"config.ru": `run ->(_env) { [200, {}, [File.read("analyze")]] }`, "analyze": "analyzed\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, app := range []string{"", "./config.ru"} {
		s := testkit.Command{Dir: dir, App: app}.Start(t)
		if body := s.Get("/").Body; body != "analyzed\n" {
			t.Errorf("%q answers %q", app, body)
		}
	}
}
