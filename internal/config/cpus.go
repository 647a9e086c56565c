package config

import (
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// availableCPUs is how many CPUs this process may keep busy: those it may run on, or fewer if its cgroups hand out
// less time, rounded down as Puma's auto does, at least 1.
func availableCPUs() int {
	n := runtime.NumCPU()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil && set.Count() > 0 {
		n = set.Count()
	}
	return withinQuota(n, cgroupQuota("/proc/self/cgroup", "/sys/fs/cgroup"))
}

// withinQuota is the part of n CPUs that a quota leaves: whole ones, but never none.
func withinQuota(n int, quota float64) int {
	if quota < float64(n) {
		n = int(quota)
	}
	return max(n, 1)
}

// cgroupQuota is the CPU time per second that the cgroups of a process leave it, +Inf if they set no limit. Every
// ancestor counts: a limit on the pod's cgroup binds the container's.
func cgroupQuota(membership, root string) float64 {
	quota := math.Inf(1)
	data, err := os.ReadFile(membership)
	if err != nil {
		return quota
	}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		_, rest, _ := strings.Cut(line, ":")
		controllers, group, _ := strings.Cut(rest, ":")
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			switch {
			case controllers == "":
				quota = min(quota, quotaV2(path.Join(root, group, "cpu.max")))
			case controllers == "cpu" || strings.HasPrefix(controllers, "cpu,"):
				quota = min(quota, quotaV1(path.Join(root, "cpu", group)))
			}
			if group == "/" {
				break
			}
		}
	}
	return quota
}

// quotaV2 reads "MAX PERIOD" of cgroup v2, where MAX may be "max".
func quotaV2(file string) float64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return math.Inf(1)
	}
	most, period, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	return ratio(most, period)
}

// quotaV1 reads the two files of cgroup v1, where -1 means no limit.
func quotaV1(dir string) float64 {
	most, err := os.ReadFile(path.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return math.Inf(1)
	}
	period, err := os.ReadFile(path.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return math.Inf(1)
	}
	return ratio(strings.TrimSpace(string(most)), strings.TrimSpace(string(period)))
}

func ratio(most, period string) float64 {
	m, err := strconv.ParseFloat(most, 64)
	if err != nil || m <= 0 {
		return math.Inf(1)
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || p <= 0 {
		return math.Inf(1)
	}
	return m / p
}
