package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"serval/internal/analysis"
	"serval/internal/envfile"
	"serval/internal/procfile"
	"serval/internal/sequence"
	"serval/internal/supervisor"
	"serval/internal/worker"
)

const upHelp = `Usage: serval up [flags] [PROCESS…]

Runs the processes of the Procfile in the foreground, for development, and shows
what they say, each line with its time and its process. Without PROCESS, all of
them; web is run where there is no custom_web. Each gets a PORT of its own.
When one ends, all are stopped, and its status is that of serval up. An INT
(Ctrl-C) or TERM signal stops all by their stop sequences; a second one kills.

  -m, --formation LIST         how many of each: web=1,worker=2; others are not
                               run, unless all=1 is there, too
  -p, --port N                 PORT of the first process type, each further one
                               has 100 more (default PORT or 5000)
      --env-file FILE          environment variables (repeatable; default .env,
                               if it is there)
      --on-exit stop|restart   what to do when one ends (default stop)
  -f, --procfile FILE          (default Procfile_ENV or Procfile)
  -e, --environment ENV        whose Procfile and manifest count (default
                               APP_ENV, RACK_ENV, RAILS_ENV or development)
      --dir DIR                the app's directory (default this directory)
  -h, --help                   show this help
`

const (
	basePort = 5000
	portStep = 100 // from one process type to the next
	maxCount = 1000
)

// developmentStop is for processes whose stop sequence nobody has written down.
var developmentStop = sequence.MustParse("term, 10, kill")

// upFlags are those of up.
type upFlags struct {
	formation   string
	port        int
	envFiles    []string
	onExit      string
	procfile    string
	environment string
	directory   string
}

// newUp makes the command that runs processes in the foreground.
func newUp(streams Streams) *cobra.Command {
	f := upFlags{}
	cmd := &cobra.Command{
		Use: "up [flags] [PROCESS…]",
		RunE: func(cmd *cobra.Command, names []string) error {
			return f.up(cmd.Context(), names, streams)
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), upHelp) }) //nolint:errcheck // nobody is left to hear of it
	flags := cmd.Flags()
	flags.StringVarP(&f.formation, "formation", "m", "", "")
	flags.IntVarP(&f.port, "port", "p", 0, "")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "")
	flags.StringVar(&f.onExit, "on-exit", "stop", "")
	flags.StringVarP(&f.procfile, "procfile", "f", "", "")
	flags.StringVarP(&f.environment, "environment", "e", "", "")
	flags.StringVar(&f.directory, "dir", ".", "")
	return cmd
}

// up runs the processes until one of them ends, or a signal comes.
func (f *upFlags) up(ctx context.Context, names []string, streams Streams) error {
	if f.onExit != "stop" && f.onExit != "restart" {
		return usagef("--on-exit %s: write stop or restart. See serval up --help", f.onExit)
	}
	specs, err := f.specs(names)
	if err != nil {
		return err
	}
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(asked)
	reaper, err := worker.NewReaper()
	if err != nil {
		return err
	}
	defer reaper.Stop()
	out := newUpOutput(streams.Out, specs)
	ended := make(chan int, 1)
	s := &supervisor.Supervisor{
		Output: out.pipe,
		Watch: func(e supervisor.Event) {
			if e.State == supervisor.Running || e.State == supervisor.Stopping {
				return
			}
			if e.PID == 0 {
				out.drain(e.Name)
			}
			out.line(e.Name, e.Text)
			over := e.State == supervisor.Failed || e.State == supervisor.Stopped
			if over && f.onExit == "stop" {
				select {
				case ended <- e.Exit:
				default: // it was not the first
				}
			}
		},
	}
	if err := s.Open(); err != nil {
		return err
	}
	out.line("", "Ctrl-C stops all processes")
	if err := s.Begin(specs); err != nil {
		return err
	}
	status := 0
	select {
	case got := <-asked:
		out.line("", fmt.Sprintf("stopping all processes, at %s; once more kills them", strings.ToUpper(sequence.Name(got.(syscall.Signal)))))
	case status = <-ended:
		out.line("", "stopping all processes, since one has ended")
	case <-ctx.Done():
	}
	shutdown(s, asked)
	out.close()
	switch {
	case status < 0: // nobody knows, or it could not be started
		return exitStatus(exitError)
	case status > 0:
		return exitStatus(status)
	}
	return nil
}

// specs are the processes that are to run.
func (f *upFlags) specs(names []string) ([]supervisor.Spec, error) {
	directory, err := appDirectory(f.directory, os.Getenv("PWD"))
	if err != nil {
		return nil, err
	}
	env, err := f.environ(directory)
	if err != nil {
		return nil, err
	}
	f.environment = cmp.Or(f.environment, env["APP_ENV"], env["RACK_ENV"], env["RAILS_ENV"], "development")
	file, err := f.read(directory)
	if err != nil {
		return nil, err
	}
	entries := file.Processes()
	if web := file.Entry(procfile.Web); web != nil && file.Entry(procfile.CustomWeb) == nil {
		entries = slices.Insert(entries, slices.IndexFunc(file.Entries, func(e procfile.Entry) bool { return e.Name == procfile.Web }), *web)
	}
	counts, err := f.counts(names, entries)
	if err != nil {
		return nil, err
	}
	base, err := f.basePort(env)
	if err != nil {
		return nil, err
	}
	result := analysis.Analyze(os.DirFS(directory), analysis.Options{App: "app", Directory: directory, Environment: f.environment})
	var specs []supervisor.Spec
	for place, entry := range entries {
		stop := developmentStop
		if p := result.Plan.Process(entry.Name); p != nil && len(p.StopSequence) > 0 {
			stop = p.StopSequence
		}
		for n := 1; n <= counts[entry.Name]; n++ {
			spec, err := upSpec(file, entry, n, base+portStep*place+n-1, env)
			if err != nil {
				return nil, err
			}
			spec.Directory, spec.Stop, spec.Once = directory, stop, f.onExit == "stop"
			specs = append(specs, spec)
		}
	}
	if len(specs) == 0 {
		return nil, usagef("there is nothing to run: %s has %s. See serval up --help", file.Path, entryNames(entries))
	}
	return specs, nil
}

// upSpec is the n-th instance of an entry.
func upSpec(file *procfile.File, entry procfile.Entry, n, port int, env map[string]string) (supervisor.Spec, error) {
	spec := supervisor.Spec{Name: entry.Name + "." + strconv.Itoa(n)}
	own := map[string]string{"PORT": strconv.Itoa(port), "PS": spec.Name}
	lookup := func(name string) (string, bool) {
		if value, is := own[name]; is {
			return value, true
		}
		value, is := env[name]
		return value, is
	}
	argv, _, err := procfile.Argv(procfile.Unique(entry.Command, port), lookup)
	at := file.Place(entry)
	if err != nil {
		return spec, fmt.Errorf("%s:%d: %s: %w", at.File, at.Line, entry.Name, err)
	}
	if len(argv) == 0 {
		return spec, fmt.Errorf("%s:%d: nothing is left of the command of %s, since its variables have no value: give them one in .env", at.File, at.Line, entry.Name)
	}
	spec.Argv = argv
	if command, err := procfile.Split(entry.Command); err == nil {
		spec.Family = command.Bare
	}
	for name, value := range env {
		if _, is := own[name]; !is {
			spec.Env = append(spec.Env, name+"="+value)
		}
	}
	for name, value := range own {
		spec.Env = append(spec.Env, name+"="+value)
	}
	slices.Sort(spec.Env)
	return spec, nil
}

// environ is the environment of all processes: this one's, and that of the files.
func (f *upFlags) environ(directory string) (map[string]string, error) {
	files := f.envFiles
	if len(files) == 0 {
		files = []string{"-" + filepath.Join(directory, ".env")}
	}
	told, err := envfile.Read(files)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, entry := range append(os.Environ(), told...) {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env, nil
}

// read reads the Procfile.
func (f *upFlags) read(directory string) (*procfile.File, error) {
	candidates := procfile.Names(f.environment)
	if f.procfile != "" {
		candidates = []string{f.procfile}
	}
	for _, name := range candidates {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(directory, name)
		}
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the Procfile: %w", err)
		}
		file, found := procfile.Parse(name, text)
		if wrong := found.Errors(); len(wrong) > 0 {
			return nil, findings(wrong)
		}
		return file, nil
	}
	return nil, fmt.Errorf("there is no %s in %s: write one, with a line NAME: COMMAND for each process", candidates[len(candidates)-1], directory)
}

// counts are how many instances there are to be of each entry.
func (f *upFlags) counts(names []string, entries []procfile.Entry) (map[string]int, error) {
	counts := map[string]int{}
	known := func(name string) bool {
		return slices.ContainsFunc(entries, func(e procfile.Entry) bool { return e.Name == name })
	}
	others := 1
	if f.formation != "" {
		others = 0
	}
	for _, part := range strings.FieldsFunc(f.formation, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, number, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil || n < 0 || n > maxCount:
			return nil, usagef("--formation %s: %q is none: write NAME=NUMBER, up to %d. See serval up --help", f.formation, part, maxCount)
		case name == "all":
			others = n
		case !known(name):
			return nil, usagef("--formation %s: there is no process %s: there are %s", f.formation, name, entryNames(entries))
		default:
			counts[name] = n
		}
	}
	for _, e := range entries {
		if _, said := counts[e.Name]; !said {
			counts[e.Name] = others
		}
	}
	for _, name := range names {
		if !known(name) {
			return nil, usagef("there is no process %s: there are %s. See serval up --help", name, entryNames(entries))
		}
		counts[name] = max(counts[name], 1)
	}
	for name := range counts {
		if len(names) > 0 && !slices.Contains(names, name) {
			counts[name] = 0
		}
	}
	return counts, nil
}

func entryNames(entries []procfile.Entry) string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// basePort is the first process type's PORT.
func (f *upFlags) basePort(env map[string]string) (int, error) {
	if f.port != 0 {
		if f.port < 1 || f.port > 60000 {
			return 0, usagef("--port %d is out of range: write 1 to 60000. See serval up --help", f.port)
		}
		return f.port, nil
	}
	if env["PORT"] == "" {
		return basePort, nil
	}
	port, err := strconv.Atoi(env["PORT"])
	if err != nil || port < 1 || port > 60000 {
		return 0, fmt.Errorf("PORT is %q, and no port from 1 to 60000: give it another value, or --port", env["PORT"])
	}
	return port, nil
}
