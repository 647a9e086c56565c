package testkit

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update-golden", false, "write what is found into the golden files, to be looked at with git diff")

// goldenLine stands between a golden file's input and what is expected of it.
const goldenLine = "----------\n"

// Golden runs find on the input of each file in a directory of the repository, and compares what it returns with what the
// file has below its dashed line. A new case is a new file; with -update-golden its expectation is written into it.
func Golden(t *testing.T, dir string, least int, find func(t *testing.T, input string) string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Root(t), dir, "*.txt"))
	if err != nil || len(files) < least {
		t.Fatalf("%s has %d files in place of at least %d: %v", dir, len(files), least, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(text), goldenLine)
			if !found && !*update {
				t.Fatalf("%s has no dashed line", file)
			}
			got := find(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+goldenLine+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s: it is\n%s\nand should be\n%s", file, got, want)
			}
		})
	}
}
