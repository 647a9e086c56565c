package installation

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWhatIsInstalledIsRemembered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blog")
	if i, err := Load(dir); i != nil || err != nil {
		t.Fatalf("%v, %v where nothing is installed", i, err)
	}
	written := Installation{App: "blog", Directory: "/srv/blog/current", Environment: "production", Prefix: "serval", Backend: Systemd, User: "deploy",
		EnvFiles: []string{"/etc/app.env"}, Counts: map[string]int{"worker": 3}, Files: []string{"/etc/systemd/system/serval_web_server.service"}, When: time.Unix(1700000000, 0).UTC()}
	if err := written.Store(dir); err != nil {
		t.Fatal(err)
	}
	read, err := Load(dir)
	written.Version = version
	if err != nil || !reflect.DeepEqual(*read, written) {
		t.Errorf("%+v, %v", read, err)
	}
	for range 2 {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	}
	if i, err := Load(dir); i != nil || err != nil {
		t.Errorf("%v, %v after it was forgotten", i, err)
	}
}

func TestADamagedRecordIsNoInstallation(t *testing.T) {
	for text, want := range map[string]string{"{": "is damaged", `{"version": 9}`: "version 9, and 1 is known here"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, record), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
