package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"serval/internal/config"
	"serval/internal/control"
	"serval/internal/pidfile"
)

// ctl is one call of serval ctl, or of pumactl: what is to be done, and with which server.
type ctl struct {
	Streams
	asPumactl bool // called under that name: nothing is waited for, and what it prints is Puma's

	command        string
	state, pidfile string
	pid            int
	url, token     string
	configFile     string
	environment    string
	quiet, noWait  bool
	help, version  bool
	timeout        time.Duration
}

// ctlCommands are the commands with the signals that do the same, where there are such.
var ctlCommands = []struct {
	name   string
	signal syscall.Signal
	waits  bool
	help   string
}{
	{"status", 0, false, "show the server and its workers"},
	{"restart", syscall.SIGUSR2, true, "hot restart: new configuration and code, all workers"},
	{"phased-restart", syscall.SIGUSR1, true, "new code, one worker after the other"},
	{"refork", syscall.SIGURG, true, "fork the workers anew from a warm one"},
	{"stop", syscall.SIGTERM, true, "finish the requests, then end"},
	{"halt", syscall.SIGQUIT, true, "end at once"},
	{"start", 0, false, "start a server with these options"},
	{"stats", 0, false, "print statistics as JSON"},
	{"worker-count-up", syscall.SIGTTIN, true, "add a worker"},
	{"worker-count-down", syscall.SIGTTOU, true, "take a worker away"},
	{"reopen-log", syscall.SIGHUP, false, "open the log files anew"},
	{"gc", 0, false, "have all workers collect garbage"},
	{"gc-stats", 0, false, "print the garbage collectors' statistics as JSON"},
	{"thread-backtraces", 0, false, "print what all threads are doing as JSON"},
	{"reload-worker-directory", 0, false, "for Puma's sake; every restart does it"},
	{"info", syscall.SIGPWR, false, "write what all threads are doing to the log"},
}

// printed are the commands whose answer is shown.
var printed = []string{"gc-stats", "stats", "thread-backtraces"}

// signalOnly are those that pumactl never asks a control server for, since Puma's does not know them.
var signalOnly = []string{"info", "reopen-log", "worker-count-down", "worker-count-up"}

func ctlCommand(name string) int {
	for i, c := range ctlCommands {
		if c.name == name {
			return i
		}
	}
	return -1
}

// runCtl is the whole of serval ctl, or of pumactl, and returns its exit status.
func runCtl(ctx context.Context, args []string, streams Streams, asPumactl bool) int {
	c := &ctl{Streams: streams, asPumactl: asPumactl}
	err := c.parse(args)
	switch {
	case err != nil:
	case c.help:
		c.writeHelp()
		return exitOK
	case c.version && asPumactl:
		fmt.Fprintln(c.Out, control.PumaVersion)
		return exitOK
	case c.version:
		fmt.Fprintln(c.Out, "serval", Version)
		return exitOK
	case c.command == "start":
		return Run(ctx, c.startArgs(), streams.In, streams.Out, streams.Err)
	default:
		err = c.run(ctx)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errStartInstead):
		return Run(ctx, c.startArgs(), streams.In, streams.Out, streams.Err)
	case asPumactl:
		c.say("%v", err)
		return exitError
	}
	fmt.Fprintf(c.Err, "serval ctl: %v\n", err)
	if isUsage(err) {
		return exitUsage
	}
	return exitError
}

func (c *ctl) parse(args []string) error {
	flags := pflag.NewFlagSet("ctl", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	var pid string
	flags.StringVarP(&c.state, "state", "S", "", "")
	flags.StringVarP(&c.pidfile, "pidfile", "P", "", "")
	flags.StringVarP(&pid, "pid", "p", "", "")
	flags.StringVarP(&c.url, "control-url", "C", "", "")
	flags.StringVarP(&c.token, "control-token", "T", "", "")
	flags.StringVarP(&c.configFile, "config-file", "F", "", "")
	flags.StringVarP(&c.environment, "environment", "e", "", "")
	flags.BoolVarP(&c.quiet, "quiet", "Q", false, "")
	flags.BoolVarP(&c.help, "help", "H", false, "")
	flags.BoolVarP(&c.version, "version", "V", false, "")
	if !c.asPumactl {
		flags.BoolVar(&c.noWait, "no-wait", false, "")
		flags.DurationVar(&c.timeout, "timeout", 0, "")
	}
	args = slices.Clone(args)
	for i, a := range args {
		if a == "-h" {
			args[i] = "--help"
		}
		if i > 0 && args[i-1] == "--timeout" || strings.HasPrefix(a, "--timeout=") { // a bare number is seconds, as everywhere
			if _, err := strconv.ParseFloat(strings.TrimPrefix(a, "--timeout="), 64); err == nil {
				args[i] += "s"
			}
		}
	}
	if err := flags.Parse(args); err != nil {
		return ctlFlagError(err)
	}
	if c.help || c.version {
		return nil
	}
	if pid != "" {
		n, err := strconv.Atoi(pid)
		if err != nil || n < 1 {
			return usagef("--pid %q is no process id: give a number above 0", pid)
		}
		c.pid = n
	}
	if c.timeout < 0 {
		return usagef("--timeout %s is below 0: give the time to wait", c.timeout)
	}
	switch words := flags.Args(); {
	case len(words) == 0 && c.asPumactl:
		return pumactlError("Available commands: " + strings.Join(commandNames(), ", "))
	case len(words) == 0:
		return usagef("a command is missing. See serval ctl --help")
	case ctlCommand(words[0]) < 0 && c.asPumactl:
		return pumactlError("Invalid command: " + words[0])
	case ctlCommand(words[0]) < 0:
		return usagef("%q is no command: %s. See serval ctl --help", words[0], strings.Join(commandNames(), ", "))
	case len(words) > 1 && !c.asPumactl:
		return usagef("one command at a time, and here are %d (%s). See serval ctl --help", len(words), quoted(words))
	default:
		c.command = words[0]
	}
	return nil
}

func ctlFlagError(err error) error {
	var unknown *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return usagef("unknown flag %s. See serval ctl --help", dashed(unknown.GetSpecifiedName()))
	case errors.As(err, &valueless):
		return usagef("%s needs a value. See serval ctl --help", dashed(valueless.GetSpecifiedName()))
	case errors.As(err, &invalid):
		return usagef("--%s %q is not understood: write seconds (30) or a time with a unit (2m)", invalid.GetFlag().Name, invalid.GetValue())
	}
	return usagef("%v. See serval ctl --help", err)
}

func commandNames() (names []string) {
	for _, c := range ctlCommands {
		names = append(names, c.name)
	}
	slices.Sort(names)
	return names
}

// startArgs are the options as the server takes them.
func (c *ctl) startArgs() (args []string) {
	for _, a := range [][2]string{
		{"-S", c.state}, {"--pidfile", c.pidfile}, {"--control-url", c.url}, {"--control-token", c.token}, {"-C", c.configFile}, {"-e", c.environment},
	} {
		if a[1] != "" {
			args = append(args, a[0], a[1])
		}
	}
	if c.quiet {
		args = append(args, "-q")
	}
	return args
}

// pumactlError is an error in the words of Puma's pumactl, which scripts may look for.
type pumactlError string

func (e pumactlError) Error() string { return string(e) }

// errStartInstead asks for a start: there is nothing to restart (pumactl).
var errStartInstead = errors.New("start instead")

func (c *ctl) run(ctx context.Context) error {
	if err := c.findServer(); err != nil {
		return err
	}
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	if client == nil {
		return c.signal(ctx)
	}
	if c.command == "status" {
		return c.status(ctx, client)
	}
	if !c.asPumactl && !c.noWait && ctlCommands[ctlCommand(c.command)].waits {
		return c.wait(ctx, client)
	}
	body, err := client.Do(ctx, c.command)
	if err != nil {
		return err
	}
	if c.asPumactl || !slices.Contains(printed, c.command) {
		c.say("Command %s sent success", c.command)
	}
	if slices.Contains(printed, c.command) {
		c.say("%s", body)
	}
	return nil
}

// findServer fills in what was not said: from the configuration, then from the state file or the pidfile.
func (c *ctl) findServer() error {
	given := c.pid != 0 || c.state != "" || c.pidfile != "" || c.url != "" && c.token != ""
	if c.configFile != "-" && !given {
		if err := c.readConfig(); err != nil {
			return err
		}
	}
	switch {
	case c.pid != 0:
		return nil
	case c.state != "":
		s, err := control.ReadState(c.state)
		if err != nil {
			return err
		}
		c.pid = s.PID
		if c.url == "" || c.asPumactl {
			c.url, c.token = s.ControlURL, s.Token
		}
	case c.pidfile != "":
		pid, err := pidfile.Read(c.pidfile)
		if err != nil {
			return err
		}
		c.pid = pid
	}
	if c.token == control.NoToken {
		c.token = ""
	}
	if c.pid == 0 && c.url == "" {
		if c.asPumactl {
			return pumactlError("Neither pid nor control url available")
		}
		return errors.New("no server is named: say --pid, --pidfile, --state or --control-url, or set one of these in the configuration file")
	}
	return nil
}

// readConfig looks for the server in the configuration file.
func (c *ctl) readConfig() error {
	var args []config.Arg
	if c.configFile != "" {
		args = append(args, config.Arg{Name: "config", Value: c.configFile})
	}
	if c.environment != "" {
		args = append(args, config.Arg{Name: "environment", Value: c.environment})
	}
	cfg, err := config.Load(args, "", os.Environ(), script)
	if err != nil {
		return err
	}
	if c.url == "" && cfg.ControlURL != "auto" {
		c.url = cfg.ControlURL
	}
	if c.token == "" {
		c.token = cfg.ControlToken
	}
	if c.state == "" {
		c.state = cfg.StatePath
	}
	if c.pidfile == "" {
		c.pidfile = cfg.Pidfile
	}
	if _, err := os.Stat(c.state); c.state != "" && err != nil && c.pidfile != "" {
		c.state = "" // the pidfile will do
	}
	return nil
}

// client is the way to the control server, or to the private socket of the process; nil when only signals are left.
func (c *ctl) client(ctx context.Context) (*control.Client, error) {
	if c.url != "" && !(c.asPumactl && slices.Contains(signalOnly, c.command)) {
		return control.Dial(c.url, c.token)
	}
	if c.asPumactl || c.pid == 0 {
		return nil, nil
	}
	client := control.DialPrivate(c.pid)
	switch err := c.reach(ctx, client); {
	case err == nil:
		return client, nil
	case errors.Is(err, control.ErrOtherUser), ctx.Err() != nil:
		return nil, err
	}
	return nil, nil
}

// startPatience is how long a serval may take until its private socket is there: it evaluates configuration files first, and
// would not bear a signal before.
const startPatience = 10 * time.Second

// reach returns when the private socket answers, or will not.
func (c *ctl) reach(ctx context.Context, client *control.Client) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := client.Reachable(ctx)
		if err == nil || errors.Is(err, control.ErrOtherUser) || !inReach(c.pid) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// inReach says whether a process is a serval whose private socket could be seen from here, if it has one.
func inReach(pid int) bool {
	there, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	here, _ := os.Readlink("/proc/self/ns/net") //nolint:errcheck // no namespace has an empty name
	return err == nil && there == here && isServal(pidfile.Program(pid))
}

func isServal(program string) bool {
	own, _ := os.Executable() //nolint:errcheck // the usual name then
	return program == "serval" || program == filepath.Base(own)
}

// isPuma says whether a process goes by the name of Puma: in its title, or as the script that Ruby runs.
func isPuma(pid int) bool {
	words, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) //nolint:errcheck // then it is none
	for word := range strings.SplitSeq(string(words), "\x00") {
		if title := filepath.Base(word); title == "puma" || strings.HasPrefix(word, "puma ") || strings.HasPrefix(word, "puma:") {
			return true
		}
	}
	return false
}

// checkProcess refuses a process that is another program's: ids are used again, and what is an order to a server ends most
// others.
func (c *ctl) checkProcess() error {
	program := pidfile.Program(c.pid)
	if program == "" || isServal(program) || isPuma(c.pid) {
		return nil
	}
	return fmt.Errorf("PID %d is %s, neither serval nor puma: nothing was sent to it", c.pid, program)
}

// signal does what can be done with a process id alone.
func (c *ctl) signal(ctx context.Context) error {
	if c.pid == 0 {
		return pumactlError("Neither pid nor control url available")
	}
	if err := c.checkProcess(); err != nil {
		return err
	}
	sig := ctlCommands[ctlCommand(c.command)].signal
	if c.command == "status" {
		return c.alive()
	}
	if sig == 0 {
		if c.asPumactl {
			fmt.Fprintf(c.Out, "'%s' not available via pid only\n", c.command)
			return nil
		}
		return fmt.Errorf("%s needs a control server, and PID %d has none that this user can reach", c.command, c.pid)
	}
	handle, _ := unix.PidfdOpen(c.pid, 0) //nolint:errcheck // then the end is not awaited
	if handle > 0 {
		defer unix.Close(handle)
	}
	switch err := syscall.Kill(c.pid, sig); {
	case errors.Is(err, syscall.EPERM) && !c.asPumactl:
		return fmt.Errorf("PID %d belongs to another user: run this as that user or as root", c.pid)
	case err != nil && c.command == "restart":
		return errStartInstead
	case err != nil:
		return pumactlError(fmt.Sprintf("No pid '%d' found", c.pid))
	}
	ends := c.command == "stop" || c.command == "halt"
	if ends && handle > 0 && !c.asPumactl && !c.noWait {
		ctx, cancel := c.limit(ctx)
		defer cancel()
		return c.awaitEnd(ctx, handle)
	}
	c.say("Command %s sent success", c.command)
	return nil
}

func (c *ctl) alive() error {
	if err := syscall.Kill(c.pid, 0); errors.Is(err, syscall.ESRCH) {
		if c.asPumactl {
			return pumactlError("Puma is not running")
		}
		return fmt.Errorf("no process has the id %d: the server is not running", c.pid)
	}
	if c.asPumactl {
		fmt.Fprintln(c.Out, "Puma is started")
		return nil
	}
	fmt.Fprintf(c.Out, "PID %d is running, but has no control server that this user can reach\n", c.pid)
	return nil
}

// limit is the time that may be waited.
func (c *ctl) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("%s is not done after %s, and goes on (--timeout)", c.command, c.timeout))
}

// wait asks for a command and returns when it is done.
func (c *ctl) wait(ctx context.Context, client *control.Client) error {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	handle := -1
	if c.pid != 0 {
		if fd, err := unix.PidfdOpen(c.pid, 0); err == nil {
			handle = fd
			defer unix.Close(fd)
		}
	}
	ends := c.command == "stop" || c.command == "halt"
	p := newProgress(c, ends)
	done, err := client.Watch(ctx, c.command, p.show)
	switch {
	case errors.Is(err, control.ErrCut) && ends:
		done, err = true, nil
	case errors.Is(err, control.ErrCut):
		// The front has replaced itself by a new program, with the same process id; that one answers when it is up.
		if err = client.AwaitAnswer(ctx); err == nil {
			done = true
		}
	}
	if err == nil && ends && handle >= 0 {
		err = awaitExit(ctx, handle)
		done = true // even if the server reports nothing, as Puma
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	p.end(done, err)
	return err
}

// awaitEnd waits for the end of a process and says so.
func (c *ctl) awaitEnd(ctx context.Context, handle int) error {
	p := newProgress(c, true)
	err := awaitExit(ctx, handle)
	p.end(true, err)
	return err
}

// awaitExit waits until the process has ended.
func awaitExit(ctx context.Context, handle int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, 100)
		if n > 0 || err != nil && err != unix.EINTR {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// say prints a line unless quiet was asked for.
func (c *ctl) say(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.Out, format+"\n", args...)
	}
}

func (c *ctl) writeHelp() {
	if c.asPumactl {
		fmt.Fprintf(c.Out, pumactlHelp, strings.Join(commandNames(), "|"))
		return
	}
	var b strings.Builder
	b.WriteString(ctlHead)
	for _, command := range ctlCommands {
		fmt.Fprintf(&b, "  %-25s%s\n", command.name, command.help)
	}
	b.WriteString(ctlTail)
	io.WriteString(c.Out, b.String())
}

const ctlHead = `Usage: serval ctl [flags] COMMAND

Operates a running server. It is found by its control server's address, its state
file, its pidfile or its process id; without any of these, by the configuration
file.

Commands:
`

const ctlTail = `
Flags:
  -p, --pid PID            the server's process id
  -P, --pidfile PATH       the file that holds it
  -S, --state PATH         the server's state file
  -C, --control-url URL    the control server: tcp://HOST:PORT or unix:///PATH
  -T, --control-token TOK  what it wants to be shown
  -F, --config-file PATH   the configuration to look in; - for none
  -e, --environment ENV    the app's environment, for config/puma/ENV.rb
      --no-wait            return as soon as the server knows what to do
      --timeout SEC        wait no longer (the command goes on)
  -Q, --quiet              print nothing but errors
  -H, --help               show this help
  -V, --version            show the version

restart, phased-restart, refork, stop, halt and worker-count-* return when they
are done. When a release does not boot, its error is printed, the status is 1,
and the workers that were there go on serving.

Examples:
  serval ctl -P tmp/pids/server.pid phased-restart
  serval ctl -S /run/blog.state --timeout 2m restart
`

const pumactlHelp = `Usage: pumactl (-p PID | -P pidfile | -S status_file | -C url -T token | -F config.rb) (%s)
    -S, --state PATH                 Where the state file to use is
    -Q, --quiet                      Not display messages
    -P, --pidfile PATH               Pid file
    -p, --pid PID                    Pid
    -C, --control-url URL            The bind url to use for the control server
    -T, --control-token TOKEN        The token to use as authentication for the control server
    -F, --config-file PATH           Puma config script
    -e, --environment ENVIRONMENT    The environment to run the Rack app on (default development)
    -H, --help                       Show this message
    -V, --version                    Show version
`
