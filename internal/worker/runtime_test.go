package worker

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// code stands for the workers' Ruby files.
var code = fstest.MapFS{
	"serval/worker.rb": {Data: []byte("puts 'worker'\n")},
	"serval/deep/a.rb": {Data: []byte(strings.Repeat("# a\n", 10_000))},
	"serval/deep/b.rb": {Data: []byte("B = 1\n")},
}

// testRuntime is a runtime that tries the given directories.
func testRuntime(t *testing.T, dirs ...string) *Runtime {
	t.Helper()
	r, err := NewRuntime(code)
	if err != nil {
		t.Fatal(err)
	}
	r.dirs = dirs
	return r
}

func script(t *testing.T, r *Runtime) string {
	t.Helper()
	path, err := r.Script("serval/worker.rb")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// intact checks that all of the code is there, below the directory that holds path.
func intact(t *testing.T, path string) {
	t.Helper()
	dir := strings.TrimSuffix(path, "/serval/worker.rb")
	found := 0
	filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		found++
		rel, _ := filepath.Rel(dir, path)
		want, known := code[rel]
		if have, err := os.ReadFile(path); err != nil || !known || string(have) != string(want.Data) {
			t.Errorf("%s is not what it should be (%v)", path, err)
		}
		return nil
	})
	if found != len(code) {
		t.Errorf("%d files are there instead of %d", found, len(code))
	}
}

func TestTheRuntimeIsWrittenForThisUserAlone(t *testing.T) {
	parent := t.TempDir()
	path := script(t, testRuntime(t, parent))
	intact(t, path)
	filepath.WalkDir(parent, func(path string, entry os.DirEntry, _ error) error {
		if info, err := entry.Info(); err != nil || path != parent && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("%d things are left in %s", len(entries), parent)
	}
}

func TestASecondStartFindsWhatTheFirstOneWrote(t *testing.T) {
	parent := t.TempDir()
	first := script(t, testRuntime(t, parent))
	before, _ := os.Stat(first)
	second := script(t, testRuntime(t, parent))
	after, _ := os.Stat(second)
	if first != second || !os.SameFile(before, after) {
		t.Errorf("%s was written again as %s", first, second)
	}
}

func TestOtherCodeHasAnotherPlace(t *testing.T) {
	parent := t.TempDir()
	first := script(t, testRuntime(t, parent))
	other, err := NewRuntime(fstest.MapFS{"serval/worker.rb": {Data: []byte("puts 'other'\n")}})
	if err != nil {
		t.Fatal(err)
	}
	other.dirs = []string{parent}
	if second := script(t, other); first == second {
		t.Error("two versions meet")
	}
	intact(t, first)
}

func TestCleanedAndChangedFilesAreRestored(t *testing.T) {
	r := testRuntime(t, t.TempDir())
	path := script(t, r)
	for name, harm := range map[string]func() error{
		"a file gone":      func() error { return os.Remove(path) },
		"a directory gone": func() error { return os.RemoveAll(filepath.Dir(path)) },
		"all of it gone":   func() error { return os.RemoveAll(strings.TrimSuffix(path, "/serval/worker.rb")) },
		"a file emptied":   func() error { return os.Truncate(path, 0) },
		"a file changed":   func() error { return os.WriteFile(path, []byte("puts 'others'\n"), 0o600) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if again := script(t, r); again != path {
			t.Errorf("%s: it moved to %s", name, again)
		}
		intact(t, path)
	}
}

// Whoever could write to the directory could have their code run as this user.
func TestADirectoryThatOthersCouldHaveMadeIsRefused(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"others may write to it": func(dir string) error { return os.Chmod(dir, 0o777) },
		"its group may":          func(dir string) error { return os.Chmod(dir, 0o770) },
		"it is a link": func(dir string) error {
			if err := os.Rename(dir, dir+"-moved"); err != nil {
				return err
			}
			return os.Symlink(dir+"-moved", dir)
		},
		"it is a file": func(dir string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o600)
		},
		"it belongs to another user": func(dir string) error { return chown(t, dir) },
	} {
		t.Run(name, func(t *testing.T) {
			r := testRuntime(t, t.TempDir())
			dir := strings.TrimSuffix(script(t, r), "/serval/worker.rb")
			if err := harm(dir); err != nil {
				t.Fatal(err)
			}
			if path, err := r.Script("serval/worker.rb"); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("instead of an error that names it came %q, %v", path, err)
			}
			r.dirs = append(r.dirs, t.TempDir())
			intact(t, script(t, r)) // the next place is as good
		})
	}
}

// In a directory where others may rename what is ours, they could put something else in its place after we looked.
func TestAPlaceWhereOthersMayRenameIsRefused(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"everybody may write":        func(dir string) error { return os.Chmod(dir, 0o777) },
		"its group may write":        func(dir string) error { return os.Chmod(dir, 0o775) },
		"it belongs to another user": func(dir string) error { return chown(t, dir) },
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			if err := harm(parent); err != nil {
				t.Fatal(err)
			}
			r := testRuntime(t, parent)
			if path, err := r.Script("serval/worker.rb"); err == nil || !strings.Contains(err.Error(), parent) {
				t.Errorf("instead of an error that names it came %q, %v", path, err)
			}
			if entries, _ := os.ReadDir(parent); len(entries) != 0 {
				t.Errorf("something was written there")
			}
		})
	}
	sticky := t.TempDir()
	if err := os.Chmod(sticky, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	intact(t, script(t, testRuntime(t, sticky)))
}

// All workers start at once, and each looks.
func TestManyMayAskAtOnce(t *testing.T) {
	parent := t.TempDir()
	dir := strings.TrimSuffix(script(t, testRuntime(t, parent)), "/serval/worker.rb")
	for _, harm := range []string{dir, filepath.Join(dir, "serval/deep")} {
		for range 20 {
			os.RemoveAll(harm)
			shared := testRuntime(t, parent)
			var asking sync.WaitGroup
			for i := range 12 {
				r := shared
				if i%3 == 0 {
					r = testRuntime(t, parent) // another Serval
				}
				asking.Go(func() {
					path, err := r.Script("serval/worker.rb")
					if err != nil {
						t.Error(err)
						return
					}
					for name, want := range code {
						if have, err := os.ReadFile(filepath.Join(filepath.Dir(path), "..", name)); string(have) != string(want.Data) {
							t.Errorf("%s is not what it should be (%v)", name, err)
						}
					}
				})
			}
			asking.Wait()
			intact(t, filepath.Join(dir, "serval/worker.rb"))
		}
	}
}

func TestWithNoPlaceAtAllEachIsNamed(t *testing.T) {
	r := testRuntime(t, "/nowhere", "/proc")
	if _, err := r.Script("serval/worker.rb"); err == nil || !strings.Contains(err.Error(), "/nowhere") || !strings.Contains(err.Error(), "/proc") {
		t.Errorf("the error is %v", err)
	}
}

// chown gives a directory to another user, which takes root.
func chown(t *testing.T, dir string) error {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	return os.Chown(dir, 65534, 65534)
}
