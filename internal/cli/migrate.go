package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"serval/internal/analysis"
	"serval/internal/backend"
	"serval/internal/bluepill"
	"serval/internal/finding"
	"serval/internal/installation"
)

const migrateHelp = `Usage: serval migrate [flags] [DIR]

Takes the app in DIR (default this directory) from Bluepill to systemd. Shows
what stands in the way and what will be different; with --yes, does it: stops
what Bluepill runs of the app, installs and starts the systemd units, and puts
the .pill files aside. If that fails, Bluepill runs the app again as before.

      --yes                    do it
      --pills DIR              where the .pill files are (default
                               /etc/bluepill/autoload)
      --env-file FILE          environment variables of all processes
                               (repeatable; '' for none)
      --user USER              who it runs as (default the directory's owner)
      --group GROUP            (default the user's)
      --force                  replace files that others have edited
` + appFlagsHelp

// migration is one app's way from Bluepill to systemd.
type migration struct {
	wanted
	Streams
	yes   bool
	pills string

	client       bluepill.Client
	project      *project
	files        []bluepill.File // that are about this app alone
	applications []bluepill.Application
	changes      []bluepill.Transition
	found        finding.List
}

// newMigrate makes the command that takes an app from Bluepill to systemd.
func newMigrate(streams Streams) *cobra.Command {
	m := &migration{Streams: streams}
	cmd := m.command("migrate", migrateHelp, func(ctx context.Context) error { return m.run(ctx) })
	flags := cmd.Flags()
	flags.BoolVar(&m.yes, "yes", false, "")
	flags.BoolVar(&m.force, "force", false, "")
	flags.StringVar(&m.pills, "pills", bluepill.Autoload, "")
	flags.Lookup("backend").Hidden = true
	return cmd
}

func (m *migration) run(ctx context.Context) error {
	if m.backend != "" && m.backend != installation.Systemd {
		return usagef("migrate leads to systemd, and not to %s: leave --backend out", m.backend)
	}
	m.backend, m.leaving = installation.Systemd, true
	m.client = bluepill.Client{BaseDir: bluepill.BaseDir(os.Getenv, os.Geteuid() == 0), Attempts: 1, Timeout: bluepillTimeout, Say: func(string, ...any) {}}
	var err error
	if m.project, err = m.wanted.project(false); err != nil {
		return err
	}
	// Bluepill's own files are put aside as they are, edited or not.
	m.project.change.Edited = slices.DeleteFunc(m.project.change.Edited, func(path string) bool { return strings.HasSuffix(path, ".pill") })
	if err := m.look(ctx); err != nil {
		return err
	}
	if err := m.show(); err != nil {
		return err
	}
	if wrong := m.found.Errors(); len(wrong) > 0 {
		return findings(wrong)
	}
	if !m.yes {
		_, err := fmt.Fprintln(m.Out, "\nNothing has been changed. Try it on an app that is not in production first; serval\nmigrate --yes does it.")
		return err
	}
	if err := m.project.target.Check(); err != nil {
		return err
	}
	if err := m.project.refuseEdited(m.force); err != nil {
		return err
	}
	return m.carryOut(ctx)
}

// look reads the .pill files and goes through the checklist.
func (m *migration) look(ctx context.Context) error {
	e := bluepill.Evaluator{Ruby: cmp.Or(os.Getenv("SERVAL_RUBY"), "ruby"), Script: script, BaseDir: m.client.BaseDir, Out: m.Err, Err: m.Err}
	files, wrong, err := e.Files(ctx, m.pills)
	if err != nil {
		return err
	}
	m.found = append(m.found, wrong...)
	leaver := &bluepill.Leaver{Plan: m.project.result.Plan, Services: m.project.services}
	root := analysis.Root(m.project.next.Directory)
	for _, file := range files {
		about := slices.DeleteFunc(slices.Clone(file.Applications), func(a bluepill.Application) bool { return !a.About(root) && !a.About(m.project.next.Directory) })
		switch {
		case len(about) == 0:
			continue
		case len(about) < len(file.Applications):
			m.found.Add(finding.Error, finding.Place{File: file.Path}, "give each app a file of its own", "this file describes processes of other apps, too")
		}
		m.files = append(m.files, file)
		for _, app := range about {
			m.applications = append(m.applications, app)
			leaver.Compare(app)
		}
	}
	if len(m.files) == 0 && len(m.found.Errors()) == 0 {
		return fmt.Errorf("no .pill file in %s is about the app in %s: name another directory by --pills", m.pills, m.project.next.Directory)
	}
	m.changes = leaver.Changes
	m.found = append(m.found, leaver.Found...)
	for _, f := range m.project.result.Findings {
		if slices.Contains(m.project.result.Background, f) {
			f.Level = finding.Error // what was right for Bluepill, and is fatal for systemd
		}
		m.found = append(m.found, f)
	}
	m.found.Sort()
	return nil
}

// show writes what will be different, and what to think of.
func (m *migration) show() error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s: from Bluepill to systemd\n", m.project.next.App, m.project.next.Directory)
	for _, t := range m.changes {
		fmt.Fprintf(&b, "\n%s → %s\n", t.From, t.Unit)
		for _, c := range []struct{ what, before, after string }{{"log", t.LogBefore, t.Log}, {"restart", t.RestartBefore, t.Restart}, {"stop", t.StopBefore, t.Stop}} {
			if c.before != c.after {
				writeItem(&b, c.what, cmp.Or(c.before, "none")+" → "+c.after)
			}
		}
	}
	b.WriteString("\n")
	host := "this host runs systemd"
	if err := m.project.target.Check(); err != nil {
		host = err.Error()
	}
	writeItem(&b, "host", host)
	stays := "everything stays in the foreground"
	if n := len(m.project.result.Background); n > 0 {
		stays = plural(n, "line") + " would send processes into the background"
	}
	writeItem(&b, "commands", stays)
	for _, file := range m.files {
		writeItem(&b, "aside", file.Path+" → "+aside(file.Path))
	}
	writeFindings(&b, m.found)
	_, err := io.WriteString(m.Out, b.String())
	return err
}

// aside is where a .pill file goes, so that nothing loads it any more.
func aside(path string) string { return path + ".migrated" }

// carryOut does it. What was begun is taken back if something fails.
func (m *migration) carryOut(ctx context.Context) error {
	fmt.Fprintln(m.Out)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // a Ctrl-C takes back what was begun, too
	defer stop()
	undo, err := m.take(ctx)
	if err == nil {
		return m.finish()
	}
	ctx = context.WithoutCancel(ctx)
	if back := undo(ctx); back != nil {
		return errors.Join(fmt.Errorf("systemd has not taken over: %w", err), fmt.Errorf("and not everything is as it was: %w", back))
	}
	return fmt.Errorf("systemd has not taken over, and Bluepill runs the app again: %w", err)
}

// take has systemd run the app in Bluepill's place. undo takes back what was done, also after an error.
func (m *migration) take(ctx context.Context) (undo func(context.Context) error, err error) {
	var steps []func(context.Context) error
	undo = func(ctx context.Context) (err error) {
		for _, step := range slices.Backward(steps) {
			err = errors.Join(err, step(ctx))
		}
		return err
	}
	p := m.project
	if err := p.change.Write(); err != nil {
		return undo, err
	}
	steps = append(steps, func(ctx context.Context) error { return errors.Join(p.change.Undo(), p.target.Apply(ctx)) })
	if err := p.target.Apply(ctx); err != nil {
		return undo, err
	}
	for _, app := range m.applications {
		client := m.client
		client.BaseDir = app.BaseDir
		if id, err := client.Daemon(app.Name); err == nil { // what was not loaded is not loaded again
			steps = append(steps, func(ctx context.Context) error { return m.loadAgain(ctx, client, app, id.PID) })
		}
		fmt.Fprintf(m.Out, "stopping %s\n", app.Name)
		if err := client.End(ctx, app); err != nil {
			return undo, fmt.Errorf("%s: %w", app.Name, err)
		}
	}
	return undo, m.startUnits(ctx, &steps)
}

// loadAgain has an application run as before.
func (m *migration) loadAgain(ctx context.Context, client bluepill.Client, app bluepill.Application, before int) error {
	if id, err := client.Daemon(app.Name); err == nil && id.PID == before {
		return nil // it could not be ended
	}
	fmt.Fprintf(m.Out, "loading %s again\n", app.Name)
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := client.Replace(ctx, app, func(string, ...any) {}); err != nil {
		return err
	}
	return bluepill.Start(program, app)
}

// startUnits starts the units and makes sure that they run.
func (m *migration) startUnits(ctx context.Context, steps *[]func(context.Context) error) error {
	p := m.project
	systemd, err := backend.NewSystemd(ctx)
	if err != nil {
		return err
	}
	*steps = append(*steps, func(ctx context.Context) error {
		defer systemd.Close()
		return withdraw(ctx, p.target, p.next, p.change.Steps, func(line string) { fmt.Fprintln(m.Out, line) })
	})
	progress := newServiceProgress(m.Streams, "start", false, p.services)
	patience := (&serviceFlags{}).patience(p.services)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it does not serve after %s", patience))
	defer cancel()
	err = systemd.Start(ctx, p.services, progress.show)
	progress.end()
	if err != nil {
		return err
	}
	all, err := systemd.Status(ctx, p.services)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.State != backend.Running && s.State != backend.Reloading {
			return fmt.Errorf("%s is %s", s.Service, s.State)
		}
	}
	return nil
}

// finish writes down what is so now, and puts the .pill files aside.
func (m *migration) finish() error {
	p := m.project
	for _, file := range m.files {
		if err := os.Rename(file.Path, aside(file.Path)); err != nil {
			return fmt.Errorf("systemd runs the app, and the file could not be put aside, so that both would at the next boot: %w", err)
		}
		fmt.Fprintf(m.Out, "%s is %s now\n", file.Path, aside(file.Path))
	}
	p.before, p.change.Obsolete = nil, nil // Bluepill's files, which are aside
	if err := p.record(); err != nil {
		return fmt.Errorf("systemd runs the app, and that could not be written down: %w", err)
	}
	p.change.Commit()
	_, err := fmt.Fprintf(m.Out, "systemd runs %s. From now on: serval status, serval restart, systemctl status %s\n", p.next.App, p.services[0].Unit)
	return err
}
