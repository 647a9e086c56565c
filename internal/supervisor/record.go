package supervisor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"serval/internal/process"
	"serval/internal/sequence"
)

// record is what the next supervisor has to know of a process. There is one file for each, so that what happens to one of a
// thousand processes does not have all of them written.
type record struct {
	Boot     string     `json:"boot"` // of the kernel: process ids of another one mean nothing
	Process  process.ID `json:"process,omitzero"`
	Group    int        `json:"group,omitempty"`
	Digest   string     `json:"digest,omitempty"`  // of the spec that it was started by
	Stopped  bool       `json:"stopped,omitempty"` // somebody wanted it so
	Restarts int        `json:"restarts,omitempty"`
	Begun    bool       `json:"begun,omitempty"` // it was about to be started; Marker tells which process that is

	Stop sequence.Sequence `json:"stop,omitempty"` // for a process that nobody wants any more
}

// records is the directory where they are; empty: nothing is recorded.
type records string

func (r records) path(name string) string { return filepath.Join(string(r), name+".json") }

// read returns what is known of a process: nothing, if that is of another boot.
func (r records) read(name string) (known record) {
	if r == "" {
		return known
	}
	text, err := os.ReadFile(r.path(name))
	if err != nil || json.Unmarshal(text, &known) != nil || known.Boot != boot() {
		return record{}
	}
	return known
}

func (r records) write(name string, known record) error {
	if r == "" {
		return nil
	}
	known.Boot = boot()
	text, err := json.Marshal(known)
	if err != nil {
		return err
	}
	// The record is worth nothing after the host's own crash, so nothing has to wait for the disk.
	temporary := filepath.Join(string(r), "."+name)
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, r.path(name))
}

func (r records) remove(name string) {
	if r != "" {
		os.Remove(r.path(name))
	}
}

// names are those of all processes that there are records of.
func (r records) names() (names []string, err error) {
	if r == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(string(r))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		if name, is := strings.CutSuffix(entry.Name(), ".json"); is && isFileName(name) {
			names = append(names, name)
		}
	}
	return names, err
}

// boot is the kernel's id of this boot (random(4)).
func boot() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// Records is where the supervisor of an app records what runs, in the app's state directory.
func Records(stateDir string) string { return filepath.Join(stateDir, "processes") }

// Left is what runs without a supervisor, after the end of the one that recorded it, by name.
func Left(stateDir string) map[string]process.ID {
	left := map[string]process.ID{}
	dir := records(Records(stateDir))
	names, err := dir.names()
	if err != nil {
		return left
	}
	for _, name := range names {
		if known := dir.read(name); known.Process.Alive() {
			left[name] = known.Process
		}
	}
	return left
}

// Marker is the environment variable by which a process is known whose supervisor was killed before it could record its number.
const Marker = "SERVAL_SUPERVISED"

// mark is the marker of a process.
func (r records) mark(name string) string { return Marker + "=" + r.path(name) }

// marked finds the process that was started last with a mark, and leads its group; the zero ID if there is none.
func (r records) marked(name string) (last process.ID) {
	table, err := process.All()
	if err != nil {
		return last
	}
	for _, row := range table {
		if row.Group != row.PID || row.State == 'Z' || row.Start < last.Start {
			continue
		}
		if env, known, err := process.Environ(row.PID); err == nil && known && env[Marker] == r.path(name) {
			last = row.ID
		}
	}
	return last
}
