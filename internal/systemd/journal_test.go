package systemd

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheJournalIsKnownByItsStream(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(w.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		fmt.Sprintf("%d:%d", stat.Dev, stat.Ino):   true,
		fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1): false, // inherited by somebody who was redirected since
		"": false,
	} {
		if have := Journal(int(w.Fd()), []string{"JOURNAL_STREAM=" + stream}); have != want {
			t.Errorf("%q: %t", stream, have)
		}
	}
	if Journal(-1, []string{"JOURNAL_STREAM=1:2"}) {
		t.Error("a closed descriptor is no journal")
	}
}
