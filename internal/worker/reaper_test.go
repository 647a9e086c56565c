package worker

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func reaping(t *testing.T, patience time.Duration) {
	t.Helper()
	r, err := newReaper(patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
}

// orphaned is the number of a process whose parent has ended.
func orphaned(t *testing.T, script string) int {
	t.Helper()
	out, err := exec.Command("sh", "-c", "("+script+") >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func there(pid int) bool {
	_, err := os.Stat(fmt.Sprint("/proc/", pid))
	return err == nil
}

func TestOrphansAreBuried(t *testing.T) {
	reaping(t, 100*time.Millisecond)
	for i := range 3 {
		pid := orphaned(t, fmt.Sprint("sleep 0.", i))
		eventually(t, "the orphan is gone", func() bool { return !there(pid) })
	}
	long := orphaned(t, "exec sleep 300")
	eventually(t, "it is this process's", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", long))
		return err == nil && strings.Contains(string(text), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid()))
	})
	syscall.Kill(long, syscall.SIGKILL)
	eventually(t, "it is gone when it dies", func() bool { return !there(long) })
}

// Those who start processes get their ends, however fast they come.
func TestTheReaperTakesNobodysChildren(t *testing.T) {
	reaping(t, time.Second)
	for i := range 50 {
		cmd := exec.Command("sh", "-c", fmt.Sprint("exit ", i))
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != i {
			t.Errorf("one that ended with %d ended with %v", i, err)
		}
	}
}

// Workers are waited for by this package, even if that should take longer than the reaper's patience.
func TestTheReaperKnowsTheFamily(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exit 7")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ours.add(cmd.Process.Pid)
	defer ours.remove(cmd.Process.Pid)
	reaping(t, time.Millisecond)
	eventually(t, "it is a zombie", func() bool { return zombie(cmd.Process.Pid) })
	stranger := orphaned(t, "exit 0") // once it is gone, the reaper has been at work
	eventually(t, "the orphan is gone", func() bool { return !there(stranger) })
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("it ended with %v", err)
	}
}
