package test

import (
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestThePageOnBluepillDoesWhatItShows(t *testing.T) {
	t.Parallel()
	carryOutWithBluepill(t, "docs/how-to/run-under-bluepill.md")
}

func TestThePageOnLeavingBluepillDoesWhatItShows(t *testing.T) {
	t.Parallel()
	carryOutWithBluepill(t, "docs/how-to/migrate-from-bluepill.md")
}

// carryOutWithBluepill carries out a page on a machine that has the app that these pages are about.
func carryOutWithBluepill(t *testing.T, path string) {
	t.Helper()
	testkit.Need(t, "puma")
	s := testkit.NewSandbox(t)
	s.Write("/root/.curlrc", "no-progress-meter\n") // as on a terminal
	s.Write("/srv/blog/Gemfile", "gem \"rack\"\ngem \"puma\"\n")
	s.Write("/srv/blog/.cloud66/manifest.yml", "production:\n  procfile_metadata: {}\n")
	s.Write("/srv/blog/worker.rb", "puts 'working'\n$stdout.flush\nsleep\n")
	s.Write("/srv/blog/release", "1\n")
	s.Write("/srv/blog/config.ru", `release = File.read("/srv/blog/release")
run ->(_env) { [200, { "Content-Type" => "text/plain" }, ["#{ENV["GREETING"]} from release #{release}"]] }
`)
	s.Write("/srv/blog/log/.keep", "")
	s.Do("bash", "-c", "cd /srv/blog && bundle lock --local")
	s.Do("chown", "-R", "www-data:", "/srv/blog")
	for _, b := range readPage(t, path).blocks() {
		switch {
		case b.file() != "":
			_, text, _ := strings.Cut(b.text, "\n")
			s.Write(b.file(), text)
		case b.lang == "sh":
			for _, command := range commandLines(b.text) {
				s.Do("bash", "-c", command)
			}
		case b.lang == "console":
			converseInside(t, s, b)
		}
	}
}

// The reference has every attribute and check that the code reads, and no other.
func TestThePageOnBluepillsLanguageIsComplete(t *testing.T) {
	language := readPage(t, "docs/reference/bluepill.md").section(t, "## The language").text
	code := readPage(t, "internal/bluepill/attributes.go").text + readPage(t, "internal/bluepill/checks.go").text
	for _, name := range codes(language) {
		if strings.HasSuffix(name, "_command") || strings.HasSuffix(name, "_time") || strings.HasSuffix(name, "_usage") {
			if !strings.Contains(code, `"`+name+`"`) {
				t.Errorf("the page names %s, which the code does not know", name)
			}
		}
	}
	for line := range strings.Lines(code) {
		name, rest, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), `"`), `":`)
		if !found || !strings.Contains(rest, "reads(") && !strings.HasPrefix(strings.TrimSpace(rest), "{") || strings.ContainsAny(name, " .(") {
			continue
		}
		if kinds := []string{"information", "success", "redirection", "client_error", "server_error"}; !strings.Contains(language, name) && !strings.Contains(strings.Join(kinds, " "), name) {
			t.Errorf("the page does not name %s", name)
		}
	}
}
