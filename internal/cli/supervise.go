package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"serval/internal/backend"
	"serval/internal/installation"
	"serval/internal/supervisor"
	"serval/internal/worker"
)

const superviseHelp = `Usage: serval supervise [flags] [DIR]

Runs what serval install --backend supervisor has installed of the app in DIR
(default this directory), on hosts without systemd and in containers: starts the
processes, notices when they end, and starts them again. Stays in the
foreground; serval status, start, stop, restart, logs and scale ask it. Only
TERM ends the processes: after a crash, the next supervisor takes them over.

      --app NAME               the app's name (default that of its directory)
      --log FILE               append what happens to FILE (default the output)
      --rotate-size BYTES      rotate the processes' logs from this size on
                               (K, M or G; default 0, whatever their size)
      --rotate-keep N          rotate them daily, and keep N (default 14;
                               0 does not rotate them)
  -h, --help                   show this help

Signals: TERM or INT stops everything by the stop sequences, a second one kills.
HUP reopens FILE, starts what was installed since and stops what is not wanted
any more. QUIT ends the supervisor and leaves the processes alone.
`

// lean is how much garbage a supervisor may have, in percent of what it needs: it has little to do, and for years.
const lean = 20

// superviseFlags are those of supervise.
type superviseFlags struct {
	app  string
	log  string
	size string
	keep int
}

// newSupervise makes the command that runs what is installed.
func newSupervise(streams Streams) *cobra.Command {
	f := superviseFlags{}
	cmd := &cobra.Command{
		Use: "supervise [flags] [DIR]",
		Args: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) > 1 {
				return usagef("one directory is enough, and here are %d (%s): name one. See serval supervise --help", len(dirs), quoted(dirs))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, dirs []string) error {
			return f.supervise(cmd.Context(), append(dirs, ".")[0], streams)
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), superviseHelp) }) //nolint:errcheck // nobody is left to hear of it
	flags := cmd.Flags()
	flags.StringVar(&f.app, "app", "", "")
	flags.StringVar(&f.log, "log", "", "")
	flags.StringVar(&f.size, "rotate-size", "0", "")
	flags.IntVar(&f.keep, "rotate-keep", 14, "")
	return cmd
}

// rotation is what the flags say about the processes' logs.
func (f *superviseFlags) rotation() (supervisor.Rotation, error) {
	size, err := bytesOf(f.size)
	if err != nil {
		return supervisor.Rotation{}, usagef("--rotate-size %s: %v. See serval supervise --help", f.size, err)
	}
	if f.keep < 0 || f.keep > 1000 {
		return supervisor.Rotation{}, usagef("--rotate-keep %d is out of range: write 0 to 1000. See serval supervise --help", f.keep)
	}
	return supervisor.Rotation{Size: size, Daily: true, Keep: f.keep}, nil
}

// bytesOf reads a size.
func bytesOf(text string) (int64, error) {
	number, unit := text, int64(1)
	if i := strings.IndexAny(strings.ToUpper(text), "KMG"); i >= 0 && i == len(text)-1 {
		number, unit = text[:i], 1<<(10*(1+strings.Index("KMG", strings.ToUpper(text[i:]))))
	}
	var n int64
	if _, err := fmt.Sscanf(number+"\n", "%d\n", &n); err != nil || n < 0 || n > 1<<40 {
		return 0, fmt.Errorf("it is no size: write a number of bytes, which may end in K, M or G")
	}
	return n * unit, nil
}

// supervise runs what is installed until a signal ends it.
func (f *superviseFlags) supervise(ctx context.Context, directory string, streams Streams) error {
	rotation, err := f.rotation()
	if err != nil {
		return err
	}
	app, err := findInstalledHere(directory, f.app)
	if err != nil {
		return err
	}
	if app.Backend != installation.Supervisor {
		return fmt.Errorf("%s is installed for %s: run serval uninstall, and serval install --backend supervisor", app.App, app.Backend)
	}
	log, err := openEventLog(f.log, streams.Out)
	if err != nil {
		return err
	}
	defer log.close()
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(asked)
	server, err := supervisor.Claim(app.state)
	if err != nil {
		return err
	}
	defer server.Close()
	reaper, err := worker.NewReaper() // what processes leave behind comes to this one, as it does to PID 1
	if err != nil {
		return err
	}
	defer reaper.Stop()
	s := &supervisor.Supervisor{Records: supervisor.Records(app.state), Watch: log.event}
	if err := s.Open(); err != nil {
		return err
	}
	if err := s.Begin(specsOf(app)); err != nil {
		return err
	}
	debug.SetGCPercent(lean)
	debug.FreeOSMemory() // what it took to find out what is to run
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { server.Serve(s) })
	helpers.Go(func() { s.RotateLogs(ctx, rotation, func(err error) { log.line(err.Error()) }) })
	log.line(fmt.Sprintf("supervises %s, process id %d", app.App, os.Getpid()))
	f.wait(ctx, s, server, asked, log, directory)
	cancel()
	server.Close()
	helpers.Wait()
	return nil
}

func specsOf(app *installedApp) (specs []supervisor.Spec) {
	for _, service := range app.services {
		specs = append(specs, backend.SpecOf(service))
	}
	return specs
}

// wait waits for the end and sees to it.
func (f *superviseFlags) wait(ctx context.Context, s *supervisor.Supervisor, server *supervisor.Server, asked <-chan os.Signal, log *eventLog, directory string) {
	for {
		select {
		case got := <-asked:
			switch got {
			case syscall.SIGHUP:
				if err := log.reopen(); err != nil {
					log.line(err.Error())
				}
				go f.adapt(ctx, s, log, directory)
				continue
			case syscall.SIGQUIT:
				log.line("ends, and leaves the processes alone")
				s.Leave()
				return
			}
		case <-server.End():
		case <-ctx.Done():
		}
		log.line("stops everything")
		shutdown(s, asked)
		return
	}
}

// shutdown stops everything; one more signal kills what is left.
func shutdown(s *supervisor.Supervisor, asked <-chan os.Signal) {
	patience, hurry := context.WithCancel(context.Background())
	defer hurry()
	over := make(chan struct{})
	go func() {
		s.Shutdown(patience)
		close(over)
	}()
	for {
		select {
		case got := <-asked:
			if got == syscall.SIGTERM || got == syscall.SIGINT {
				hurry()
			}
		case <-over:
			return
		}
	}
}

// adapt takes what was installed since.
func (f *superviseFlags) adapt(ctx context.Context, s *supervisor.Supervisor, log *eventLog, directory string) {
	app, err := findInstalledHere(directory, f.app)
	if err == nil {
		err = s.Adapt(ctx, specsOf(app))
	}
	if err != nil {
		log.line(err.Error())
	}
}

// eventLog is where the supervisor says what happens.
type eventLog struct {
	path string
	mu   sync.Mutex
	out  io.Writer
	file *os.File // nil: out is not ours
}

// openEventLog appends to a file; without a path it writes to out.
func openEventLog(path string, out io.Writer) (*eventLog, error) {
	l := &eventLog{path: path, out: out}
	return l, l.reopen()
}

func (l *eventLog) reopen() error {
	if l.path == "" {
		return nil
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("cannot write the log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	l.out, l.file = file, file
	return nil
}

func (l *eventLog) close() {
	if l.file != nil {
		l.file.Close()
	}
}

func (l *eventLog) event(e supervisor.Event) { l.line(e.Name + " " + e.Text) }

func (l *eventLog) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "%s %s\n", time.Now().Format("2006-01-02T15:04:05.000Z07:00"), strings.ReplaceAll(text, "\n", " ")) //nolint:errcheck // there is no other place to say it
}
