package analysis

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheFirstAnalysisIsRemembered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "serval", "blog")
	if m, err := Recall(dir); m != nil || err != nil {
		t.Fatalf("before anything was stored there is %v, %v", m, err)
	}
	when := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	for _, server := range []string{"Passenger", "Puma"} {
		if err := (Memory{App: "blog", Directory: "/srv/blog", Server: server, When: when}).Store(dir); err != nil {
			t.Fatal(err)
		}
		m, err := Recall(dir)
		if err != nil || *m != (Memory{1, "blog", "/srv/blog", server, when}) {
			t.Errorf("remembered is %v, %v", m, err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 || entries[0].Name() != "analysis.json" {
		t.Errorf("there are other files: %v", entries)
	}
}

func TestADamagedMemoryIsReported(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"":                              "damaged (unexpected end of JSON input)",
		"\x00\x00":                      "damaged (invalid character",
		`{"version":1}`:                 "damaged (it names no web server)",
		`{"version":7,"web_server":""}`: "damaged (its version is 7, and 1 is known here)",
		`[1]`:                           "damaged (json: cannot unmarshal array",
	} {
		if err := os.WriteFile(filepath.Join(dir, memoryFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := Recall(dir)
		if m != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "serval analyze --reset") {
			t.Errorf("%q is %v, %v", text, m, err)
		}
	}
	os.Remove(filepath.Join(dir, memoryFile))
	if err := os.Mkdir(filepath.Join(dir, memoryFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Recall(dir); err == nil || !strings.Contains(err.Error(), "cannot read") {
		t.Errorf("a directory in its place: %v", err)
	}
	if err := (Memory{Server: "Puma"}).Store(dir); err == nil || !strings.Contains(err.Error(), "cannot remember") {
		t.Errorf("stored over a directory: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("a failed store leaves %v", entries)
	}
}

func TestMemoriesHaveTheirPlaces(t *testing.T) {
	for _, c := range []struct {
		root       bool
		env        string
		want, fail string
	}{
		{true, "HOME=/root", "/var/lib/serval/blog", ""},
		{true, "SERVAL_STATE_DIR=/x", "/x/blog", ""},
		{false, "HOME=/home/u", "/home/u/.local/state/serval/blog", ""},
		{false, "HOME=/home/u XDG_STATE_HOME=/s", "/s/serval/blog", ""},
		{false, "HOME=/home/u XDG_STATE_HOME=relative", "/home/u/.local/state/serval/blog", ""},
		{false, "", "", "set HOME"},
	} {
		getenv := func(name string) string {
			for _, entry := range strings.Fields(c.env) {
				if value, is := strings.CutPrefix(entry, name+"="); is {
					return value
				}
			}
			return ""
		}
		got, err := StateDir("blog", c.root, getenv)
		if got != c.want || (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
		if _, err := StateDir("../blog", c.root, getenv); err == nil {
			t.Error("a name that leads elsewhere is taken")
		}
	}
}

func TestAnAppIsCalledAfterItsDirectory(t *testing.T) {
	for directory, want := range map[string]string{
		"/srv/blog": "blog /srv/blog", "/srv/blog/current": "blog /srv/blog", "/srv/blog/releases/20261122": "blog /srv/blog",
		"/var/deploy/shop/web_head/current": "shop /var/deploy/shop/web_head", "/srv/my.app v2": "my-app-v2 /srv/my.app v2", "/": " /",
		"/srv/-x-": "x /srv/-x-", "/srv/" + strings.Repeat("a", 90): strings.Repeat("a", 64) + " /srv/" + strings.Repeat("a", 90), "/srv/日本": " /srv/日本",
	} {
		if got := Name(directory) + " " + Root(directory); got != want {
			t.Errorf("%s: %q, want %q", directory, got, want)
		}
	}
}
