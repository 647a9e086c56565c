package http1

import (
	"net/http"
	"testing"
	"time"
)

func TestAppendDate(t *testing.T) {
	here := time.FixedZone("here", 2*60*60)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(1994, 11, 6, 8, 49, 37, 999, time.UTC), "Sun, 06 Nov 1994 08:49:37 GMT"}, // the RFC's example
		{time.Date(2027, 1, 1, 1, 0, 0, 0, here), "Thu, 31 Dec 2026 23:00:00 GMT"},
	} {
		have := string(AppendDate([]byte("Date: "), c.at))
		if have != "Date: "+c.want {
			t.Errorf("have %q, want %q", have, c.want)
		}
		if back, err := http.ParseTime(c.want); err != nil || !back.Equal(c.at.Truncate(time.Second)) {
			t.Errorf("%q reads back as %v, %v", c.want, back, err)
		}
	}
}
