// Package cli is Serval's command line: it reads the flags, refuses what is wrong in one sentence, and starts the
// server. Run is the whole program, with its streams and its exit status as values.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"serval/internal/bluepill"
	"serval/internal/config"
	"serval/internal/control"
	"serval/internal/front"
	"serval/internal/listener"
	"serval/internal/pidfile"
	"serval/internal/systemd"
)

// Version is what serval --version prints. The linker may set it.
var Version = "0.1.0"

// The exit statuses.
const (
	exitOK    = 0
	exitError = 1 // Serval could not do what was asked
	exitUsage = 2 // what was asked cannot be understood
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// RunAs runs the program under the name that it was called by: pumactl and puma are those programs of Puma's, bluepill is
// Bluepill's, as are links to that one, and any other name is serval. See Run for the rest.
func RunAs(ctx context.Context, name string, args []string, in io.Reader, out, errs io.Writer) int {
	if _, is := bluepill.Titled(name); is && len(args) == 0 {
		return runBluepilld(ctx, Streams{in, out, errs})
	}
	base := filepath.Base(name)
	switch link := linkOf(name, "bluepill", "bpsv"); {
	case base == "bluepill":
		return runBluepill(ctx, "", args, Streams{in, out, errs})
	case link == "bluepill":
		return runBluepill(ctx, base, args, Streams{in, out, errs})
	case link == "bpsv": // NAME restart is bluepill restart NAME
		return runBluepill(ctx, "", append(args[:min(1, len(args)):1], base), Streams{in, out, errs})
	}
	switch base {
	case "pumactl":
		return runCtl(ctx, args, Streams{in, out, errs}, true)
	case "puma":
		if len(args) == 1 {
			switch args[0] {
			case "-V", "--version":
				fmt.Fprintf(out, "puma version %s (serval %s)\n", control.PumaVersion, Version)
				return exitOK
			case "-h", "--help":
				fmt.Fprint(out, "puma <options> <rackup file>\n")
				writeFlags(out)
				return exitOK
			}
		}
	}
	return Run(ctx, args, in, out, errs)
}

// Run runs serval with arguments (without the program's name) and returns its exit status. When ctx ends, a server
// stops as if it had got a TERM signal.
func Run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	streams := Streams{in, out, errs}
	if len(args) > 0 && args[0] == "bluepill" {
		return runBluepill(ctx, "", args[1:], streams)
	}
	if len(args) > 0 && args[0] == "ctl" {
		return runCtl(ctx, args[1:], streams, false)
	}
	if len(args) > 0 && unitCommands[args[0]] != nil {
		return runUnitCommand(ctx, args[0], args[1:], errs)
	}
	way, err := front.Inherit(Version)
	if err == nil {
		err = way.Run(errs, func() error { return newRoot(streams, args, serve(way)).ExecuteContext(ctx) })
	}
	if err == nil {
		return exitOK
	}
	var ended front.EndedBy
	if errors.As(err, &ended) {
		ended.Raise()
		return 128 + int(ended.Signal)
	}
	if errors.Is(err, errDiffers) {
		return exitError
	}
	var said exitStatus
	if errors.As(err, &said) {
		return int(said)
	}
	fmt.Fprintf(errs, "serval: %v\n", err)
	if isUsage(err) {
		return exitUsage
	}
	return exitError
}

// serve runs a server with the configuration that newRoot's command has loaded.
func serve(way *front.Succession) func(context.Context, config.Config, reloader, Streams) error {
	return func(ctx context.Context, cfg config.Config, reload reloader, streams Streams) error {
		runtime, err := code()
		if err != nil {
			return err
		}
		return front.Serve(ctx, front.Setup{
			Config: cfg, Reload: reload, Code: runtime, Version: Version, Out: streams.Out, Err: streams.Err, Succession: way,
		})
	}
}

// reloader loads the configuration again: the same flags and environment, and files as they are then.
type reloader func() (config.Config, error)

// newRoot makes the command that hands the configuration to run, and a way to load it again.
func newRoot(streams Streams, args []string, run func(context.Context, config.Config, reloader, Streams) error) *cobra.Command {
	var given []config.Arg
	root := &cobra.Command{
		Use:               "serval [flags] [config.ru]",
		Version:           Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              onlyRackup,
		RunE: func(cmd *cobra.Command, files []string) error {
			cfg, err := load(given, files)
			if err != nil {
				return err
			}
			again := func() (config.Config, error) { return load(given, files) }
			return run(cmd.Context(), cfg, again, streams)
		},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetVersionTemplate("serval {{.Version}}\n")
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd.OutOrStdout()) })
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd.Flags(), err) })
	addFlags(root.Flags(), &given)
	root.AddCommand(newAnalyze(streams))
	root.AddCommand(newConfig(streams))
	root.AddCommand(newMigrate(streams))
	root.AddCommand(newNginx(streams))
	root.AddCommand(newInstall(streams), newDiff(streams), newUninstall(streams))
	root.AddCommand(newServiceCommands(streams)...)
	root.AddCommand(newSupervise(streams), newUp(streams))
	root.SetArgs(joinValues(root, args))
	return root
}

func onlyRackup(cmd *cobra.Command, files []string) error {
	if len(files) > 0 {
		if other := suggestCommand(cmd, files[0]); other != "" {
			return usagef("there is no command %s: did you mean serval %s? See serval --help", files[0], other)
		}
	}
	if len(files) > 1 {
		return usagef("one rackup file is enough, and here are %d (%s): name one. See serval --help", len(files), quoted(files))
	}
	return nil
}

// load makes the configuration and checks all that can be checked before anything is opened.
func load(given []config.Arg, files []string) (config.Config, error) {
	cfg, err := loadUnchecked(given, files)
	if err != nil {
		return config.Config{}, err
	}
	if err := checkBinds(&cfg); err != nil {
		return config.Config{}, err
	}
	if err := cfg.Validate(); err != nil {
		return config.Config{}, err
	}
	return cfg, pidfile.Check(cfg.Pidfile)
}

func loadUnchecked(given []config.Arg, files []string) (config.Config, error) {
	rackup := ""
	if len(files) == 1 {
		if rackup = files[0]; rackup == "" {
			return config.Config{}, usagef("the rackup file's name is empty: name one, or leave it out for config.ru")
		}
	}
	return config.Load(given, rackup, systemd.ForChildren(os.Environ()), script)
}

// checkBinds says where the address that is wrong was named.
func checkBinds(cfg *config.Config) error {
	for i, uri := range cfg.Binds {
		_, err := listener.ParseAll(cfg.Directory, []string{uri})
		if err == nil {
			continue
		}
		source := cfg.BindSource(i)
		if source == "--bind" || source == "--port" {
			return usageError{err}
		}
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// usageError is a mistake in how serval was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func isUsage(err error) bool {
	var usage usageError
	var setting *config.Error
	return errors.As(err, &usage) || errors.As(err, &setting) && setting.FromFlag()
}
