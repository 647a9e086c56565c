package front

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTouchingTheRestartFileAsksForARestartOnce(t *testing.T) {
	dir := t.TempDir()
	var f restartFile
	if f.look(dir, 0) {
		t.Error("without a tmp directory there is a restart")
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if f.look(dir, 0) {
		t.Error("making the file is a restart")
	}
	path := filepath.Join(dir, "tmp", "restart.txt")
	if _, err := os.Stat(path); err != nil {
		t.Errorf("it is not made: %v", err)
	}
	touch := func(after time.Duration) {
		t.Helper()
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	touch(time.Second)
	if !f.look(dir, 0) || f.look(dir, 0) {
		t.Error("a touch is not one restart")
	}
	touch(2 * time.Second)
	if f.look(dir, 1) {
		t.Error("a touch before a new generation began restarts it")
	}
	touch(3 * time.Second)
	if !f.look(dir, 1) {
		t.Error("a touch after that does not")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if f.look(dir, 1) {
		t.Error("removing the file is a restart")
	}
}
