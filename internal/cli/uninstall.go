package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"serval/internal/analysis"
	"serval/internal/install"
	"serval/internal/installation"
)

const uninstallHelp = `Usage: serval uninstall [flags] [DIR]

Stops what is installed of the app in DIR (default this directory), has nothing
of it started at boot, and removes what serval install has written, and nothing
else: the app, its logs and its environment files stay. The app need not be
there any more; say its name by --app then.

      --app NAME               the app's name (default the directory's)
      --force                  remove files that others have edited, too
  -h, --help                   show this help
`

// newUninstall makes the command that takes away what is installed.
func newUninstall(streams Streams) *cobra.Command {
	var s survey
	var force bool
	cmd := &cobra.Command{
		Use: "uninstall [flags] [DIR]",
		Args: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) > 1 {
				return usagef("one directory is enough, and here are %d (%s): name one. See serval uninstall --help", len(dirs), quoted(dirs))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, dirs []string) error {
			s.directory = append(dirs, ".")[0]
			return s.uninstall(cmd.Context(), force, streams.Out)
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), uninstallHelp) }) //nolint:errcheck // nobody is left to hear of it
	cmd.Flags().StringVar(&s.app, "app", "", "")
	cmd.Flags().BoolVar(&force, "force", false, "")
	return cmd
}

// uninstall takes away what is installed.
func (s survey) uninstall(ctx context.Context, force bool, out io.Writer) error {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	root := os.Geteuid() == 0
	_, app, state, err := s.place(root, os.Getenv)
	if err != nil {
		return err
	}
	before, err := installation.Load(state)
	if err != nil {
		return err
	}
	if before == nil && !root && installedByRoot(app) {
		return fmt.Errorf("%s was installed by root: run this by sudo", app)
	}
	if before == nil {
		return fmt.Errorf("nothing is installed of %s: give its directory, or its name by --app", app)
	}
	target, err := newTarget(before.Backend, state, root)
	if err != nil {
		return err
	}
	if err := target.Check(); err != nil {
		return err
	}
	change, err := install.Compare(before, target.Owned(*before), nil)
	if err != nil {
		return err
	}
	if len(change.Edited) > 0 && !force {
		return fmt.Errorf("%s was edited after it was installed: keep what you need of it, and give --force to have it removed", change.Edited[0])
	}
	if err := withdraw(ctx, target, *before, change.Obsolete, func(line string) { fmt.Fprintln(out, line) }); err != nil {
		return err
	}
	if err := change.RemoveObsolete(); err != nil {
		return fmt.Errorf("nothing is removed: %w", err)
	}
	if err := errors.Join(target.Apply(ctx), installation.Remove(state)); err != nil {
		return err
	}
	for _, step := range change.Obsolete {
		if !step.Now.IsLink() {
			fmt.Fprintf(out, "  %-8s %s\n", step.Kind, step.Path)
		}
	}
	fmt.Fprintf(out, "%s is not installed any more.\n", app)
	return nil
}

// installedByRoot reports whether root has installed an app.
func installedByRoot(app string) bool {
	state, err := analysis.StateDir(app, true, os.Getenv)
	if err != nil {
		return false
	}
	there, err := installation.Load(state)
	return err == nil && there != nil
}
