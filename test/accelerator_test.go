package test

import (
	"os"
	"path/filepath"
	"testing"

	"serval/internal/testkit"
)

const tellsWhatRuns = `run ->(_) { [200, { "x-pid" => Process.pid.to_s }, [defined?(Serval::Accelerator::Reader) ? "C" : "Ruby"]] }`

func startAccelerated(t *testing.T, runtime string, flags ...string) *testkit.Server {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.ru"), tellsWhatRuns)
	return testkit.Command{Dir: dir, Flags: flags, Env: []string{"XDG_RUNTIME_DIR=" + runtime}}.Start(t)
}

// privateDir is one in which Serval puts its Ruby code.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAllWorkersGoOverToCWhileTheyServe(t *testing.T) {
	t.Parallel()
	for _, mode := range [][]string{nil, {"--preload"}} {
		runtime := privateDir(t)
		s := startAccelerated(t, runtime, append(mode, "-w", "2", "-t", "1")...)
		pids := map[string]bool{}
		testkit.WaitFor(t, "both workers run it in C", func() bool {
			r := s.Get("/")
			if r.Status != 200 {
				t.Fatalf("got %+v", r)
			}
			if r.Body == "C" {
				pids[r.Header.Get("x-pid")] = true
			}
			return len(pids) == 2
		})
		files, err := filepath.Glob(filepath.Join(runtime, "serval-*", "serval", "*", "accelerator.so"))
		if err != nil || len(files) != 1 {
			t.Errorf("%q: there are %q, %v", mode, files, err)
		}
	}
}

func TestTheAcceleratorIsThereFromTheStartOrNever(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{"on": "C", "off": "Ruby"} {
		runtime := privateDir(t)
		if r := startAccelerated(t, runtime, "--accelerator", setting).Get("/"); r.Body != want {
			t.Errorf("%s: got %+v", setting, r)
		}
	}
}
