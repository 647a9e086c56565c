// Package testkit lets tests meet the real thing: it builds the binary, starts it on free ports with real Ruby, talks to
// it byte by byte, and after each test makes sure that it stopped as it should and left nothing behind. Only _test files
// import it.
package testkit

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come about. It is long because machines may be slow, longer than
// Serval's own timeouts so that these strike first, and never used up when all is well.
const Patience = 40 * time.Second * slowness

// Main runs the tests of a package that starts Serval, after building it. Use it in TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "serval-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary.dir = dir
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		parallel.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))) // the tests mostly wait
	}
	return m.Run()
}

var binary struct {
	dir  string
	once sync.Once
	path string
	err  string
}

// linked is what the Makefile tells the linker about the URG signal.
const linked = "-X runtime.godebugDefault=asyncpreemptoff=1 -X serval/internal/front.ownsURG=yes"

// Binary returns the path of serval, built once per test run, with the race detector where the tests run under it.
func Binary(t testing.TB) string {
	t.Helper()
	if binary.dir == "" {
		t.Fatal("testkit: TestMain has to call testkit.Main")
	}
	binary.once.Do(func() {
		binary.path = filepath.Join(binary.dir, "serval")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", binary.path, "-ldflags", linked)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if Race {
			build.Args = append(build.Args, "-race")
			build.Env = append(os.Environ(), "CGO_ENABLED=1") // the race detector is C
		}
		build.Args = append(build.Args, "serval/cmd/serval")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = "serval does not build: " + err.Error() + "\n" + string(out)
		}
	})
	if binary.err != "" {
		t.Fatal(binary.err)
	}
	return binary.path
}

// Rack is the release of Rack that is installed, "2.2.6".
func Rack(t testing.TB) string {
	t.Helper()
	release, err := rackRelease()
	if err != nil {
		t.Fatalf("Rack does not say its release: %v", err)
	}
	return release
}

var rackRelease = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("ruby", "-e", `require "rack"; print Rack.release`).Output()
	return string(out), err
})

// Root returns the top directory of the repository.
func Root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// App returns the path of an app in test/apps, by its name without .ru.
func App(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "test", "apps", name+".ru")
	if !isFile(path) {
		t.Fatalf("there is no app %s", path)
	}
	return path
}

// Need fails the test when a program that it runs is not installed.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: run make test, which installs what the tests need", program)
	}
	return path
}

// NeedRoot skips the test when another user runs it, who may not do what, such as "start processes of others".
func NeedRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can " + what)
	}
}

// NeedNoRace skips a test that counts allocations where the race detector makes some of its own. script/test runs the
// tests named so once more without it.
func NeedNoRace(t testing.TB) {
	t.Helper()
	if Race {
		t.Skip("the race detector allocates")
	}
}

// ShortDir returns a directory of the test's own whose path is short enough for unix sockets, which t.TempDir's may not be.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// WaitFor waits, in growing steps, until holds says true. what completes the sentence "it did not come about that".
func WaitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !waitFor(Patience, holds) {
		t.Fatalf("it did not come about that %s", what)
	}
}

// Waited is WaitFor for tests that say themselves what went wrong: it reports whether it came about.
func Waited(holds func() bool) bool { return waitFor(Patience, holds) }

func waitFor(patience time.Duration, holds func() bool) bool {
	deadline := time.Now().Add(patience)
	for step := time.Millisecond; !holds(); step = min(2*step, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(step)
	}
	return true
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
