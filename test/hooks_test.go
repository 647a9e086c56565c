package test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"serval/internal/testkit"
)

// hookNotes is a configuration with a block of every kind that Debian's Puma knows. Each writes down in which process it ran.
const hookNotes = `
NOTES = File.expand_path("notes")
$note = ->(text) { File.write(NOTES, "#{Process.pid} #{text}\n", mode: "a") }
workers 2
threads 1, 1
before_fork { |arg| $note.call("before_fork #{arg.inspect}") }
on_worker_fork { |index| $note.call("on_worker_fork #{index}") }
after_worker_fork { |index| $note.call("after_worker_fork #{index}") }
on_worker_boot { |index| $note.call("on_worker_boot #{index}") }
on_worker_shutdown { |index| $note.call("on_worker_shutdown #{index}") }
on_restart { |launcher| $note.call("on_restart #{launcher.respond_to?(:restart)}") }
`

const hookApp = `
$note.call("load")
run ->(env) { [200, {"content-type" => "text/plain"}, ["hello"]] }
`

// Puma and Serval run the same file: the blocks have to run in the same processes in the same order.
func TestHooksRunAsInPuma(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "puma")
	for name, extra := range map[string]string{"preload": "preload_app!\n", "without preload": "preload_app! false\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			puma := hooksOf(t, extra, pumaStory)
			serval := hooksOf(t, extra, servalStory)
			if !slices.Equal(puma, serval) {
				t.Errorf("in Puma the processes did\n  %s\nin Serval\n  %s", strings.Join(puma, "\n  "), strings.Join(serval, "\n  "))
			}
			if len(puma) != 3 || !strings.Contains(puma[0], "before_fork") {
				t.Errorf("Puma's own story is %q", puma)
			}
		})
	}
}

// hooksOf runs a server in a directory with the notes' configuration, and returns what each of its processes did, in order.
func hooksOf(t *testing.T, extra string, run func(t *testing.T, dir string)) []string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "puma.rb"), hookNotes+extra)
	write(t, filepath.Join(dir, "config.ru"), hookApp)
	run(t, dir)
	return hookStories(t, filepath.Join(dir, "notes"))
}

// hookStories gives each process's notes in one line. The numbers of workers are taken out of the one that forks: in which
// order it does that is left open.
func hookStories(t *testing.T, path string) (stories []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	byProcess := map[string][]string{}
	for note := range strings.Lines(string(text)) {
		pid, what, _ := strings.Cut(strings.TrimSpace(note), " ")
		if kind, _, ok := strings.Cut(what, "worker_fork"); ok {
			what = kind + "worker_fork"
		}
		byProcess[pid] = append(byProcess[pid], what)
	}
	for _, notes := range byProcess {
		stories = append(stories, strings.Join(notes, ", "))
	}
	slices.Sort(stories)
	return stories
}

func servalStory(t *testing.T, dir string) {
	s := testkit.Command{Dir: dir, Flags: []string{"-C", filepath.Join(dir, "puma.rb")}}.Start(t)
	if got := s.Get("/").Body; got != "hello" {
		t.Errorf("it says %q", got)
	}
	s.Signal(syscall.SIGTERM)
	s.Exit()
}

func pumaStory(t *testing.T, dir string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	out, err := os.Create(filepath.Join(dir, "puma.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("puma", "-C", "puma.rb", "-b", "tcp://"+address)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()                          //nolint:errcheck // by a signal
	defer cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // as above
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(50 * time.Millisecond) {
		log, _ := os.ReadFile(out.Name())
		if strings.Count(string(log), "booted in") == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("puma does not boot: %s", log)
		}
	}
	response, err := http.Get("http://" + address)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("puma says %v, %v", response, err)
	}
	response.Body.Close()
}
