package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
)

const diffHelp = `Usage: serval diff [flags] [DIR]

Shows what serval install with the same flags would change of the files on this
host, as a unified diff. The status is 0 when that is nothing, 1 when there is a
difference, and 2 when that cannot be found out.

      --env-file FILE, --backend NAME, --user USER, --group GROUP
                               see serval install --help
` + appFlagsHelp

// newDiff makes the command that shows what install would change.
func newDiff(streams Streams) *cobra.Command {
	var w wanted
	return w.command("diff", diffHelp, func(context.Context) error { return w.diff(streams) })
}

// diff shows what install would do.
func (w *wanted) diff(streams Streams) error {
	p, err := w.project(false)
	if err != nil {
		return usageError{err} // as with diff, 1 is no mistake
	}
	if p.change.Nothing() {
		return nil
	}
	if _, err := io.WriteString(streams.Out, p.change.Diff()); err != nil {
		return err
	}
	return errDiffers
}

// errDiffers is no error but the exit status of diff.
var errDiffers = errors.New("what is installed differs from what would be")
