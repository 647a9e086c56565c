// Package installation is what is installed of an app on this host: what serval install wrote down, and from it and the plan
// what is to run, in full.
package installation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"serval/internal/atomicfile"
)

// Installation is what is installed of an app.
type Installation struct {
	Version     int            `json:"version"` // of this record's form
	App         string         `json:"app"`
	Directory   string         `json:"directory"` // the app's, by its link current where it has one
	Environment string         `json:"environment"`
	Prefix      string         `json:"prefix"`           // what unit names begin with
	Backend     string         `json:"backend"`          // Systemd, Supervisor or Bluepill
	User        string         `json:"user,omitempty"`   // of processes whose manifest names none; empty: whoever starts them
	Group       string         `json:"group,omitempty"`  // of the processes of User; empty: that user's own
	EnvFiles    []string       `json:"env_files"`        // absolute; later ones win
	Counts      map[string]int `json:"counts,omitempty"` // by serval scale; they win over the manifest's
	Files       []string       `json:"files"`            // that install wrote, absolute
	When        time.Time      `json:"installed"`

	// Digests tell by path what install wrote (SHA-256, in hexadecimal digits), so that later edits are noticed.
	Digests map[string]string `json:"digests,omitempty"`
}

// The backends by their names.
const (
	Systemd    = "systemd"
	Supervisor = "supervisor"
	Bluepill   = "bluepill"
)

// Backends are all of them.
var Backends = []string{Systemd, Supervisor, Bluepill}

const (
	version = 1
	record  = "installation.json"
)

// Load reads what is installed of an app from its state directory (analysis.StateDir); nil if nothing is.
func Load(stateDir string) (*Installation, error) {
	path := filepath.Join(stateDir, record)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what is installed: %w", err)
	}
	var i Installation
	if err := json.Unmarshal(text, &i); err != nil {
		return nil, fmt.Errorf("%s holds what is installed, and is damaged (%w): put it right, or take it away and install again", path, err)
	}
	if i.Version != version {
		return nil, fmt.Errorf("%s holds what is installed in version %d, and %d is known here: run the serval that installed it", path, i.Version, version)
	}
	return &i, nil
}

// Store writes down what is installed. The record is there whole or not at all.
func (i Installation) Store(stateDir string) error {
	i.Version = version
	if err := atomicfile.WriteJSON(filepath.Join(stateDir, record), i); err != nil {
		return fmt.Errorf("cannot write down what is installed: %w", err)
	}
	return nil
}

// Remove forgets what is installed.
func Remove(stateDir string) error {
	err := os.Remove(filepath.Join(stateDir, record))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget what is installed: %w", err)
	}
	return nil
}
