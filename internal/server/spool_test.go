package server

import (
	"os"
	"strings"
	"testing"
)

func TestASpoolFileHasNoName(t *testing.T) {
	for name, dir := range map[string]string{"on a disk": t.TempDir(), "in memory": "/dev/shm"} {
		t.Run(name, func(t *testing.T) {
			before := names(t, dir)
			f, err := spoolFile(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if after := names(t, dir); after != before {
				t.Errorf("the directory holds %s", after)
			}
			if _, err := f.WriteString("spooled"); err != nil {
				t.Error(err)
			}
			text := make([]byte, 7)
			if _, err := f.ReadAt(text, 0); string(text) != "spooled" {
				t.Errorf("it reads %q, %v", text, err)
			}
			if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("it has mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestASpoolFileThatCannotBeMadeNamesTheFlag(t *testing.T) {
	if _, err := spoolFile("/nowhere"); err == nil || !strings.Contains(err.Error(), "--spool-dir") {
		t.Errorf("the error is %v", err)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "serval-spool-") {
			all = append(all, entry.Name())
		}
	}
	return strings.Join(all, " ")
}
