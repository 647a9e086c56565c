package backend

import (
	"context"
	"errors"
	"path/filepath"

	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/supervisor"
)

// SupervisedTarget is serval supervise as what an app is installed for. All it takes is the record of the installation.
type SupervisedTarget struct {
	StateDir string // of the app
}

// Check has nothing to refuse.
func (t SupervisedTarget) Check() error { return nil }

// Files are the directory of the logs alone.
func (t SupervisedTarget) Files(i installation.Installation, _ plan.Plan, _ []installation.Service) ([]installation.File, error) {
	return []installation.File{{Path: filepath.Join(i.Directory, "log"), Kind: installation.Directory, Mode: 0o755, UID: -1, GID: -1}}, nil
}

// Owned is nothing.
func (t SupervisedTarget) Owned(installation.Installation) []string { return nil }

// Apply has nothing to do: the supervisor reads the record when it begins, and at HUP.
func (t SupervisedTarget) Apply(context.Context) error { return nil }

// Withdraw has the supervisor stop everything and end.
func (t SupervisedTarget) Withdraw(ctx context.Context, _ installation.Installation, _ []string, say func(line string)) error {
	err := supervisor.NewClient(t.StateDir).End(ctx)
	if errors.Is(err, supervisor.ErrNotRunning) {
		return nil
	}
	if err == nil {
		say("The supervisor has stopped all processes, and ended.")
	}
	return err
}

// Hints say what is left to do.
func (t SupervisedTarget) Hints(before *installation.Installation, services []installation.Service, _ []string) []string {
	if len(services) == 0 {
		return nil
	}
	if before == nil {
		return []string{"Start it by serval supervise, and have the host do so when it boots."}
	}
	return []string{"A HUP signal has serval supervise start what is new and stop what is gone; what runs has its old settings until serval restart --hard."}
}
