package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// descendants are the living processes that pid started, and those that they did.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if child, parent, ok := parseStat(read(path)); ok {
			children[parent] = append(children[parent], child)
		}
	}
	var found []int
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		found = append(found, queue[0])
		queue = slices.Concat(queue, children[queue[0]])
	}
	return found
}

// parseStat reads the process id and that of the parent from /proc/PID/stat. The name between the two may hold spaces
// and parentheses itself, so its end is the last one (proc_pid_stat(5)).
func parseStat(stat string) (pid, parent int, ok bool) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return 0, 0, false
	}
	rest := strings.Fields(stat[end+1:])
	if len(rest) < 2 || rest[0] == "Z" {
		return 0, 0, false
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(stat[:open]))
	parent, err2 := strconv.Atoi(rest[1])
	return pid, parent, err1 == nil && err2 == nil
}

// alive reports whether there is such a process, other than one that is only to be reaped.
func alive(pid int) bool {
	_, _, ok := parseStat(read(fmt.Sprintf("/proc/%d/stat", pid)))
	return ok
}

// ticksPerSecond is the unit of CPU times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// cpuTime is what the processes have used of the CPU so far, their own time and the kernel's on their behalf.
func cpuTime(pids ...int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		sum += parseCPUTime(read(fmt.Sprintf("/proc/%d/stat", pid)))
	}
	return sum
}

// parseCPUTime adds fields 14 and 15 of /proc/PID/stat, utime and stime.
func parseCPUTime(stat string) time.Duration {
	rest := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(rest) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(rest[11])
	system, _ := strconv.Atoi(rest[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// memory is what a process holds, in KiB.
type memory struct {
	RSS float64 `json:"rss_kib"` // pages in memory
	PSS float64 `json:"pss_kib"` // the same, but pages shared by n processes count 1/n
}

// memoryOf sums up the processes. One that is gone by now counts nothing.
func memoryOf(pids ...int) memory {
	var sum memory
	for _, pid := range pids {
		m := parseRollup(read(fmt.Sprintf("/proc/%d/smaps_rollup", pid)))
		sum.RSS += m.RSS
		sum.PSS += m.PSS
	}
	return sum
}

// parseRollup reads /proc/PID/smaps_rollup.
func parseRollup(text string) memory {
	return memory{RSS: kib(field(text, "Rss")), PSS: kib(field(text, "Pss"))}
}

// resetPeak makes the kernel forget how large the process has been (clear_refs in proc(5)).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peakOf is the most that a process held since resetPeak, in KiB.
func peakOf(pid int) float64 {
	return kib(field(read(fmt.Sprintf("/proc/%d/status", pid)), "VmHWM"))
}

// kib reads "123 kB", which in /proc means KiB.
func kib(text string) float64 {
	number, _, _ := strings.Cut(text, " ")
	value, _ := strconv.ParseFloat(number, 64)
	return value
}
