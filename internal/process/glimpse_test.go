package process

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// startProgram starts a program that says a line when it is ready, and goes on until its input ends.
func startProgram(t *testing.T, env []string, argv ...string) (pid int, again func()) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	lines := bufio.NewReader(out)
	ready := func() {
		t.Helper()
		if line, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("it says %q, %v", line, err)
		}
	}
	ready()
	return cmd.Process.Pid, func() {
		t.Helper()
		in.Write([]byte("go\n"))
		ready()
	}
}

func TestAProcessHasATitle(t *testing.T) {
	t.Parallel()
	pid, _ := startProgram(t, nil, "/bin/sh", "-c", "echo ready; read x", "a (strange) name", "two")
	if title := Title(pid); title != "/bin/sh -c echo ready; read x a (strange) name two" {
		t.Errorf("it is %q", title)
	}
	if title := Title(1 << 30); title != "" {
		t.Errorf("a process that cannot be has the title %q", title)
	}
}

func TestDescendantsAreFoundFromTheTop(t *testing.T) {
	t.Parallel()
	pid, _ := startProgram(t, nil, "/bin/bash", "-c", "(bash -c 'echo ready; read x; :' inner; :)")
	var titles []string
	for _, p := range Descendants(pid) {
		titles = append(titles, Title(p.PID))
	}
	if len(titles) == 0 || !slices.ContainsFunc(titles, func(title string) bool { return strings.HasSuffix(title, " inner") }) {
		t.Errorf("its descendants are %q", titles)
	}
}

func TestAnImageChangesWhenAProcessExecutesAProgram(t *testing.T) {
	t.Parallel()
	pid, again := startProgram(t, nil, "/bin/bash", "-c", "echo ready; read x; exec /bin/bash -c 'echo ready; read x'")
	before, err := Image(pid)
	if err != nil {
		t.Fatal(err)
	}
	if same, _ := Image(pid); same != before {
		t.Error("it changes while nothing happens")
	}
	again()
	if after, err := Image(pid); err != nil || after == before {
		t.Errorf("it is the same after an exec (%v)", err)
	}
}

func TestHandlersAndThreadsAreSeen(t *testing.T) {
	t.Parallel()
	pid, _ := startProgram(t, []string{"PATH=" + os.Getenv("PATH")}, "ruby", "-e",
		`Thread.new { Thread.current.name = "puma srv"; sleep }; trap("WINCH") { }; trap("USR1", nil); sleep 0.05; $stdout.puts "ready"; $stdout.flush; gets`)
	if !Catches(pid, syscall.SIGWINCH) || Catches(pid, syscall.SIGUSR1) || Catches(pid, syscall.SIGKILL) {
		t.Error("the signals it handles are not those that are seen")
	}
	if names := Threads(pid); !slices.Contains(names, "puma srv") {
		t.Errorf("its threads are %q", names)
	}
}

func TestAnEnvironmentIsReadUnlessATitleIsWrittenOverIt(t *testing.T) {
	t.Parallel()
	path := "PATH=" + os.Getenv("PATH")
	pid, again := startProgram(t, []string{path, "A=1", "B=two\nlines", "EMPTY="}, "ruby", "-e", `$stdout.sync = true; puts "ready"; gets; $0 = "x" * 5000; puts "ready"; gets`)
	env, known, err := Environ(pid)
	if err != nil || !known || env["A"] != "1" || env["B"] != "two\nlines" || len(env) != 4 {
		t.Errorf("it is %q, known %v (%v)", env, known, err)
	}
	again()
	if env, known, err := Environ(pid); err != nil || known {
		t.Errorf("after the title it is %q, known %v (%v)", env, known, err)
	}
}
