package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"serval/internal/backend"
	"serval/internal/installation"
)

const installHelp = `Usage: serval install [flags] [DIR]

Installs the app in DIR (default this directory), so that this host runs it now
and after each boot: writes systemd units of its web server and its processes,
and enables them. Nothing is started but with --now. When the app has changed,
install it again: what is not said stays as it was installed. If something goes
wrong, everything is as it was before.

      --env-file FILE          environment variables of all processes
                               (repeatable; '' for none)
      --backend NAME           what runs the app: systemd (default), supervisor
                               or bluepill
      --user USER              who it runs as (default the directory's owner)
      --group GROUP            (default the user's)
      --now                    start what does not run, as serval start
      --force                  replace and remove files that others have edited
`

const appFlagsHelp = `  -e, --environment ENV        whose Procfile and manifest count (default
                               RAILS_ENV or RACK_ENV of the environment files,
                               or as analyze has it)
      --app NAME               the app's name (default the directory's)
      --prefix PREFIX          what unit names begin with (default cloud66 when
                               there is a .cloud66 directory, else serval)
  -h, --help                   show this help
`

// wanted is what is to be installed: what the flags of install say.
type wanted struct {
	survey
	envFiles    []string
	envFilesSet bool
	backend     string
	user, group string
	now, force  bool
}

// newInstall makes the command that installs an app.
func newInstall(streams Streams) *cobra.Command {
	var w wanted
	cmd := w.command("install", installHelp+appFlagsHelp, func(ctx context.Context) error { return w.install(ctx, streams) })
	cmd.Flags().BoolVar(&w.now, "now", false, "")
	cmd.Flags().BoolVar(&w.force, "force", false, "")
	return cmd
}

// command makes a command with a directory and the flags that install and diff have in common.
func (w *wanted) command(name, help string, run func(context.Context) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " [flags] [DIR]",
		Args: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) > 1 {
				return usagef("one directory is enough, and here are %d (%s): name one. See serval %s --help", len(dirs), quoted(dirs), name)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, dirs []string) error {
			w.directory = append(dirs, ".")[0]
			w.envFilesSet = cmd.Flags().Changed("env-file")
			return run(cmd.Context())
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), help) }) //nolint:errcheck // nobody is left to hear of it
	flags := cmd.Flags()
	flags.StringArrayVar(&w.envFiles, "env-file", nil, "")
	flags.StringVar(&w.backend, "backend", "", "")
	flags.StringVar(&w.user, "user", "", "")
	flags.StringVar(&w.group, "group", "", "")
	flags.StringVarP(&w.environment, "environment", "e", "", "")
	flags.StringVar(&w.app, "app", "", "")
	flags.StringVar(&w.prefix, "prefix", "", "")
	return cmd
}

// install installs an app.
func (w *wanted) install(ctx context.Context, streams Streams) error {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	unlock, err := w.survey.lock()
	if err != nil {
		return err
	}
	defer unlock()
	p, err := w.project(true)
	if err != nil {
		return err
	}
	for _, warning := range append(findingsOf(p.result), p.warnings()...) {
		fmt.Fprintf(streams.Err, "serval: %s\n", warning)
	}
	if err := p.refuseEdited(w.force); err != nil {
		return err
	}
	if err := p.refuseTaken(); err != nil {
		return err
	}
	if err := p.apply(ctx); err != nil {
		return err
	}
	if err := p.removeObsolete(ctx, func(line string) { fmt.Fprintln(streams.Out, line) }); err != nil {
		return err
	}
	p.report(streams.Out)
	if !w.now {
		for _, line := range p.hints() {
			fmt.Fprintln(streams.Out, line)
		}
		return nil
	}
	start := serviceFlags{directory: p.next.Directory, app: p.next.App}
	return start.run(ctx, streams, "start", nil, nil, func(ctx context.Context, b backend.Backend, services []installation.Service, say backend.Progress) error {
		return b.Start(ctx, services, say)
	})
}
