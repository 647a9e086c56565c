package config

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyTheCPUsOfThisThreadCount(t *testing.T) {
	done := make(chan int)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, and its affinity with it
		var all, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			t.Error(err)
		}
		for cpu := range len(all) * 64 {
			if all.IsSet(cpu) {
				one.Set(cpu)
				break
			}
		}
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Error(err)
		}
		done <- availableCPUs()
	}()
	if have := <-done; have != 1 {
		t.Errorf("have %d CPUs on a thread that may use one", have)
	}
}

func TestTheSmallestQuotaOfAllCgroupsAboveCounts(t *testing.T) {
	for name, test := range map[string]struct {
		membership string
		files      map[string]string
		want       float64
	}{
		"no cgroups":         {"", nil, math.Inf(1)},
		"v2 without a limit": {"0::/app\n", map[string]string{"app/cpu.max": "max 100000\n"}, math.Inf(1)},
		"v2":                 {"0::/app\n", map[string]string{"app/cpu.max": "250000 100000\n"}, 2.5},
		"v2, the parent's": {"0::/pod/app\n", map[string]string{
			"pod/cpu.max": "150000 100000\n", "pod/app/cpu.max": "250000 100000\n"}, 1.5},
		"v2 in a namespace": {"0::/\n", map[string]string{"cpu.max": "50000 100000\n"}, 0.5},
		"v1":                {"4:memory:/app\n3:cpu,cpuacct:/app\n", map[string]string{"cpu/app/cpu.cfs_quota_us": "300000\n", "cpu/app/cpu.cfs_period_us": "100000\n"}, 3},
		"v1 without a limit": {"3:cpu:/app\n", map[string]string{
			"cpu/app/cpu.cfs_quota_us": "-1\n", "cpu/app/cpu.cfs_period_us": "100000\n"}, math.Inf(1)},
		"nonsense": {"garbage\n0::/../app\n", map[string]string{"app/cpu.max": "a b\n"}, math.Inf(1)},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			membership := filepath.Join(root, "membership")
			if err := os.WriteFile(membership, []byte(test.membership), 0o644); err != nil {
				t.Fatal(err)
			}
			for file, text := range test.files {
				path := filepath.Join(root, file)
				os.MkdirAll(filepath.Dir(path), 0o755)
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if have := cgroupQuota(membership, root); have != test.want {
				t.Errorf("have %v, want %v", have, test.want)
			}
		})
	}
}

func TestAQuotaLeavesWholeCPUsAndAtLeastOne(t *testing.T) {
	for quota, want := range map[float64]int{math.Inf(1): 4, 9: 4, 4: 4, 3.9: 3, 2: 2, 1.5: 1, 0.1: 1} {
		if have := withinQuota(4, quota); have != want {
			t.Errorf("4 CPUs and a quota of %v: have %d, want %d", quota, have, want)
		}
	}
}
