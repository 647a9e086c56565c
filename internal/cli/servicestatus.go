package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serval/internal/backend"
)

const statusHelp = `Usage: serval status [flags] [PROCESS…]

Shows how the installed services are: state, process id, since when, how often
they ended and were started again, memory (PSS), and the web server's socket.
The exit status is 0 when all of them run, else 3.

      --json                   print it as JSON
      --dir DIR                the app's directory (default this directory)
      --app NAME               the app's name (default that of its directory)
  -h, --help                   show this help
` + serviceHelpTail

// exitNotRunning is systemctl's status for units that do not run.
const exitNotRunning = 3

// exitStatus is an error that has been said already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func newStatus(streams Streams) *cobra.Command {
	var f serviceFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status [flags] [PROCESS…]",
		RunE: func(cmd *cobra.Command, names []string) error {
			app, services, b, err := pickRemembered(cmd.Context(), f, names, streams.Err)
			if err != nil {
				return err
			}
			defer b.Close()
			all, err := b.Status(cmd.Context(), services)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(streams.Out, statusReport{app.App, app.Directory, app.Environment, app.Backend, all})
			} else {
				t := statusTable{app: app, colour: isTerminal(streams.Out) && coloured(), now: time.Now()}
				_, err = io.WriteString(streams.Out, t.text(all))
			}
			if err == nil && !allRun(all) {
				err = exitStatus(exitNotRunning)
			}
			return err
		},
	}
	f.add(cmd, statusHelp)
	cmd.Flags().BoolVar(&asJSON, "json", false, "")
	return cmd
}

// statusReport is the status as JSON.
type statusReport struct {
	App         string           `json:"app"`
	Directory   string           `json:"directory"`
	Environment string           `json:"environment"`
	Backend     string           `json:"backend"`
	Services    []backend.Status `json:"services"`
}

func allRun(all []backend.Status) bool {
	for _, s := range all {
		if s.State != backend.Running && s.State != backend.Reloading {
			return false
		}
	}
	return true
}

// statusTable is the status for people.
type statusTable struct {
	app    *installedApp
	colour bool
	now    time.Time
}

var stateColours = map[backend.State]string{
	backend.Running: "\x1b[32m", backend.Failed: "\x1b[31m", backend.NotThere: "\x1b[31m", backend.Restarting: "\x1b[31m",
	backend.Starting: "\x1b[33m", backend.Stopping: "\x1b[33m", backend.Reloading: "\x1b[33m",
}

func (t statusTable) text(all []backend.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s, %s, by %s\n", t.app.App, t.app.Directory, t.app.Environment, t.app.Backend)
	if t.app.passenger() {
		b.WriteString("nginx runs the web server (Passenger)\n")
	}
	if len(all) == 0 {
		return b.String()
	}
	names, states := len("SERVICE"), len("STATE")
	for _, s := range all {
		names, states = max(names, len(s.Service)), max(states, len(s.State))
	}
	row := fmt.Sprintf("%%-%ds  %%s%%-%ds%%s %%8s %%7s %%8s %%10s  %%s", names, states)
	line := func(values ...any) { b.WriteString(strings.TrimRight(fmt.Sprintf(row, values...), " ") + "\n") }
	b.WriteByte('\n')
	line("SERVICE", "", "STATE", "", "PID", "SINCE", "RESTARTS", "MEMORY", "")
	for _, s := range all {
		colour, plain := "", ""
		if t.colour {
			colour, plain = stateColours[s.State], "\x1b[0m"
		}
		line(s.Service, colour, s.State, plain, orDash(s.PID), t.since(s.Since), fmt.Sprint(s.Restarts), memoryText(s.Memory), socketText(s))
		for _, remark := range remarks(s) {
			b.WriteString("  " + remark + "\n")
		}
	}
	return b.String()
}

// remarks are the lines below a service.
func remarks(s backend.Status) (lines []string) {
	if s.Why != "" {
		lines = append(lines, s.Why)
	}
	for _, words := range s.LastWords {
		lines = append(lines, "| "+words)
	}
	switch len(s.Changed) {
	case 0:
	case 1:
		lines = append(lines, s.Changed[0]+" has changed since it was started")
	default:
		lines = append(lines, strings.Join(s.Changed, ", ")+" have changed since it was started")
	}
	if !s.Enabled && s.State != backend.NotThere {
		lines = append(lines, "is not started when the host boots")
	}
	return lines
}

func socketText(s backend.Status) string {
	switch {
	case s.Socket == "":
		return ""
	case !s.Listening:
		return "nobody listens on " + s.Socket
	}
	return s.Socket
}

func (t statusTable) since(when time.Time) string {
	if when.IsZero() {
		return "-"
	}
	return age(when.Format(time.RFC3339), t.now)
}

func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func memoryText(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return size(bytes)
}
