package main

import (
	"path/filepath"
	"testing"
)

func TestWhatServalCompilesIsThereBeforeTheFirstMeasurement(t *testing.T) {
	b := aBench(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	if err := b.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	compiled := filepath.Join(temporary, "serval-*", "serval", "*", "accelerator.so")
	if found, _ := filepath.Glob(compiled); len(found) > 0 {
		t.Errorf("serval is not to be measured, but %v was compiled", found)
	}
	b.Servers = list{"puma", "serval"}
	if err := b.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(compiled); len(found) != 1 {
		t.Errorf("%v was compiled", found)
	}
}
