package install

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"serval/internal/installation"
)

// tree is what is below a directory: a line for each file, link and directory.
func tree(t *testing.T, top string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text, _ := os.ReadFile(path)
		target, _ := os.Readlink(path)
		b.WriteString(strings.TrimPrefix(path, top) + " " + info.Mode().String() + " " + string(text) + " " + target + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// files are a unit, its link and a directory for its log.
func files(top, text string) []installation.File {
	return []installation.File{
		{Path: filepath.Join(top, "log/app"), Kind: installation.Directory, Mode: 0o755},
		{Path: filepath.Join(top, "units/web.service"), Text: text, Mode: 0o644},
		{Path: filepath.Join(top, "units/wants/web.service"), Kind: installation.Link, Text: filepath.Join(top, "units/web.service")},
	}
}

func change(t *testing.T, before *installation.Installation, wanted []installation.File) *Change {
	t.Helper()
	c, err := Compare(before, nil, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// installed writes files and returns the record of it.
func installed(t *testing.T, wanted []installation.File) *installation.Installation {
	t.Helper()
	c := change(t, nil, wanted)
	if err := c.Write(); err != nil {
		t.Fatal(err)
	}
	var i installation.Installation
	i.Files, i.Digests = c.Files()
	return &i
}

func TestFilesAreWrittenAndAllIsAsItWasAfterUndo(t *testing.T) {
	top := t.TempDir()
	empty := tree(t, top)
	c := change(t, nil, files(top, "one\n"))
	if err := c.Write(); err != nil || c.Nothing() {
		t.Fatal(err)
	}
	first := tree(t, top)
	if text, err := os.ReadFile(filepath.Join(top, "units/wants/web.service")); err != nil || string(text) != "one\n" {
		t.Errorf("%q, %v", text, err)
	}
	if again := change(t, nil, files(top, "one\n")); !again.Nothing() || len(again.Edited) > 0 {
		t.Errorf("%+v", again)
	}
	if err := c.Undo(); err != nil || tree(t, top) != empty {
		t.Errorf("%v: there is\n%s", err, tree(t, top))
	}

	record := installed(t, files(top, "one\n"))
	c = change(t, record, files(top, "two\n")[:2])
	if err := c.Write(); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveObsolete(); err != nil {
		t.Fatal(err)
	}
	if now := tree(t, top); !strings.Contains(now, "two\n") || strings.Contains(now, "wants/web") {
		t.Errorf("there is\n%s", now)
	}
	if err := c.Undo(); err != nil || tree(t, top) != first {
		t.Errorf("%v: there is\n%s", err, tree(t, top))
	}
}

func TestAFailureHalfWayLeavesWhatWasThere(t *testing.T) {
	top := t.TempDir()
	installed(t, files(top, "one\n"))
	before := tree(t, top)
	wanted := append(files(top, "two\n"), installation.File{Path: filepath.Join(top, "units/web.service/below"), Text: "x", Mode: 0o644})
	c, err := Compare(nil, nil, wanted[:3])
	if err != nil {
		t.Fatal(err)
	}
	c.Steps = append(c.Steps, Step{File: wanted[3], Kind: Create})
	if err := c.Write(); err == nil {
		t.Error("a file is written below another one")
	}
	if now := tree(t, top); now != before {
		t.Errorf("before there was\n%s\nand then\n%s", before, now)
	}
}

func TestWhatOthersHaveWrittenIsKnown(t *testing.T) {
	top := t.TempDir()
	record := installed(t, files(top, "one\n"))
	unit := filepath.Join(top, "units/web.service")
	edit := func(text string) {
		if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		before *installation.Installation
		there  string
		wanted []installation.File
		edited bool
	}{
		"as it was written":           {record, "one\n", files(top, "two\n"), false},
		"edited":                      {record, "mine\n", files(top, "two\n"), true},
		"edited to what is wanted":    {record, "two\n", files(top, "two\n"), false},
		"edited, and not wanted":      {record, "mine\n", nil, true},
		"not wanted":                  {record, "one\n", nil, false},
		"by somebody else":            {nil, "theirs\n", files(top, "two\n"), true},
		"by somebody else, but equal": {nil, "two\n", files(top, "two\n"), false},
	} {
		edit(c.there)
		found := change(t, c.before, c.wanted)
		if want := []string{unit}; slices.Equal(found.Edited, want) != c.edited || !c.edited && len(found.Edited) > 0 {
			t.Errorf("%s: %q", name, found.Edited)
		}
	}
	edit("copy\n")
	copied := []installation.File{{Path: unit, Text: "new copy\n", Mode: 0o644, Volatile: true}}
	if c := change(t, &installation.Installation{Files: []string{unit}}, copied); len(c.Edited) > 0 || c.Steps[0].Kind != Replace {
		t.Errorf("a copy that was written anew is taken for edited: %+v", c)
	}
}

func TestADirectoryInAFilesPlaceIsRefused(t *testing.T) {
	top := t.TempDir()
	record := installed(t, files(top, "one\n"))
	unit := filepath.Join(top, "units/web.service")
	if err := os.Remove(unit); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(unit, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range [][]installation.File{files(top, "two\n"), nil} {
		if _, err := Compare(record, nil, wanted); err == nil || !strings.Contains(err.Error(), "take it away") {
			t.Error(err)
		}
	}
}
