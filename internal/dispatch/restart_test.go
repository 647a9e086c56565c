package dispatch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"serval/internal/testkit"
	"serval/internal/worker"
)

// release is a generation with an app that answers /release with a name. An app of the name "broken" does not load.
func release(t *testing.T, p *Pool, name string) Config {
	t.Helper()
	app := fmt.Sprintf("ENV['RELEASE'] = %q\n", name) + strings.Replace(testApp, `when "/pid"`, `when "/release" then [200, {}, [ENV["RELEASE"]]]
  when "/pid"`, 1)
	if name == "broken" {
		app = "raise 'this release is broken'"
	}
	rackup := filepath.Join(t.TempDir(), "config.ru")
	if err := os.WriteFile(rackup, []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := *p.config()
	cfg.Phase++
	cfg.Launch = launcher(t, rackup, cfg.Threads)
	return cfg
}

// releases asks so many requests at once who serves them.
func releases(t *testing.T, p *Pool, n int) (names []string) {
	t.Helper()
	for range n {
		_, body := ask(p, "GET", "/release", "").wait(t)
		names = append(names, body)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// load asks and asks until stop is called, which returns how many requests there were and which failed.
func load(p *Pool) (stop func() (int, []string)) {
	var mu sync.Mutex
	var all int
	var failed []string
	var clients sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				a := ask(p, "POST", "/pid", "")
				<-a.done
				mu.Lock()
				if all++; a.status != 200 {
					failed = append(failed, a.body)
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, []string) {
		close(over)
		clients.Wait()
		return all, failed
	}
}

func TestBothKindsOfRestartChangeTheReleaseAndLoseNothing(t *testing.T) {
	for name, restart := range map[string]func(*Pool, Config, func(Progress)) error{"phased": (*Pool).Phased, "hot": (*Pool).Hot} {
		t.Run(name, func(t *testing.T) {
			p, _ := testPool(t, Config{Workers: 2, Threads: 2, QueueLimit: 100})
			before := p.Stats().PIDs
			hold := newFlag(t)
			long := ask(p, "POST", "/hold", string(hold))
			stop := load(p)
			var mu sync.Mutex
			steps := map[Step]int{}
			over := make(chan error)
			go func() {
				over <- restart(p, release(t, p, "two"), func(s Progress) {
					mu.Lock()
					steps[s.Step]++
					first := steps[Serving] == 1
					mu.Unlock()
					if first {
						hold.raise() // the phased restart waits for the worker that holds it
					}
				})
			}()
			if err := <-over; err != nil {
				t.Fatal(err)
			}
			if status, _ := long.wait(t); status != 200 {
				t.Errorf("the request that was under way got %d", status)
			}
			if all, failed := stop(); all == 0 || len(failed) > 0 {
				t.Errorf("%d of %d requests failed: %q", len(failed), all, failed)
			}
			if names := releases(t, p, 20); !slices.Equal(names, []string{"two"}) {
				t.Errorf("%q serve", names)
			}
			if steps[Booted] != 2 || steps[Serving] != 2 {
				t.Errorf("the steps were %v", steps)
			}
			eventually(t, "the old workers are gone", func() bool {
				now := p.Stats().PIDs
				return len(now) == 2 && !slices.ContainsFunc(before, func(pid int) bool { return slices.Contains(now, pid) })
			})
		})
	}
}

func TestAReleaseThatDoesNotBootChangesNothing(t *testing.T) {
	for name, restart := range map[string]func(*Pool, Config, func(Progress)) error{"phased": (*Pool).Phased, "hot": (*Pool).Hot} {
		t.Run(name, func(t *testing.T) {
			p, _ := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 100})
			before := p.Stats().PIDs
			err := restart(p, release(t, p, "broken"), func(Progress) {})
			var boot *worker.ErrBoot
			if !errors.As(err, &boot) || !strings.Contains(boot.Text, "this release is broken") {
				t.Errorf("the error is %v", err)
			}
			if now := p.Stats(); !slices.Equal(now.PIDs, before) || now.Phase != 0 {
				t.Errorf("the workers are %v of phase %d, were %v", now.PIDs, now.Phase, before)
			}
			// And what is repaired goes through.
			if err := restart(p, release(t, p, "repaired"), func(Progress) {}); err != nil {
				t.Fatal(err)
			}
			if names := releases(t, p, 10); !slices.Equal(names, []string{"repaired"}) {
				t.Errorf("%q serve", names)
			}
		})
	}
}

func TestAPhasedRestartThatFailsHalfWayIsTakenBack(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 3, Threads: 1, QueueLimit: 100})
	if err := p.Phased(release(t, p, "good"), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	next, broken := release(t, p, "half"), release(t, p, "broken")
	launch, booted := next.Launch, 0
	next.Launch = func(index int, h worker.Handler) (*worker.Worker, error) {
		if booted++; booted == 3 {
			return broken.Launch(index, h)
		}
		return launch(index, h)
	}
	if err := p.Phased(next, func(Progress) {}); err == nil {
		t.Error("it did not fail")
	}
	if names := releases(t, p, 20); !slices.Equal(names, []string{"good"}) {
		t.Errorf("%q serve", names)
	}
}

func TestAWorkerThatDiesIsReplacedByOneOfItsOwnGeneration(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 100})
	if err := p.Hot(release(t, p, "two"), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	p.Phased(release(t, p, "broken"), func(Progress) {}) //nolint:errcheck // as it should
	if status, _ := ask(p, "POST", "/die", "").wait(t); status != 502 {
		t.Errorf("got %d", status)
	}
	if names := releases(t, p, 1); !slices.Equal(names, []string{"two"}) {
		t.Errorf("%q serve", names)
	}
}

func TestARestartBringsWorkersBackThatDoNotBootAnyMore(t *testing.T) {
	p, log := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 100})
	good := release(t, p, "good")
	broken := good
	broken.Launch = release(t, p, "broken").Launch
	// The release was fine, and then its directory broke.
	working := good.Launch
	spoiled := false
	good.Launch = func(index int, h worker.Handler) (*worker.Worker, error) {
		if spoiled {
			return broken.Launch(index, h)
		}
		return working(index, h)
	}
	if err := p.Hot(good, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	spoiled = true
	ask(p, "POST", "/die", "").wait(t)
	eventually(t, "several attempts have failed", func() bool { return strings.Contains(log.text(), "attempt 4") })
	waiting := ask(p, "GET", "/release", "")
	if err := p.Phased(release(t, p, "repaired"), func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	if status, body := waiting.wait(t); status != 200 || body != "repaired" {
		t.Errorf("the request that waited got %d %s", status, body)
	}
}

func TestAHotRestartTakesOverTheNumberOfWorkersAndTheLimits(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 100})
	for _, workers := range []int{4, 1, 2} {
		next := release(t, p, fmt.Sprint("with ", workers))
		next.Workers, next.Threads, next.QueueLimit = workers, 2, 50+workers
		if err := p.Hot(next, func(Progress) {}); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("there are %d workers", workers), func() bool {
			s := p.Stats()
			return len(s.Workers) == workers && s.Wanted == workers && s.Workers[0].Threads == 2
		})
		if p.config().QueueLimit != 50+workers {
			t.Errorf("the queue's limit is %d", p.config().QueueLimit)
		}
	}
	var indices []int
	for _, w := range p.Stats().Workers {
		indices = append(indices, w.Index)
	}
	if slices.Sort(indices); !slices.Equal(indices, []int{0, 1}) {
		t.Errorf("the workers are %v", indices)
	}
}

func TestWorkersComeAndGoOneByOne(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 100})
	stop := load(p)
	for _, step := range []struct{ by, want int }{{1, 2}, {1, 3}, {-1, 2}, {-1, 1}} {
		if n, err := p.Scale(step.by); err != nil || n != step.want {
			t.Errorf("by %+d: %d, %v", step.by, n, err)
		}
		eventually(t, "the number is right", func() bool { return len(p.Stats().PIDs) == step.want })
	}
	if n, err := p.Scale(-1); err == nil || n != 1 {
		t.Errorf("the last worker went: %d, %v", n, err)
	}
	if all, failed := stop(); all == 0 || len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(failed), all, failed)
	}
}

func TestTheOldestGoesWhereThatIsWanted(t *testing.T) {
	for _, oldest := range []bool{true, false} {
		p, _ := testPool(t, Config{Workers: 1, Threads: 1, QueueLimit: 100, CullOldest: oldest})
		first := p.Stats().PIDs[0]
		for _, by := range []int{1, -1} {
			if _, err := p.Scale(by); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "one is left", func() bool { return len(p.Stats().PIDs) == 1 })
		if left := p.Stats().PIDs[0]; (left != first) != oldest {
			t.Errorf("oldest %v: %d is left, %d came first", oldest, left, first)
		}
	}
}

func TestWorkersAreReplacedAfterSoManyRequestsOneAtATime(t *testing.T) {
	p, log := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 100, MaxRequests: 30})
	stop := load(p)
	eventually(t, "workers were replaced", func() bool {
		if s := p.Stats(); s.Ready < 2 {
			t.Errorf("%d workers serve", s.Ready)
		}
		return strings.Count(log.text(), "(--worker-max-requests)") >= 3
	})
	if all, failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(failed), all, failed)
	}
}

func TestTheEndOvertakesARestart(t *testing.T) {
	p, _ := testPool(t, Config{Workers: 2, Threads: 1, QueueLimit: 100})
	next := release(t, p, "slow")
	started := make(chan struct{}, 2)
	next.Launch = launcher(t, sleepingApp(t), 1)
	launch := next.Launch
	next.Launch = func(index int, h worker.Handler) (*worker.Worker, error) {
		started <- struct{}{}
		return launch(index, h)
	}
	over := make(chan error)
	go func() { over <- p.Hot(next, func(Progress) {}) }()
	<-started
	p.Settle()
	p.Shutdown(t.Context())
	if err := <-over; err == nil {
		t.Error("it went through")
	}
}

func sleepingApp(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.ru")
	if err := os.WriteFile(path, []byte("sleep"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWorkerThatHearsNothingIsKilledAndReplaced(t *testing.T) {
	rackup := filepath.Join(t.TempDir(), "config.ru")
	if err := os.WriteFile(rackup, []byte("run ->(env) { [200, {}, [Process.pid.to_s]] }"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, log := started(t, Config{Workers: 1, Threads: 1, QueueLimit: 10, Timeout: 5 * time.Second, CheckEvery: 100 * time.Millisecond, Launch: launcher(t, rackup, 1)})
	before := p.Stats().PIDs[0]
	time.Sleep(time.Second)
	if now := p.Stats().PIDs[0]; now != before {
		t.Fatalf("a worker that hears was replaced: %s", log.text())
	}
	// A process that is stopped hears as little as one whose interpreter hangs.
	testkit.FindProcess(before).Freeze(t)
	if _, body := ask(p, "GET", "/", "").wait(t); body == fmt.Sprint(before) {
		t.Error("the stopped worker answered")
	}
	if !strings.Contains(log.text(), "has not answered for 5s (--worker-timeout)") {
		t.Errorf("the log says %s", log.text())
	}
}
