package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"serval/internal/testkit"
)

func TestExecWritesToTheLogAsThePrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log", "worker_1.log")
	run := func(args ...string) (string, error) {
		cmd := exec.Command(testkit.Binary(t), append([]string{"exec", "--log"}, args...)...)
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "GREETING=hello")
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	for range 2 {
		if said, err := run(log, "/bin/sh", "-c", `echo "$GREETING $LISTEN_FDS"; echo error >&2`); err != nil || said != "" {
			t.Errorf("%v: %s", err, said)
		}
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "hello 1\nerror\nhello 1\nerror\n" {
		t.Errorf("the log has %q, %v", text, err)
	}
	// The program starts whatever becomes of its log.
	said, err := run(log+"/below", "/bin/echo", "here")
	if err != nil || !strings.Contains(said, "cannot open the log, so this goes to the journal: ") || !strings.HasSuffix(said, "here\n") {
		t.Errorf("%v: %s", err, said)
	}
	for want, args := range map[string][]string{
		"cannot start /no/such/program: no such file or directory": {log, "/no/such/program"},
		"cannot start no-such-program: ":                           {log, "no-such-program"},
		"it is called as serval exec --log FILE COMMAND":           {log},
	} {
		if said, err := run(args...); err == nil || !strings.Contains(said, want) {
			t.Errorf("%q: %v, %s", args, err, said)
		}
	}
}

func TestASequenceEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	run := func(args ...string) (string, error) {
		said, err := exec.Command(testkit.Binary(t), append([]string{"sequence"}, args...)...).CombinedOutput()
		return string(said), err
	}
	for want, args := range map[string][]string{
		"":                                {"term, 90, kill"}, // systemd has no number of what has ended by itself
		`"x" is no process`:               {"term", "x"},
		`"terrm" is no signal`:            {"terrm, 1, kill", "4711"},
		"it is called as serval sequence": {},
	} {
		if said, err := run(args...); (err == nil) != (want == "") || !strings.Contains(said, want) {
			t.Errorf("%q: %v, %s", args, err, said)
		}
	}
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleeper.Wait() }()
	began := time.Now()
	if said, err := run("usr1, 600, kill", strconv.Itoa(sleeper.Process.Pid)); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	if err := <-ended; err == nil || err.Error() != "signal: user defined signal 1" || time.Since(began) > testkit.Patience {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if said, err := run("usr1, 600, kill", strconv.Itoa(sleeper.Process.Pid)); err != nil || said != "" {
		t.Errorf("of what is gone: %v: %s", err, said)
	}
}
