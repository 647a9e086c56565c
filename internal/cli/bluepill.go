package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"serval/internal/bluepill"
	"serval/internal/finding"
)

// The exit statuses of Bluepill.
const (
	pillUnknown = 1 // a command, or which application is meant
	pillNobody  = 2 // there is no daemon
	pillNotRoot = 3
	pillNoEnd   = 4 // the earlier daemon does not end
	pillNoStart = 5
	pillConfig  = 6
	pillRunning = 7 // there is a daemon that nobody could end
	pillServer  = 8 // the daemon says that something is wrong
)

// bluepillTimeout is how long a daemon may take to answer where nobody says otherwise.
const bluepillTimeout = 10 * time.Second

// bluepillVersion is that of the Bluepill whose commands and files these are.
const bluepillVersion = "0.1.3"

// pill is one call of bluepill.
type pill struct {
	Streams
	link       string // the name it was called by, when that is a link to bluepill
	client     bluepill.Client
	logFile    string
	privileged bool
}

// runBluepill is the whole of bluepill, and returns its exit status. link is the name that it was called by, if that was not
// bluepill.
func runBluepill(ctx context.Context, link string, args []string, streams Streams) int {
	p := &pill{Streams: streams, link: link}
	words, err := p.parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp) || err == nil && len(args) == 0 && link == "":
		io.WriteString(p.Out, bluepillHelp) //nolint:errcheck // nobody is left to hear of it
		return exitOK
	case errors.Is(err, errVersion):
		fmt.Fprintf(p.Out, "bluepill, version %s (serval %s)\n", bluepillVersion, Version)
		return exitOK
	case err != nil:
		return p.fail(pillUnknown, "%v. See bluepill --help", err)
	case p.privileged && os.Geteuid() != 0:
		return p.fail(pillNotRoot, "You must run bluepill as root or use --no-privileged option.")
	}
	p.client.Say = p.say
	return p.command(ctx, words)
}

var errVersion = errors.New("the version is asked for")

func (p *pill) parse(args []string) (words []string, err error) {
	flags := pflag.NewFlagSet("bluepill", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	base := bluepill.BaseDir(os.Getenv, os.Geteuid() == 0)
	var seconds int
	var version, unprivileged bool
	flags.StringVarP(&p.logFile, "logfile", "l", "/var/log/bluepill.log", "")
	flags.StringVarP(&p.client.BaseDir, "base-dir", "c", base, "")
	flags.BoolVarP(&version, "version", "v", false, "")
	flags.BoolVar(&p.privileged, "privileged", true, "")
	flags.BoolVar(&unprivileged, "no-privileged", false, "")
	flags.IntVarP(&seconds, "timeout", "t", int(bluepillTimeout/time.Second), "")
	flags.IntVar(&p.client.Attempts, "attempts", 1, "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if version {
		return nil, errVersion
	}
	if seconds < 1 || p.client.Attempts < 1 {
		return nil, errors.New("--timeout and --attempts take numbers from 1 on")
	}
	p.privileged = p.privileged && !unprivileged
	p.client.Timeout = time.Duration(seconds) * time.Second
	if p.client.BaseDir, err = filepath.Abs(p.client.BaseDir); err != nil {
		return nil, err
	}
	return flags.Args(), nil
}

func (p *pill) say(format string, args ...any) { fmt.Fprintf(p.Out, format+"\n", args...) }

func (p *pill) fail(status int, format string, args ...any) int {
	fmt.Fprintf(p.Err, format+"\n", args...)
	return status
}

// commands are those that are about an application.
var pillCommands = []string{"status", "start", "stop", "restart", "unmonitor", "quit", "log"}

// command finds out which application is meant and does what is asked for.
func (p *pill) command(ctx context.Context, words []string) int {
	running := p.client.Running()
	application := ""
	first := ""
	if len(words) > 0 {
		first = words[0]
	}
	switch {
	case p.link != "" && slices.Contains(running, p.link):
		application = p.link
	case slices.Contains(running, first):
		application, words = first, words[1:]
	case !slices.Contains(pillCommands, first):
	case len(running) == 1:
		application = running[0]
	case len(running) > 1:
		p.fail(pillUnknown, "You must specify an application name to run that command. Here's the list of running applications:")
		for i, name := range running {
			p.fail(pillUnknown, "  %d. %s", i+1, name)
		}
		return p.fail(pillUnknown, "Usage: bluepill [app] cmd [options]")
	default:
		return p.fail(pillNobody, "Error: There are no running bluepill daemons.\nTo start a bluepill daemon, use: bluepill load <config file>")
	}
	words = append(words, "", "")
	name, target := words[0], words[1]
	switch {
	case name == "load":
		return p.load(ctx, target)
	case application == "" || !slices.Contains(pillCommands, name):
		return p.fail(pillUnknown, "Unknown command `%s` (or application `%[1]s` has not been loaded yet)", name)
	case name == "quit":
		return p.quit(application)
	case name == "log":
		return p.log(ctx, application, target)
	}
	return p.order(application, name, target)
}

// order hands a command to the daemon and prints what it answers.
func (p *pill) order(application, name, target string) int {
	lines, err := p.client.Ask(application, name, target)
	switch {
	case err != nil:
		return p.refused(err)
	case name == "status":
		p.say("%s", strings.Join(lines, "\n"))
	case len(lines) == 0:
		p.say("No processes effected") // Bluepill's spelling, which scripts look for
	default:
		p.say("Sent %s to:", name)
		for _, line := range lines {
			p.say("  %s", line)
		}
	}
	return exitOK
}

// refused says why a daemon has not done what it was asked for.
func (p *pill) refused(err error) int {
	var server bluepill.ServerError
	switch {
	case errors.As(err, &server):
		return p.fail(pillServer, "Received error from server:\n%v", err)
	case errors.Is(err, bluepill.ErrRefused):
		return p.fail(pillUnknown, "Connection Refused: Server is not running")
	case errors.Is(err, bluepill.ErrTimeout):
		return p.fail(pillUnknown, "Socket Timeout: Server may not be responding")
	}
	return p.fail(pillUnknown, "%v", err)
}

func (p *pill) quit(application string) int {
	id, err := p.client.Quit(application)
	switch {
	case errors.Is(err, os.ErrProcessDone):
		p.say("bluepilld[%d] not running", id.PID)
	case err != nil:
		return p.fail(pillUnknown, "%v", err)
	default:
		p.say("Killing bluepilld[%d]", id.PID)
	}
	return exitOK
}

func (p *pill) log(ctx context.Context, application, target string) int {
	lines, err := p.client.Ask(application, "log_file", "")
	if err != nil {
		return p.refused(err)
	}
	path := cmp.Or(strings.Join(lines, ""), p.logFile)
	p.say("Tailing log for %s...", target)
	if err := bluepill.Follow(ctx, path, application, target, p.Out); err != nil {
		return p.fail(pillUnknown, "%v", err)
	}
	return exitOK
}

// load evaluates a file and starts a daemon for each application in it, in the place of those that they have.
func (p *pill) load(ctx context.Context, path string) int {
	if _, err := os.Stat(path); err != nil {
		return p.fail(pillUnknown, "Can't find file: %s", path)
	}
	e := bluepill.Evaluator{Ruby: cmp.Or(os.Getenv("SERVAL_RUBY"), "ruby"), Script: script, BaseDir: p.client.BaseDir, Out: p.Out, Err: p.Err}
	applications, found, err := e.Load(ctx, path)
	if err != nil {
		return p.notStarted(err)
	}
	for _, f := range found {
		head := "Warning"
		if f.Level == finding.Error {
			head = "Config Error"
		}
		p.fail(pillConfig, "%s: %v", head, f)
	}
	if len(found.Errors()) > 0 {
		return pillConfig
	}
	program, err := os.Executable()
	if err != nil {
		return p.notStarted(err)
	}
	for _, app := range applications {
		if app.Foreground && len(applications) > 1 {
			return p.fail(pillConfig, "Config Error: %s: an application in the foreground is alone in its file: take the others out", path)
		}
		if status := p.launch(ctx, program, app); status != exitOK {
			return status
		}
	}
	return exitOK
}

// launch starts one daemon.
func (p *pill) launch(ctx context.Context, program string, app bluepill.Application) int {
	client := p.client
	client.BaseDir = app.BaseDir
	err := client.Replace(ctx, app, p.say)
	var stays bluepill.StaysError
	switch {
	case errors.As(err, &stays):
		return p.fail(pillNoEnd, "Previous bluepilld[%d] didn't die", stays.PID)
	case err != nil:
		return p.fail(pillNoEnd, "Encountered error trying to kill previous bluepill:\n%v", err)
	}
	if app.Foreground {
		bluepill.Run(ctx, app, p.Out, func(failed error) { err = failed })
	} else {
		err = bluepill.Start(program, app)
	}
	switch {
	case errors.Is(err, bluepill.ErrRunning):
		return p.fail(pillRunning, "Server is already running!")
	case err != nil:
		return p.notStarted(err)
	}
	return exitOK
}

func (p *pill) notStarted(err error) int {
	return p.fail(pillNoStart, "Failed to start bluepill:\n%v", err)
}

// runBluepilld is a daemon's whole life.
func runBluepilld(ctx context.Context, streams Streams) int {
	if err := bluepill.Serve(ctx); err != nil {
		fmt.Fprintln(streams.Err, err)
		return exitError
	}
	return exitOK
}

// linkOf tells by which of these names a program is reached in the end, when the one it was called by is a symlink to it, or
// to another one: /etc/init.d/web → bpsv → serval.
func linkOf(name string, names ...string) string {
	path := name
	if !strings.Contains(name, "/") {
		path, _ = exec.LookPath(name) //nolint:errcheck // then it is no link
	}
	for range 10 {
		target, err := os.Readlink(path)
		if err != nil {
			return ""
		}
		if slices.Contains(names, filepath.Base(target)) {
			return filepath.Base(target)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return ""
}

const bluepillHelp = `Usage: bluepill [app] cmd [options]
    -l, --logfile LOGFILE            The log of daemons that write to syslog
                                     (default /var/log/bluepill.log)
    -c, --base-dir DIR               Where sockets and pid files are (default
                                     BLUEPILL_BASE_DIR, /var/run/bluepill for
                                     root, ~/.bluepill for others)
    -v, --version                    Show the version
        --[no-]privileged            Whether only root may run this (yes)
    -t, --timeout Seconds            How long a daemon may take to answer (10)
        --attempts Count             How often it is asked (1)
    -h, --help                       Show this message

Commands:
    load CONFIG_FILE     Start a daemon for the applications in the file
    status [TARGET]      Show how the processes are
    start [TARGET]       Start processes
    stop [TARGET]        Stop processes
    restart [TARGET]     Restart processes
    unmonitor [TARGET]   Look after processes no longer
    log [TARGET]         Show the log, and what is added to it
    quit                 End the daemon; the processes go on

TARGET is a process, a group, or group:process; without one, all are meant. The
application may be left out when only one is running.
`
