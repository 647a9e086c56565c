package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"serval/internal/analysis"
	"serval/internal/backend"
	"serval/internal/bluepill"
	"serval/internal/envfile"
	"serval/internal/install"
	"serval/internal/installation"
	"serval/internal/plan"
	"serval/internal/unit"
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

const diffHelp = `Usage: serval diff [flags] [DIR]

Shows what serval install with the same flags would change of the files on this
host, as a unified diff. The status is 0 when that is nothing, 1 when there is a
difference, and 2 when that cannot be found out.

      --env-file FILE, --backend NAME, --user USER, --group GROUP
                               see serval install --help
` + appFlagsHelp

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

// newDiff makes the command that shows what install would change.
func newDiff(streams Streams) *cobra.Command {
	var w wanted
	return w.command("diff", diffHelp, func(context.Context) error { return w.diff(streams) })
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

// project is what an install would come to.
type project struct {
	state    string                     // where the record is
	before   *installation.Installation // what is installed; nil: nothing
	next     installation.Installation
	target   installation.Target
	result   analysis.Result
	services []installation.Service
	change   *install.Change
	remember func() error // the first analysis
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

// project finds out what an install would come to. With check, it refuses what could not be carried out.
func (w *wanted) project(check bool) (*project, error) {
	root := os.Geteuid() == 0
	directory, app, state, err := w.place(root, os.Getenv)
	if err != nil {
		return nil, err
	}
	p := &project{state: state}
	if p.before, err = installation.Load(state); err != nil {
		return nil, err
	}
	if p.next, err = w.next(p.before, directory); err != nil {
		return nil, err
	}
	p.next.App = app
	if p.target, err = newTarget(p.next.Backend, state, root); err != nil {
		return nil, err
	}
	if p.before != nil && p.before.Backend != p.next.Backend && !w.leaving {
		return nil, fmt.Errorf("%s is installed for %s: run serval uninstall before it is installed for %s", app, p.before.Backend, p.next.Backend)
	}
	if check {
		if err := p.target.Check(); err != nil {
			return nil, err
		}
	}
	return p, w.plan(p)
}

// plan finds out what is to be on disk.
func (w *wanted) plan(p *project) (err error) {
	told, err := envfile.Read(p.next.EnvFiles)
	if err != nil {
		return err
	}
	s := w.survey
	s.environment = cmp.Or(s.environment, valueOf(told, "RAILS_ENV"), valueOf(told, "RACK_ENV"))
	s.bluepill = p.next.Backend == installation.Bluepill
	if p.result, p.remember, err = s.look(os.Geteuid() == 0, os.Getenv); err != nil {
		return err
	}
	if wrong := p.result.Findings.Errors(); len(wrong) > 0 {
		return findings(wrong)
	}
	p.next.Directory, p.next.Environment, p.next.Prefix = p.result.Directory, p.result.Environment, p.result.Prefix
	if p.services, err = p.next.Services(p.result.Plan); err != nil {
		return err
	}
	if err := checkPrograms(p.next, p.result.Plan); err != nil {
		return err
	}
	p.change, err = changeTo(p.target, p.state, p.before, p.next, p.result.Plan, p.services)
	return err
}

// changeTo is what has to change on disk to get from what is installed to what is to be.
func changeTo(target installation.Target, state string, before *installation.Installation, next installation.Installation, p plan.Plan, services []installation.Service) (*install.Change, error) {
	files, err := target.Files(next, p, services)
	if err != nil {
		return nil, err
	}
	files = append([]installation.File{{Path: state, Kind: installation.Directory, Mode: 0o755}}, files...)
	var owned []string
	if before != nil {
		owned = target.Owned(*before)
	}
	return install.Compare(before, owned, files)
}

// giveToUser has directories of the app belong to whom the app runs as.
func giveToUser(files []installation.File, i installation.Installation) {
	u, err := user.Lookup(i.User)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	for n, f := range files {
		if f.Kind == installation.Directory && strings.HasPrefix(f.Path, i.Directory+"/") && f.UID <= 0 && f.GID <= 0 {
			fmt.Sscan(u.Uid+" "+u.Gid, &files[n].UID, &files[n].GID) //nolint:errcheck // the library has read them as numbers
		}
	}
}

func valueOf(env []string, name string) (value string) {
	for _, entry := range env {
		if v, found := strings.CutPrefix(entry, name+"="); found {
			value = v
		}
	}
	return value
}

// next is what is to be installed as far as the flags say; the rest is as it was installed.
func (w *wanted) next(before *installation.Installation, directory string) (next installation.Installation, err error) {
	if before != nil {
		next = installation.Installation{Backend: before.Backend, User: before.User, Group: before.Group, EnvFiles: before.EnvFiles, Counts: before.Counts}
	}
	next.When = time.Now().UTC().Truncate(time.Second)
	next.Backend = cmp.Or(w.backend, next.Backend, installation.Systemd)
	if w.envFilesSet {
		if next.EnvFiles, err = absolute(w.envFiles); err != nil {
			return next, err
		}
	}
	switch {
	case w.user != "":
		next.User, next.Group = w.user, ""
	case next.User == "":
		if next.User, err = owner(directory); err != nil {
			return next, err
		}
	}
	next.Group = cmp.Or(w.group, next.Group)
	return next, checkAccounts(next)
}

// absolute are the paths of environment files; an empty one is none. One that may be missing keeps its dash.
func absolute(files []string) (paths []string, err error) {
	for _, name := range files {
		if name == "" {
			continue
		}
		name, optional := strings.CutPrefix(name, "-")
		path, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		if optional {
			path = "-" + path
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// newTarget is a backend to install for.
func newTarget(name, state string, root bool) (installation.Target, error) {
	switch name {
	case installation.Systemd:
		self, err := ownPath()
		if err != nil {
			return nil, err
		}
		return unit.New(self, state)
	case installation.Supervisor:
		return backend.SupervisedTarget{StateDir: state}, nil
	case installation.Bluepill:
		home, _ := os.UserHomeDir() //nolint:errcheck // root has none here
		return bluepill.NewTarget(root, home), nil
	}
	return nil, usagef("there is no backend %q: choose one of %s", name, strings.Join(installation.Backends, ", "))
}

// ownPath is where this program is, by the name that it has in PATH if it has one there: another version may be there tomorrow.
func ownPath() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find out where this program is: %w", err)
	}
	there, err := exec.LookPath("serval")
	if err != nil || !filepath.IsAbs(there) {
		return self, nil
	}
	a, err := os.Stat(self)
	b, statErr := os.Stat(there)
	if err == nil && statErr == nil && os.SameFile(a, b) {
		return there, nil
	}
	return self, nil
}

// untilInterrupted is a context that ends with a Ctrl-C, so that what is half done is taken back.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// lock has this be the only install or uninstall on the host. The very first one finds nothing that it could lock.
func (s survey) lock() (unlock func(), err error) {
	_, _, state, err := s.place(os.Geteuid() == 0, os.Getenv)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(state))
	if err != nil {
		return func() {}, nil
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, errors.New("another serval install or uninstall is at work: wait for its end")
	}
	return func() { dir.Close() }, nil
}

// refuseEdited protects what somebody has written.
func (p *project) refuseEdited(force bool) error {
	if len(p.change.Edited) == 0 || force {
		return nil
	}
	path := p.change.Edited[0]
	if p.before != nil && slices.Contains(p.before.Files, path) {
		return fmt.Errorf("%s was edited after it was installed: move the changes to a file of their own (systemctl edit %s), or give --force to have them overwritten", path, filepath.Base(path))
	}
	if other := ownerOf(path, p.state); other != nil {
		return fmt.Errorf("%s belongs to the app %s in %s: choose other names with --prefix", path, other.App, other.Directory)
	}
	return fmt.Errorf("%s is there already, and serval install has not written it: choose other names with --prefix, take it away, or give --force to have it overwritten", path)
}

// ownerOf is the installation of another app that a file belongs to, or nil.
func ownerOf(path, state string) *installation.Installation {
	for _, other := range others(state) {
		if slices.Contains(other.Files, path) {
			return other
		}
	}
	return nil
}

// others are the installations of other apps.
func others(state string) (found []*installation.Installation) {
	states, _ := filepath.Glob(filepath.Join(filepath.Dir(state), "*")) //nolint:errcheck // the pattern is well-formed but for odd names
	for _, other := range states {
		if i, err := installation.Load(other); err == nil && i != nil && other != state {
			found = append(found, i)
		}
	}
	return found
}

// refuseTaken refuses a socket that systemd holds for another app: it would take the path from that.
func (p *project) refuseTaken() error {
	for _, s := range p.services {
		if !s.Process.Web || s.Socket == "" {
			continue
		}
		for _, other := range others(p.state) {
			if slices.ContainsFunc(other.Files, func(path string) bool { return unit.Listens(path, s.Socket) }) {
				return fmt.Errorf("%s is the socket of the app %s in %s: have the command name another, such as /run/%s.sock", s.Socket, other.App, other.Directory, p.next.App)
			}
		}
	}
	return nil
}

// apply writes everything and has the backend take notice. On an error everything is as it was.
func (p *project) apply(ctx context.Context) error {
	if err := p.change.Write(); err != nil {
		return fmt.Errorf("nothing is installed, and what was there is as it was: %w", err)
	}
	err := p.target.Apply(ctx)
	if err == nil {
		err = p.record()
	}
	if err == nil {
		p.change.Commit()
		return nil
	}
	back := p.change.Undo()
	if back == nil {
		back = p.target.Apply(context.WithoutCancel(ctx))
	}
	if back == nil {
		return fmt.Errorf("nothing is installed, and what was there is as it was: %w", err)
	}
	return errors.Join(err, back)
}

// record writes down what is installed. What is not wanted any more is still there, and so stays in the record for now.
func (p *project) record() error {
	p.next.Files, p.next.Digests = p.change.Files()
	kept := p.next
	kept.Digests = map[string]string{}
	for path, digest := range p.next.Digests {
		kept.Digests[path] = digest
	}
	for _, s := range p.change.Obsolete {
		kept.Files = append(slices.Clip(kept.Files), s.Path)
		if p.before.Digests[s.Path] != "" {
			kept.Digests[s.Path] = p.before.Digests[s.Path]
		}
	}
	if err := kept.Store(p.state); err != nil {
		return err
	}
	err := p.remember()
	if err == nil {
		return nil
	}
	if p.before == nil {
		return errors.Join(err, installation.Remove(p.state))
	}
	return errors.Join(err, p.before.Store(p.state))
}

// removeObsolete stops and takes away what is not wanted any more.
func (p *project) removeObsolete(ctx context.Context, say func(string)) error {
	if len(p.change.Obsolete) == 0 {
		return nil
	}
	if err := withdraw(ctx, p.target, *p.before, p.change.Obsolete, say); err != nil {
		return fmt.Errorf("the app is installed, but what it had before is there, too: %w", err)
	}
	if err := p.change.RemoveObsolete(); err != nil {
		return fmt.Errorf("the app is installed, but what it had before is there, too: %w", err)
	}
	return errors.Join(p.target.Apply(ctx), p.next.Store(p.state))
}

// withdraw stops what runs by files that are about to be taken away, where the backend can.
func withdraw(ctx context.Context, t installation.Target, i installation.Installation, steps []install.Step, say func(string)) error {
	stopper, can := t.(installation.Withdrawer)
	if !can {
		return nil
	}
	var paths []string
	for _, s := range steps {
		paths = append(paths, s.Path)
	}
	return stopper.Withdraw(ctx, i, paths, say)
}

// report says what was done.
func (p *project) report(out io.Writer) {
	if p.change.Nothing() {
		fmt.Fprintf(out, "%s is installed for %s already, and nothing has changed.\n", p.next.App, p.next.Backend)
		return
	}
	fmt.Fprintf(out, "%s is installed for %s, to run as %s:\n", p.next.App, p.next.Backend, p.next.User)
	for _, s := range append(slices.Clone(p.change.Steps), p.change.Obsolete...) {
		if s.Kind != install.Same && s.File.Kind != installation.Link && !s.Now.IsLink() {
			fmt.Fprintf(out, "  %-8s %s\n", s.Kind, s.Path)
		}
	}
	if analysis.Passenger(p.result.Server.Name) {
		fmt.Fprintf(out, "nginx runs Passenger, so there is no unit for the web server: see serval nginx.\n")
	}
}

// hints say what is left to do.
func (p *project) hints() []string {
	if noter, has := p.target.(interface {
		Hints(before *installation.Installation, services []installation.Service, changed []string) []string
	}); has {
		var changed []string
		for _, s := range p.change.Steps {
			if s.Kind == install.Replace {
				changed = append(changed, s.Path)
			}
		}
		return noter.Hints(p.before, p.services, changed)
	}
	return nil
}

// checkPrograms refuses commands that nobody could execute, those of processes without instances included.
func checkPrograms(i installation.Installation, p plan.Plan) error {
	for _, process := range p.Processes {
		s, err := i.Template(p, process)
		if err != nil {
			return err
		}
		if filepath.IsAbs(s.Argv[0]) {
			if info, err := os.Stat(s.Argv[0]); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				continue
			}
			return fmt.Errorf("%s: there is no program %s: install it, or put the command right", process.Name, s.Argv[0])
		}
		return fmt.Errorf("%s: there is no program %s in PATH (%s): install it, or give PATH another value in the environment file", process.Name, s.Argv[0], valueOf(s.Env, "PATH"))
	}
	return nil
}
