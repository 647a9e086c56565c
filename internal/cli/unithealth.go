package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"serval/internal/health"
	"serval/internal/sequence"
)

// healthPatience is how long a process may take for its first good answer.
const healthPatience = 5 * time.Minute

// watchHealth asks a unit's process whether it is well, and stops it when it is not: systemd starts it again then.
func watchHealth(ctx context.Context, args []string, errs io.Writer) error {
	var check health.Check
	var every time.Duration
	var stop string
	var failures int
	var children bool
	flags := flag.NewFlagSet("health", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&check.URL, "url", "", "")
	flags.StringVar(&check.Socket, "socket", "", "")
	flags.StringVar(&check.Command, "command", "", "")
	flags.DurationVar(&check.Timeout, "timeout", 0, "")
	flags.DurationVar(&every, "every", 0, "")
	flags.IntVar(&failures, "failures", 0, "")
	flags.StringVar(&stop, "stop", "", "")
	flags.BoolVar(&children, "children", false, "")
	if err := flags.Parse(args); err != nil {
		return usageError{err}
	}
	steps, err := sequence.Parse(stop)
	if err != nil {
		return usageError{err}
	}
	if flags.NArg() != 1 || (check.URL == "") == (check.Command == "") || every <= 0 || check.Timeout <= 0 || failures <= 0 {
		return usagef("it is called as serval health --url URL [--socket PATH] | --command COMMAND --every TIME --timeout TIME --failures N --stop SEQUENCE [--children] UNIT")
	}
	unit := flags.Arg(0)
	say := func(line string) { fmt.Fprintln(errs, line) }
	return check.Watch(ctx, every, healthPatience, failures, say, func(ctx context.Context) error {
		say("stopping the process of " + unit + ", which systemd starts again")
		pid, err := exec.CommandContext(ctx, "systemctl", "show", "--property=MainPID", "--value", unit).Output()
		if err != nil {
			return fmt.Errorf("systemd does not say which is the main process of %s: %w", unit, err)
		}
		number := strings.TrimSpace(string(pid))
		if number == "0" {
			return nil // it has ended meanwhile
		}
		if err := stopProcess(ctx, steps, number, children); err != nil {
			say(err.Error())
		}
		return nil
	})
}
