package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestStatIsReadEvenIfTheNameIsStrange(t *testing.T) {
	for text, want := range map[string][3]int{
		"12 (ruby) S 7 12 12 0":       {12, 7, 1},
		"12 (a) S 3 (b c)) R 7 12 12": {12, 7, 1},
		"12 (ruby) Z 7 12 12 0":       {0, 0, 0}, // dead, though not yet reaped
		"12 ruby S 7":                 {0, 0, 0},
		"":                            {0, 0, 0},
	} {
		pid, parent, ok := parseStat(text)
		if pid != want[0] || parent != want[1] || ok != (want[2] == 1) {
			t.Errorf("%q: got %d, %d, %v", text, pid, parent, ok)
		}
	}
}

func TestCPUTimeIsThatOfTheProcessAndOfTheKernel(t *testing.T) {
	if got, want := parseCPUTime("12 (a) b) S 7 12 12 0 -1 4194560 800 0 2 0 150 25 9 9 20 0 1 0 8 9"), 1750*time.Millisecond; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := parseCPUTime(""); got != 0 {
		t.Errorf("got %v for a process that is gone", got)
	}
	for deadline := time.Now().Add(10 * time.Second); cpuTime(os.Getpid()) < 50*time.Millisecond; {
		if time.Now().After(deadline) {
			t.Fatal("after ten busy seconds there are no 50 ms")
		}
	}
}

func TestDescendantsAreFoundAtAnyDepth(t *testing.T) {
	// The shell starts a shell which starts cat; both wait for the end of their input.
	process := exec.Command("sh", "-c", "sh -c 'echo started; cat; true'; true")
	input, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if found := descendants(process.Process.Pid); len(found) < 1 {
		t.Errorf("found %v", found)
	}
	if found := descendants(os.Getpid()); !slices.Contains(found, process.Process.Pid) || len(found) < 2 {
		t.Errorf("found %v, want %d and its child", found, process.Process.Pid)
	}
	input.Close()
	process.Wait()
	if found := descendants(process.Process.Pid); len(found) != 0 {
		t.Errorf("still found %v", found)
	}
}

func TestARollupIsReadInKiB(t *testing.T) {
	got := parseRollup("55d0c0000000-7ffd00000000 ---p 00000000 00:00 0    [rollup]\nRss:               23652 kB\nPss:               13240 kB\nPss_Dirty:         1 kB\n")
	if want := (memory{RSS: 23652, PSS: 13240}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMemoryOfALivingProcessIsThereAndOfADeadOneIsNot(t *testing.T) {
	if m := memoryOf(os.Getpid()); m.RSS < 1024 || m.PSS <= 0 || m.PSS > m.RSS {
		t.Errorf("this process has %+v", m)
	}
	if m := memoryOf(1 << 30); m != (memory{}) {
		t.Errorf("no process has %+v", m)
	}
}
