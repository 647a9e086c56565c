package systemd

import (
	"slices"
	"testing"
)

func TestChildrenDoNotGetWhatIsForTheMainProcess(t *testing.T) {
	environ := []string{
		"A=b", "NOTIFY_SOCKET=/run/systemd/notify", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "LISTEN_FDS=1", "LISTEN_PID=2",
		"LISTEN_FDNAMES=a", "JOURNAL_STREAM=1:2", "LISTEN_FDS_MAX=9",
	}
	if have := ForChildren(environ); !slices.Equal(have, []string{"A=b", "JOURNAL_STREAM=1:2", "LISTEN_FDS_MAX=9"}) {
		t.Errorf("they get %q", have)
	}
	skipping := append(environ, "PUMA_SKIP_SYSTEMD=1")
	want := []string{
		"A=b", "NOTIFY_SOCKET=/run/systemd/notify", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "JOURNAL_STREAM=1:2", "LISTEN_FDS_MAX=9",
		"PUMA_SKIP_SYSTEMD=1",
	}
	if have := ForChildren(skipping); !slices.Equal(have, want) {
		t.Errorf("they get %q, though the conversation is theirs", have)
	}
}

func TestTheLastValueOfAVariableWins(t *testing.T) {
	if v := lookup([]string{"A=1", "A=2=3", "B=4"}, "A"); v != "2=3" {
		t.Errorf("got %q", v)
	}
}
