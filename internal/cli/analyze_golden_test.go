package cli

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"serval/internal/analysis"
	"serval/internal/testkit"
)

// The input of a golden file is an app: each file after a line "-- PATH --". Lines before the first of them are options:
// "environment: staging", "remembered: Passenger".
func TestAppsAreAnalyzedAsTheirGoldenFilesSay(t *testing.T) {
	testkit.Golden(t, "test/analysis", 30, func(t *testing.T, input string) string {
		app, options := appOf(t, input)
		var b strings.Builder
		result := analysis.Analyze(app, options)
		if err := writeAnalysis(&b, result); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if len([]rune(strings.TrimSpace(line))) > textWidth && !strings.Contains(line, "://") {
				t.Errorf("this line is too wide:\n%s", line)
			}
		}
		for _, wrong := range result.Findings.Errors() {
			fmt.Fprintf(&b, "error: %v\n", wrong)
		}
		return b.String()
	})
}

func appOf(t *testing.T, input string) (fstest.MapFS, analysis.Options) {
	t.Helper()
	options := analysis.Options{App: "blog", Directory: "/srv/blog", Environment: "production"}
	app := fstest.MapFS{}
	var open *fstest.MapFile
	for line := range strings.Lines(input) {
		name, isFile := strings.CutPrefix(strings.TrimSuffix(line, " --\n"), "-- ")
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case isFile:
			open = &fstest.MapFile{Mode: 0o644}
			app[name] = open
		case open != nil:
			open.Data = append(open.Data, line...)
		case key == "environment":
			options.Environment = value
		case key == "remembered":
			options.Remembered = value
		case key == "app":
			options.App = value
		case key == "prefix":
			options.Prefix = value
		default:
			t.Fatalf("the golden file begins with %q", line)
		}
	}
	return app, options
}
