package test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

// unevenBoot is an app whose first process loads at once. Another one waits for the file go, and fails if there is the file fail.
const unevenBoot = `
first = begin
  File.open("first", File::CREAT | File::EXCL).close
  true
rescue Errno::EEXIST
  false
end
sleep 0.01 until first || File.exist?("go")
raise "not yet" if !first && File.exist?("fail")
run lambda { |env|
  sleep 0.01 until env["PATH_INFO"] != "/gate" || File.exist?(env["QUERY_STRING"].delete_prefix("file="))
  [200, {}, [Process.pid.to_s]]
}
`

func launchUneven(t *testing.T) (s *testkit.Server, dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "config.ru"), unevenBoot)
	socket := "unix://" + filepath.Join(testkit.ShortDir(t), "socket")
	s = testkit.Command{Dir: dir, Flags: []string{"-w", "2", "-t", "1", "-b", socket}}.Launch(t)
	s.AwaitLog("booted in")
	s.URLs = []string{socket}
	return s, dir
}

// servedBy asks until as many workers have answered.
func servedBy(t *testing.T, s *testkit.Server, workers int) {
	t.Helper()
	pids := map[string]bool{}
	testkit.WaitFor(t, "all workers have answered", func() bool {
		r := s.Get("/")
		if r.Status != 200 {
			t.Fatalf("got %+v", r)
		}
		pids[r.Body] = true
		return len(pids) == workers
	})
}

func TestTheFirstWorkerServesWhileTheOthersBoot(t *testing.T) {
	t.Parallel()
	s, dir := launchUneven(t)
	for range 20 {
		servedBy(t, s, 1)
	}
	if s.Logged("Use Ctrl-C") {
		t.Error("it said that all was up")
	}
	write(t, filepath.Join(dir, "go"), "")
	s.AwaitListening()
	servedBy(t, s, 2)
}

func TestAWorkerThatFailsToBootBesideOneThatServesIsTriedAgain(t *testing.T) {
	t.Parallel()
	s, dir := launchUneven(t)
	write(t, filepath.Join(dir, "fail"), "")
	write(t, filepath.Join(dir, "go"), "")
	s.AwaitLog("did not boot (attempt 1, next in about 0s)")
	s.AwaitLog("not yet")
	s.AwaitListening()
	servedBy(t, s, 1)
	if err := os.Remove(filepath.Join(dir, "fail")); err != nil {
		t.Fatal(err)
	}
	servedBy(t, s, 2)
}

func TestAServerThatIsStoppedWhileItsLastWorkerBootsFinishesItsRequests(t *testing.T) {
	t.Parallel()
	s, dir := launchUneven(t)
	gate := filepath.Join(dir, "gate")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/gate?file="+gate, ""))
	other := s.Dial() // waits for the one thread
	other.Send(testkit.Request("GET", "/", ""))
	s.Signal(syscall.SIGTERM)
	s.AwaitLog("Gracefully stopping")
	write(t, gate, "")
	for _, client := range []*testkit.Client{c, other} {
		if r := client.Response("GET"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
	}
	if status := s.Exit(); status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", status)
	}
	if s.Logged("Use Ctrl-C") {
		t.Error("it said that all was up")
	}
}
