package health

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serval/internal/testkit"
)

func TestAURLAnswersOrNot(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/broken", http.StatusFound)
		case "/broken":
			http.Error(w, "no", http.StatusInternalServerError)
		case "/slow":
			<-r.Context().Done()
		}
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	socket := filepath.Join(testkit.ShortDir(t), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: handler}
	go local.Serve(listener) //nolint:errcheck // until it is closed
	defer local.Close()
	for want, c := range map[string]Check{
		"":                                  {URL: server.URL + "/", Timeout: testkit.Patience},
		" ":                                 {URL: server.URL + "/moved", Timeout: testkit.Patience},
		"  ":                                {URL: "http://localhost/", Socket: socket, Timeout: testkit.Patience},
		"/broken answers 500":               {URL: "http://localhost/broken", Socket: socket, Timeout: testkit.Patience},
		"/slow gives no answer within 20ms": {URL: server.URL + "/slow", Timeout: 20 * time.Millisecond},
		"connect: no such file":             {URL: "http://localhost/", Socket: socket + "gone", Timeout: testkit.Patience},
	} {
		want = strings.TrimSpace(want)
		if err := c.Ask(context.Background()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", c, err, want)
		}
	}
}

func TestACommandEndsWithZeroOrNot(t *testing.T) {
	for command, want := range map[string]string{"true": "", "exit 3": "exit 3: exit status 3", "sleep 600 & sleep 600": "sleep 600 & sleep 600 gives no answer within 100ms"} {
		timeout := testkit.Patience
		if strings.HasPrefix(command, "sleep") {
			timeout = 100 * time.Millisecond
		}
		if err := (Check{Command: command, Timeout: timeout}).Ask(context.Background()); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// answers are what a command gives, one after the other.
func TestWhoIsUnwellSoManyTimesIsTold(t *testing.T) {
	var answers, told atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// Bad while it boots, then well, once bad, well, and bad for good.
		if n := answers.Add(1); n < 4 || n == 6 || n > 8 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	var said []string
	enough := errors.New("enough")
	err := Check{URL: server.URL, Timeout: testkit.Patience}.Watch(context.Background(), time.Millisecond, time.Hour, 3,
		func(line string) { said = append(said, line) }, func(context.Context) error { told.Add(1); return enough })
	if !errors.Is(err, enough) || told.Load() != 1 || answers.Load() != 11 || len(said) != 4 || !strings.HasSuffix(said[3], "answers 503 Service Unavailable (3 of 3)") {
		t.Errorf("%v after %d answers, %d times; %q", err, answers.Load(), told.Load(), said)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (Check{URL: server.URL, Timeout: time.Second}).Watch(ctx, time.Hour, 0, 1, func(string) {}, func(context.Context) error { return enough }); err != nil {
		t.Error(err)
	}
}
