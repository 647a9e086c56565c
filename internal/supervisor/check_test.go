package supervisor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serval/internal/process"
	"serval/internal/testkit"
)

// unwell starts a process with a check and waits until it is restarted for that.
func unwell(t *testing.T, script, why string, check Check) {
	t.Helper()
	s, h := open(t, "")
	spec := sh(t, "web", script)
	spec.Checks = []Check{check}
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "it is restarted since it "+why, func() bool { return h.said(why) && statusOf(t, s, "web").Restarts > 0 })
}

func TestProcessesThatAreNotWellAreRestarted(t *testing.T) {
	unwell(t, `exec ruby -e 'fork { $x = "x" * 60_000_000; sleep }; sleep'`, "MB of memory, and 40 are allowed, 2 times of 2", Check{Kind: Memory, Below: 40 << 20, Every: minEvery, Times: 2})
	unwell(t, `while :; do :; done`, "% of a core, and 10 are allowed, 1 times of", Check{Kind: CPU, Below: 10, Every: minEvery, Times: 1, Of: 3})
	unwell(t, forever, "fails its health check: exit 3: exit status 3", Check{Kind: Command, Command: "exit 3", Every: minEvery, Times: 1})
	unwell(t, forever, "fails its health check: sleep 1000 gives no answer within 200ms", Check{Kind: Command, Command: "sleep 1000", Every: minEvery, Timeout: 200 * time.Millisecond, Times: 1})
	unwell(t, forever, "fails its health check: http://web/up gives no answer", Check{Kind: HTTP, URL: "http://web/up", Socket: "/nobody/listens", Every: minEvery, Times: 2, Of: 3})
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer sick.Close()
	unwell(t, forever, "fails its health check: "+sick.URL+" answers 503 Service Unavailable", Check{Kind: HTTP, URL: sick.URL, Every: minEvery, Times: 1})
}

func TestAProcessThatIsWellIsLeftAlone(t *testing.T) {
	var asked atomic.Int64
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%2 == 0 { // every other answer is an error
			w.WriteHeader(500)
			return
		}
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	}))
	defer well.Close()
	s, _ := open(t, "")
	spec := sh(t, "web", forever)
	spec.Checks = []Check{
		{Kind: HTTP, URL: well.URL, Every: minEvery, Times: 2},
		{Kind: Memory, Below: 1 << 30, Every: minEvery, Times: 1},
		{Kind: CPU, Below: 90, Every: minEvery, Times: 1},
		{Kind: Command, Command: `test "$PWD" = ` + spec.Directory, Every: minEvery, Times: 1},
	}
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "it was asked", func() bool { return asked.Load() > 6 })
	if now := statusOf(t, s, "web"); now.State != Running || now.Restarts != 0 {
		t.Errorf("%+v", now)
	}
}

func TestDelaysGrowAndFlappingEndsThem(t *testing.T) {
	var b backoff
	f := Flapping{Times: 9, Within: time.Hour, RetryIn: time.Minute}
	now := time.Now()
	for i, want := range []float64{1, 2, 4, 8, 16, 32, 60} {
		delay, flapping := b.next(now, time.Second, f)
		if s := delay.Seconds(); flapping || s < 0.75*want || s > 1.25*want {
			t.Errorf("delay %d is %s and should be about %g s", i, delay, want)
		}
	}
	if delay, flapping := b.next(now, longEnough, f); flapping || delay != firstDelay {
		t.Errorf("after a long run it is %s", delay)
	}
	if delay, flapping := b.next(now, time.Second, f); !flapping || delay != time.Minute {
		t.Errorf("the ninth end has a delay of %s", delay)
	}
	if delay, flapping := b.next(now, time.Second, f); flapping || delay > 2*time.Second {
		t.Errorf("after flapping it begins with %s", delay)
	}
	for range 20 { // seldom is not flapping
		now = now.Add(20 * time.Minute)
		if _, flapping := b.next(now, time.Second, f); flapping {
			t.Error("three an hour are taken for flapping")
		}
	}
}

func TestAProcessRunsAsItsUser(t *testing.T) {
	testkit.NeedRoot(t, "start processes of others")
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, "")
	spec := sh(t, "web", `id -u; id -G; exec sleep 1000`)
	dir := testkit.ShortDir(t)
	spec.User, spec.Groups, spec.Directory, spec.Log = "nobody", []string{"daemon"}, "/", dir+"/log/web.log"
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), []Spec{spec}); err == nil || !strings.Contains(err.Error(), "cannot write the log") {
		t.Errorf("a log is made where the user may not: %v", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s\n%s 1\n", nobody.Uid, nobody.Gid)
	testkit.WaitFor(t, "it says who it is", func() bool { return text(t, spec.Log) == want })
	row, err := process.Look(statusOf(t, s, "web").PID)
	if err != nil || row.Group != row.PID {
		t.Errorf("%+v, %v", row, err)
	}
}
