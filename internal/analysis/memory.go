package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"serval/internal/atomicfile"
	"serval/internal/plan"
)

// Memory is what is remembered of an app's first analysis. It decides between Passenger and the others for good.
type Memory struct {
	Version   int       `json:"version"`
	App       string    `json:"app"`
	Directory string    `json:"directory"` // the app's, above its releases
	Server    string    `json:"web_server"`
	When      time.Time `json:"first_analysis"`
}

const (
	memoryVersion = 1
	memoryFile    = "analysis.json"
)

// StateDir is where Serval remembers things about an app: below SERVAL_STATE_DIR if there is one, else /var/lib/serval/APP
// for root, and below XDG_STATE_HOME or ~/.local/state for others.
func StateDir(app string, root bool, getenv func(string) string) (string, error) {
	if err := plan.CheckName("app's name", app); err != nil {
		return "", err
	}
	if dir := getenv("SERVAL_STATE_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, app), nil
	}
	if root {
		return filepath.Join("/var/lib/serval", app), nil
	}
	if state := getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "serval", app), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("there is no place to remember the analysis: set HOME or XDG_STATE_HOME")
	}
	return filepath.Join(home, ".local/state/serval", app), nil
}

// Recall reads what is remembered in a directory; nil if nothing is.
func Recall(dir string) (*Memory, error) {
	path := filepath.Join(dir, memoryFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what is remembered of the first analysis: %w", err)
	}
	var m Memory
	if err := json.Unmarshal(text, &m); err != nil || m.Version != memoryVersion || m.Server == "" {
		what := fmt.Sprintf("its version is %d, and %d is known here", m.Version, memoryVersion)
		switch {
		case err != nil:
			what = err.Error()
		case m.Version == memoryVersion:
			what = "it names no web server"
		}
		return nil, fmt.Errorf("%s holds what is remembered of the first analysis, and is damaged (%s): start over with serval analyze --reset", path, what)
	}
	return &m, nil
}

// Store remembers. The file is there whole or not at all.
func (m Memory) Store(dir string) error {
	m.Version = memoryVersion
	if err := atomicfile.WriteJSON(filepath.Join(dir, memoryFile), m); err != nil {
		return fmt.Errorf("cannot remember the analysis: %w", err)
	}
	return nil
}
