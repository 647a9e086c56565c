package bluepill

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"serval/internal/atomicfile"
	"serval/internal/process"
)

// journal remembers which process each pid file means, across daemons: a number alone may be somebody else's after a boot.
type journal struct {
	path string

	mu   sync.Mutex
	Boot string                `json:"boot"` // random_id(4): numbers and times of another boot say nothing
	IDs  map[string]process.ID `json:"processes"`
}

func openJournal(base, application string) *journal {
	j := &journal{path: filepath.Join(base, "journals", application+".json")}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") //nolint:errcheck // then no record counts
	text, err := os.ReadFile(j.path)
	if err != nil || json.Unmarshal(text, j) != nil || j.Boot != strings.TrimSpace(string(boot)) || j.IDs == nil {
		j.Boot, j.IDs = strings.TrimSpace(string(boot)), map[string]process.ID{}
	}
	return j
}

// get returns what is remembered of a process; the zero ID if nothing is.
func (j *journal) get(key string) process.ID {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.IDs[key]
}

// put remembers which process it is.
func (j *journal) put(key string, id process.ID) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.IDs[key] == id {
		return nil
	}
	j.IDs[key] = id
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return atomicfile.Write(j.path, text, 0o600)
}
