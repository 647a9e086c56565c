package worker

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// PSS returns the proportional set size of a process in bytes: its own memory plus its share of what it shares
// (proc(5), smaps_rollup). RSS would count memory shared between workers once per worker.
func PSS(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "Pss:" {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no Pss line", path)
}
