package cli

import (
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

const logsHelp = `Usage: serval logs [flags] [PROCESS…]

Shows what the installed services have written to their log files, or to the
journal where there is nothing in the file, each line after its service's name.

  -f, --follow                 go on with what is written, until Ctrl-C
  -n, --lines N                how many lines of each service (default 20)
      --dir DIR                the app's directory (default this directory)
      --app NAME               the app's name (default that of its directory)
  -h, --help                   show this help
` + serviceHelpTail

func newLogs(streams Streams) *cobra.Command {
	var f serviceFlags
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use: "logs [flags] [PROCESS…]",
		RunE: func(cmd *cobra.Command, names []string) error {
			if lines < 0 {
				return usagef("--lines %d is below 0: give a number of lines. See serval logs --help", lines)
			}
			_, services, b, err := pickRemembered(cmd.Context(), f, names, streams.Err)
			if err != nil {
				return err
			}
			defer b.Close()
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			w := logWriter{streams: streams, colour: isTerminal(streams.Out) && coloured()}
			for _, s := range services {
				w.names = append(w.names, s.Name)
				w.width = max(w.width, len(s.Name))
			}
			return b.Logs(ctx, services, follow, lines, w.line)
		},
	}
	f.add(cmd, logsHelp)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "")
	cmd.Flags().IntVarP(&lines, "lines", "n", 20, "")
	return cmd
}

// logWriter writes lines after the names of their services.
type logWriter struct {
	streams Streams
	colour  bool
	names   []string
	width   int
}

// logColours are those of the services, in turns: cyan, yellow, green, magenta, blue, red.
var logColours = []int{36, 33, 32, 35, 34, 31}

func (w *logWriter) line(service, line string) (err error) {
	if !w.colour {
		_, err = fmt.Fprintf(w.streams.Out, "%-*s | %s\n", w.width, service, line)
		return err
	}
	colour := logColours[0]
	for n, name := range w.names {
		if name == service {
			colour = logColours[n%len(logColours)]
		}
	}
	_, err = fmt.Fprintf(w.streams.Out, "\x1b[%dm%-*s |\x1b[0m %s\n", colour, w.width, service, line)
	return err
}
