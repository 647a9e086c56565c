package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFileIsReplacedWholeWithItsPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"first, and longer", "second"} {
		if err := Write(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if have, err := os.ReadFile(path); err != nil || string(have) != text {
			t.Errorf("%q, %v", have, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAFileThatCannotBeReplacedLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "taken"), []byte("x"), 0o644); err == nil {
		t.Error("a directory is replaced by a file")
	}
	if err := Write(filepath.Join(dir, "gone", "file"), []byte("x"), 0o644); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("it is %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestALinkInTheWayIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "precious"), filepath.Join(dir, "pid")
	if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
		t.Errorf("the target became %q, %v", text, err)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the file is %v: %v", info.Mode(), err)
	}
}

func TestTheCauseOfAFileErrorNamesNoPath(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "gone", "pid"), nil, 0o600)
	if Cause(err) != syscall.ENOENT {
		t.Errorf("the cause of %v is %v", err, Cause(err))
	}
	if other := errors.New("other"); Cause(other) != other {
		t.Errorf("the cause of another error is %v", Cause(other))
	}
}

func TestAValueIsWrittenAsJSONInADirectoryThatIsMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "app", "record.json")
	if err := WriteJSON(path, map[string]int{"version": 1}); err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != "{\n  \"version\": 1\n}\n" {
		t.Errorf("%q, %v", have, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := WriteJSON(path, func() {}); err == nil {
		t.Error("a function was written")
	}
}
