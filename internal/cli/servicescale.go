package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"serval/internal/backend"
	"serval/internal/plan"
	"serval/internal/restart"
)

const scaleHelp = `Usage: serval scale [flags] [PROCESS=N…]

Sees to it that N instances of a process run, now and after the next boot: starts
those that are missing, or stops those with the highest numbers. PROCESS=+N and
PROCESS=-N count from how many there are. Without any, shows how many there are.

web=N adds workers to a running Serval, or takes them away, until it is started
anew. Other web servers are told by their own configuration.

` + serviceFlagsHelp

// maxInstances is far more than a host can run, and catches slips.
const maxInstances = 10000

func newScale(streams Streams) *cobra.Command {
	var f serviceFlags
	cmd := &cobra.Command{
		Use: "scale [flags] [PROCESS=N…]",
		RunE: func(cmd *cobra.Command, words []string) error {
			app, err := findInstalledHere(f.directory, f.app)
			if err != nil {
				return err
			}
			if len(words) == 0 {
				return app.writeFormation(streams.Out)
			}
			wishes, err := app.wishes(words)
			if err != nil {
				return err
			}
			b, err := app.backend(cmd.Context())
			if err != nil {
				return err
			}
			defer b.Close()
			p := newServiceProgress(streams, "scale", f.quiet, app.services)
			defer p.end()
			ctx, cancel := f.limit(cmd.Context(), app.services)
			defer cancel()
			for _, w := range wishes {
				if err := app.scale(ctx, b, w, p.show); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(cmd, scaleHelp)
	return cmd
}

// writeFormation writes how many instances there are of each process, in the form that scale takes.
func (i *installedApp) writeFormation(out io.Writer) error {
	for _, p := range i.analysis.Plan.Processes {
		if p.Web {
			continue
		}
		if _, err := fmt.Fprintf(out, "%s=%d\n", p.Name, i.Count(p)); err != nil {
			return err
		}
	}
	return nil
}

// wish is how many of a process somebody wants.
type wish struct {
	process *plan.Process
	count   int
	by      bool // count is a difference, and for the web server alone: others are counted here
}

// wishes reads all of them before anything is done.
func (i *installedApp) wishes(words []string) (wishes []wish, err error) {
	for _, word := range words {
		w, err := i.wish(word)
		if err != nil {
			return nil, err
		}
		wishes = append(wishes, w)
	}
	return wishes, nil
}

func (i *installedApp) wish(word string) (wish, error) {
	name, number, ok := strings.Cut(word, "=")
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		return wish{}, usagef("%q is not understood: write PROCESS=N, PROCESS=+N or PROCESS=-N. See serval scale --help", word)
	}
	process := i.analysis.Plan.Process(name)
	if process == nil {
		return wish{}, i.unknown(name)
	}
	w := wish{process: process, count: n, by: number[0] == '+' || number[0] == '-'}
	if process.Web {
		if process.Server != "Serval" {
			return wish{}, fmt.Errorf("only Serval's workers are counted from outside: %s has them in its configuration file, or in WEB_CONCURRENCY; change it there, and use serval restart web --hard", process.Server)
		}
		if !w.by && n < 1 {
			return wish{}, errors.New("the web server takes at least 1 worker: stop it by serval stop web")
		}
		return w, nil
	}
	if w.by {
		w.count, w.by = max(i.Count(*process)+n, 0), false
	}
	if w.count > maxInstances {
		return wish{}, fmt.Errorf("%d instances of %s are too many: %d are the most", w.count, name, maxInstances)
	}
	return w, nil
}

// scale does as is wished and writes it down.
func (i *installedApp) scale(ctx context.Context, b backend.Backend, w wish, say backend.Progress) error {
	if w.process.Web {
		return i.scaleWeb(ctx, b, w, say)
	}
	if err := b.Scale(ctx, &i.Installation, i.analysis.Plan, w.process.Name, w.count, say); err != nil {
		return err
	}
	return i.Store(i.state)
}

// scaleWeb adds workers to a running Serval, or takes them away.
func (i *installedApp) scaleWeb(ctx context.Context, b backend.Backend, w wish, say backend.Progress) error {
	web, err := i.pick([]string{w.process.Name})
	if err != nil {
		return err
	}
	status, err := b.Status(ctx, web[:1])
	if err != nil {
		return err
	}
	if status[0].PID == 0 {
		return errors.New("web does not run: serval start web")
	}
	workers, err := restart.ScaleServal(ctx, status[0].PID, w.count, w.by, func(text string) { say(backend.Event{Service: "web", Kind: backend.Doing, Text: text}) })
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	say(backend.Event{Service: "web", Kind: backend.Done, Text: fmt.Sprintf("has %s, until it is started anew: WEB_CONCURRENCY keeps that", plural(workers, "worker"))})
	return nil
}
