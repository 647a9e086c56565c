package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStateFileIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for _, s := range []State{
		{PID: 12, RunningFrom: "/srv/my app"},
		{PID: 12, ControlURL: "unix:///run/with space", Token: "abc", RunningFrom: "/srv/a:b"},
		{PID: 12, ControlURL: "tcp://127.0.0.1:9293", Token: NoToken, RunningFrom: "/"},
	} {
		if err := WriteState(path, s, 0); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadState(path); err != nil || got != s {
			t.Errorf("%+v became %+v: %v", s, got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v: %v", info.Mode(), err)
	}
	if err := WriteState(path, State{PID: 1}, 0o640); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v", info.Mode())
	}
}

func TestAStateFileOfAnotherProcessStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := WriteState(path, State{PID: 12}, 0); err != nil {
		t.Fatal(err)
	}
	RemoveState(path, 13)
	if _, err := ReadState(path); err != nil {
		t.Error(err)
	}
	RemoveState(path, 12)
	if _, err := ReadState(path); err == nil || err.Error() != "State file not found: "+path {
		t.Error(err)
	}
}

func TestWhatIsNoStateFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadState(path); err == nil || !strings.Contains(err.Error(), "is no state file") {
		t.Error(err)
	}
	if err := WriteState(filepath.Join(path, "x"), State{}, 0); err == nil || !strings.Contains(err.Error(), "choose another with --state") {
		t.Error(err)
	}
}
