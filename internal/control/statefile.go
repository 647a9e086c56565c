package control

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"serval/internal/atomicfile"
)

// State is what a state file says: where a running server is and how to reach its control server. The file is YAML, in the
// lines that Puma writes and its pumactl reads.
type State struct {
	PID         int
	ControlURL  string
	Token       string
	RunningFrom string
}

// WriteState writes a state file with the permissions mode (0: 0600, since there is a token in it). It appears whole or not
// at all.
func WriteState(path string, s State, mode fs.FileMode) error {
	if mode == 0 {
		mode = 0o600
	}
	var b strings.Builder
	fmt.Fprintf(&b, "---\npid: %d\n", s.PID)
	for _, field := range []struct{ name, value string }{{"control_url", s.ControlURL}, {"control_auth_token", s.Token}} {
		switch {
		case field.value == "":
		case strings.ContainsAny(field.value, " #"):
			fmt.Fprintf(&b, "%s: \"%s\"\n", field.name, field.value)
		default:
			fmt.Fprintf(&b, "%s: %s\n", field.name, field.value)
		}
	}
	fmt.Fprintf(&b, "running_from: \"%s\"\n", s.RunningFrom)
	if err := atomicfile.Write(path, []byte(b.String()), mode); err != nil {
		return fmt.Errorf("cannot write the state file %s: %w; choose another with --state", path, atomicfile.Cause(err))
	}
	return nil
}

// ReadState reads a state file of Serval's or Puma's.
func ReadState(path string) (State, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, fmt.Errorf("State file not found: %s", path) // pumactl's words
	}
	if err != nil {
		return State{}, fmt.Errorf("cannot read the state file %s: %w", path, atomicfile.Cause(err))
	}
	defer f.Close()
	var s State
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch name {
		case "pid":
			s.PID, _ = strconv.Atoi(value)
		case "control_url":
			s.ControlURL = value
		case "control_auth_token":
			s.Token = value
		case "running_from":
			s.RunningFrom = value
		}
	}
	if err := lines.Err(); err != nil {
		return State{}, fmt.Errorf("cannot read the state file %s: %w", path, atomicfile.Cause(err))
	}
	if s.PID == 0 && s.ControlURL == "" {
		return State{}, fmt.Errorf("%s is no state file: it names neither a pid nor a control_url", path)
	}
	return s, nil
}

// RemoveState removes a state file unless it tells of another process by now.
func RemoveState(path string, pid int) {
	if s, err := ReadState(path); err == nil && s.PID == pid {
		os.Remove(path)
	}
}
