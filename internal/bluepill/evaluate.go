// Package bluepill is Bluepill for hosts that still have their processes described in .pill files: the files, evaluated by
// Ruby, as applications with processes; what runs them is the supervisor.
package bluepill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"serval/internal/finding"
)

// Evaluator has Ruby evaluate .pill files, which are part of nobody's app: they get the environment and the directory of
// whoever loads them.
type Evaluator struct {
	Ruby    string                            // a name looked up in PATH or a path
	Script  func(name string) (string, error) // the path of a file of Serval's Ruby code
	BaseDir string                            // of applications that name none
	Out     io.Writer                         // where the files print to
	Err     io.Writer
}

// patience is how long a file may take.
const patience = 60 * time.Second

// report is what the evaluator, ruby/lib/serval/pill_evaluate.rb, writes.
type report struct {
	Error *struct {
		place
		Text string
	}
	Applications []givenApplication
	Classes      []struct {
		place
		Name, Kind string
	}
}

type place struct {
	File string
	Line int
}

type givenApplication struct {
	place
	Name      string
	Options   setting
	BaseDir   string `json:"base_dir"`
	Processes []givenProcess
}

type givenProcess struct {
	place
	Name       string
	Attributes map[string]setting
	Checks     []check
	Children   *struct {
		place
		Attributes map[string]setting
		Checks     []check
	}
}

type check struct {
	place
	Name    string
	Options setting
}

// setting is a value with the place that set it.
type setting struct {
	place
	Value   any
	Foreign string // the class of what cannot cross
	Default bool   // Bluepill made it up
}

// Load evaluates a file. What is wrong with it, and what has no effect, is in the list; when there are errors in it, the
// applications are worth nothing. The error is about Ruby, not about the file.
func (e Evaluator) Load(ctx context.Context, path string) ([]Application, finding.List, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	file.Close()
	answer, err := e.evaluate(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	r := reading{named: path, main: absolute(path)}
	if answer.Error != nil {
		r.found.Add(finding.Error, r.at(answer.Error.place), "", "%s", strings.ReplaceAll(strings.TrimSpace(answer.Error.Text), r.main, r.named))
		return nil, r.found, nil
	}
	applications := r.applications(answer)
	return applications, r.found, nil
}

func (e Evaluator) evaluate(ctx context.Context, path string) (*report, error) {
	script, err := e.Script("serval/pill_evaluate.rb")
	if err != nil {
		return nil, err
	}
	answer, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.Ruby, script, path)
	cmd.Env = append(os.Environ(), "BLUEPILL_BASE_DIR="+e.BaseDir)
	cmd.Stdout, cmd.Stderr = e.Out, e.Err
	cmd.ExtraFiles = []*os.File{write}
	cmd.WaitDelay = time.Second // a process that the file leaves behind may keep its streams open
	err = cmd.Start()
	write.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot start Ruby (%s) for %s: %w", e.Ruby, path, err)
	}
	stop := context.AfterFunc(ctx, func() { answer.Close() }) // or the pipe
	defer stop()
	var result report
	reading := json.NewDecoder(answer).Decode(&result)
	waiting := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: it is not done after %s: what it waits for has to be taken out", path, patience)
	case reading != nil:
		return nil, fmt.Errorf("%s: Ruby ended before it was done: %w", path, errors.Join(waiting, reading))
	}
	return &result, nil
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
