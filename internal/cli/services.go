package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"serval/internal/backend"
	"serval/internal/installation"
)

// serviceFlags are what all commands about services have.
type serviceFlags struct {
	directory string
	app       string
	quiet     bool
	timeout   float64 // seconds
}

const serviceHelpTail = `
PROCESS is web, a name of the Procfile, or one instance of it, such as worker.2.
Without any, all are meant.
`

const serviceFlagsHelp = `      --dir DIR                the app's directory (default this directory)
      --app NAME               the app's name (default that of its directory)
      --timeout SEC            wait no longer (what was begun goes on)
  -q, --quiet                  print nothing but errors
  -h, --help                   show this help
`

const startHelp = `Usage: serval start [flags] [PROCESS…]

Starts what is installed, and returns when it runs: the web server when it
serves.

` + serviceFlagsHelp + serviceHelpTail

const stopHelp = `Usage: serval stop [flags] [PROCESS…]

Stops what is installed, each process by its stop sequence, and returns when it
has ended. After the next boot it is started again.

` + serviceFlagsHelp + serviceHelpTail

const restartHelp = `Usage: serval restart [flags] [PROCESS…]

Restarts what is installed. The web server gets its restart signal, and has
restarted when new workers serve: no request is lost with servers that can do
that. If they do not load the app, the status is 1, nothing else is restarted,
and most servers go on with the workers they have. Other processes are stopped
by their stop sequence and started, one instance after the other.

      --hard                   stop and start the web server as well: that takes
                               variables that have changed
      --deploy                 leave out what has restart_on_deploy: false
` + serviceFlagsHelp + serviceHelpTail

const reloadHelp = `Usage: serval reload [flags] [PROCESS…]

Has services read their configuration again, those that can do that without a
restart. Serval itself takes new code, too.

` + serviceFlagsHelp + serviceHelpTail

func (f *serviceFlags) add(cmd *cobra.Command, help string) {
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), help) }) //nolint:errcheck // nobody is left to hear of it
	flags := cmd.Flags()
	flags.StringVar(&f.directory, "dir", "", "")
	flags.StringVar(&f.app, "app", "", "")
	flags.Float64Var(&f.timeout, "timeout", 0, "")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "")
}

// action is what a command has a backend do with services.
type action func(context.Context, backend.Backend, []installation.Service, backend.Progress) error

// newServiceCommands makes the commands about what is installed.
func newServiceCommands(streams Streams) []*cobra.Command {
	return []*cobra.Command{
		newAction(streams, "start", startHelp, func(ctx context.Context, b backend.Backend, services []installation.Service, say backend.Progress) error {
			return b.Start(ctx, services, say)
		}),
		newAction(streams, "stop", stopHelp, func(ctx context.Context, b backend.Backend, services []installation.Service, say backend.Progress) error {
			return b.Stop(ctx, services, say)
		}),
		newRestart(streams),
		newAction(streams, "reload", reloadHelp, func(ctx context.Context, b backend.Backend, services []installation.Service, say backend.Progress) error {
			return b.Reload(ctx, services, say)
		}),
		newStatus(streams),
		newLogs(streams),
		newScale(streams),
	}
}

func newAction(streams Streams, name, help string, do action) *cobra.Command {
	var f serviceFlags
	cmd := &cobra.Command{
		Use: name + " [flags] [PROCESS…]",
		RunE: func(cmd *cobra.Command, names []string) error {
			return f.run(cmd.Context(), streams, name, names, nil, do)
		},
	}
	f.add(cmd, help)
	return cmd
}

func newRestart(streams Streams) *cobra.Command {
	var f serviceFlags
	var hard, deploy bool
	cmd := &cobra.Command{
		Use: "restart [flags] [PROCESS…]",
		RunE: func(cmd *cobra.Command, names []string) error {
			wanted := func(s installation.Service) bool { return !deploy || s.Process.RestartOnDeploy }
			return f.run(cmd.Context(), streams, "restart", names, wanted, func(ctx context.Context, b backend.Backend, services []installation.Service, say backend.Progress) error {
				return b.Restart(ctx, services, hard, say)
			})
		},
	}
	f.add(cmd, restartHelp)
	cmd.Flags().BoolVar(&hard, "hard", false, "")
	cmd.Flags().BoolVar(&deploy, "deploy", false, "")
	return cmd
}

// run does something with the services that are named, as far as they are wanted.
func (f *serviceFlags) run(ctx context.Context, streams Streams, verb string, names []string, wanted func(installation.Service) bool, do action) error {
	if f.timeout < 0 {
		return usagef("--timeout %g is below 0: give the seconds to wait. See serval %s --help", f.timeout, verb)
	}
	find := findInstalledHere
	if verb == "stop" {
		find = func(directory, app string) (*installedApp, error) { return findRemembered(directory, app, streams.Err) }
	}
	app, err := find(f.directory, f.app)
	if err != nil {
		return err
	}
	p := newServiceProgress(streams, verb, f.quiet, app.services)
	if verb != "stop" && app.outdated(os.Geteuid() == 0) {
		fmt.Fprintln(streams.Err, "serval: what is installed is not what the app's files say now: see serval diff, and take it over by serval install")
	}
	web := slices.ContainsFunc(names, isWebName)
	if app.passenger() && (web || len(names) == 0) {
		if err := app.withPassenger(ctx, verb, web, p.show); err != nil {
			return err
		}
		names = slices.DeleteFunc(names, isWebName)
		if web && len(names) == 0 {
			return nil
		}
	}
	services, err := app.pick(names)
	if err != nil {
		return err
	}
	if wanted != nil {
		services = slices.DeleteFunc(slices.Clone(services), func(s installation.Service) bool { return !wanted(s) })
	}
	if len(services) == 0 {
		return nil
	}
	b, err := app.backend(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	ctx, cancel := f.limit(ctx, services)
	defer cancel()
	err = do(ctx, b, services, p.show)
	p.end()
	return err
}

func isWebName(name string) bool { return name == "web" || name == "custom_web" }

// limit ends a command at a Ctrl-C, and when it takes too long.
func (f *serviceFlags) limit(ctx context.Context, services []installation.Service) (context.Context, context.CancelFunc) {
	patience := f.patience(services)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it is not done after %s, and goes on", patience))
	ctx, stop := untilInterrupted(ctx)
	return ctx, func() { stop(); cancel() }
}

// bootPatience is how long web servers may take, all told, and others to start.
const bootPatience = 5 * time.Minute

// patience is how long a command may take: what somebody said, or enough for every stop sequence to come to its end, one instance
// after the other.
func (f *serviceFlags) patience(services []installation.Service) time.Duration {
	if f.timeout > 0 {
		return time.Duration(f.timeout * float64(time.Second))
	}
	sum := bootPatience
	for _, s := range services {
		sum += s.Process.StopSequence.Total()
	}
	return sum
}

// withPassenger does what can be done about an app that nginx runs.
func (i *installedApp) withPassenger(ctx context.Context, verb string, asked bool, say backend.Progress) error {
	if verb != "restart" {
		if asked {
			return fmt.Errorf("nginx runs the web server (Passenger), so there is nothing to %s here: use systemctl %s nginx", verb, verb)
		}
		return nil
	}
	if os.Geteuid() != 0 && i.Backend == installation.Systemd {
		return errors.New("only root may have Passenger restart an app of the system: use sudo")
	}
	return restartPassenger(ctx, i.Directory, say)
}
