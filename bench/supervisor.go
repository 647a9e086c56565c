package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// supervisorRun is what the supervisor of many processes costs, and how soon it notices that one has died.
type supervisorRun struct {
	Checks    string    `json:"checks"` // what it looks at of each process
	Processes int       `json:"processes"`
	Up        float64   `json:"up_ms"` // from its start until all are up
	Memory    memory    `json:"memory"`
	CPU       float64   `json:"idle_cpu_percent"` // of a core
	Noticed   []float64 `json:"noticed_ms"`       // after a KILL, as its log has it, in whole milliseconds
	Adopted   float64   `json:"adopted_ms"`       // from the start of the next supervisor until all are taken over
	command   string
}

const (
	maxSupervised  = 1000
	idleTime       = 30 * time.Second
	supervisedPace = 200 * time.Millisecond // between two kills
	supervisedWait = 2 * time.Minute
)

// supervisorCases are what a manifest can ask to be looked at, and how it is written.
var supervisorCases = []struct{ checks, key string }{
	{"none", ""},
	{"memory, every 10 s", ", memory_limit: 1G"},
}

// supervisor measures serval supervise with many processes that do nothing.
func (b *bench) supervisor(ctx context.Context) (finding, error) {
	var runs []supervisorRun
	var commands []string
	for _, c := range supervisorCases {
		run, err := b.supervise(ctx, c.key)
		if err != nil {
			return finding{}, err
		}
		run.Checks = c.checks
		b.logf("checks: %s: %s MiB, %s %% of a core, a death is noticed after %s", c.checks, oneDecimal(run.Memory.RSS/1024), twoDecimals(run.CPU), spreadOf(run.Noticed).show(shortTime))
		runs = append(runs, run)
		commands = append(commands, run.command)
	}
	return finding{
		method: []string{fmt.Sprintf("serval supervise runs %d processes (sleep). When all are up, it is left alone for %s, and asked for nothing. Then %d of them get a KILL, one every %s: "+
			"a death is noticed at the time that the supervisor's log has for it, which is in whole milliseconds. At last the supervisor itself gets a KILL, and the next one takes over what runs.",
			b.Supervised, b.Idle30(), b.Tries, supervisedPace)},
		words:    supervisorWords(runs),
		tables:   []table{supervisorTable(runs)},
		commands: unique(commands),
		raw:      runs,
	}, nil
}

// Idle30 is how long the supervisor is left alone.
func (b *bench) Idle30() time.Duration { return min(idleTime, time.Duration(b.Seconds)*6*time.Second) }

// supervise is one run. key is what the manifest says besides about each process.
func (b *bench) supervise(ctx context.Context, key string) (run supervisorRun, err error) {
	a, err := b.supervisedApp(ctx, key)
	if err != nil {
		return run, err
	}
	defer os.RemoveAll(a.top)
	run = supervisorRun{Processes: b.Supervised, command: "serval supervise"}
	began := time.Now()
	if err := a.start(); err != nil {
		return run, err
	}
	defer a.end()
	if err := a.log.wait(ctx, regexp.MustCompile(` is ready\n`), b.Supervised, a.exited); err != nil {
		return run, fmt.Errorf("not all processes came up: %w", err)
	}
	run.Up = inMilliseconds(time.Since(began))
	pid := a.cmd.Process.Pid
	before := cpuTime(pid)
	if err := sleep(ctx, b.Idle30()); err != nil {
		return run, err
	}
	run.CPU = 100 * (cpuTime(pid) - before).Seconds() / b.Idle30().Seconds()
	run.Memory = memoryOf(pid)
	for n := 1; n <= b.Tries; n++ {
		noticed, err := a.kill(ctx, n)
		if err != nil {
			return run, err
		}
		run.Noticed = append(run.Noticed, noticed)
		if err := sleep(ctx, supervisedPace); err != nil {
			return run, err
		}
	}
	if err := a.log.wait(ctx, regexp.MustCompile(` is ready\n`), b.Supervised+b.Tries, a.exited); err != nil {
		return run, err
	}
	a.cmd.Process.Kill() //nolint:errcheck // it is there
	<-a.exited
	began = time.Now()
	if err := a.start(); err != nil {
		return run, err
	}
	if err := a.log.wait(ctx, regexp.MustCompile(`supervises app`), 1, a.exited); err != nil {
		return run, err
	}
	run.Adopted = inMilliseconds(time.Since(began))
	if taken, _ := a.log.count(regexp.MustCompile(` is taken over `)); taken != b.Supervised {
		return run, fmt.Errorf("%d of %d processes were taken over", taken, b.Supervised)
	}
	return run, nil
}

// supervisedApp is an app with many processes, and its supervisor.
type supervisedApp struct {
	top    string
	serval string
	cmd    *exec.Cmd
	log    *output
	exited chan struct{}
}

func (b *bench) supervisedApp(ctx context.Context, key string) (*supervisedApp, error) {
	top, err := os.MkdirTemp("", "s-")
	if err != nil {
		return nil, err
	}
	serval, err := filepath.Abs(b.Serval)
	if err != nil {
		return nil, err
	}
	a := &supervisedApp{top: top, serval: serval}
	for name, text := range map[string]string{
		"Procfile":             "worker: sleep 1000000\n",
		"config.ru":            "run ->(_) { [200, {}, []] }\n",
		".serval/manifest.yml": fmt.Sprintf("procfile_metadata:\n  worker: { count: %d, stop_sequence: \"kill\"%s }\n", b.Supervised, key),
	} {
		path := filepath.Join(top, "app", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if said, err := a.command(ctx, "install", "--backend", "supervisor").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot install: %w\n%s", err, said)
	}
	return a, nil
}

func (a *supervisedApp) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, a.serval, args...)
	cmd.Dir = filepath.Join(a.top, "app")
	cmd.Env = append(os.Environ(), "SERVAL_STATE_DIR="+filepath.Join(a.top, "state"))
	return cmd
}

// start starts the supervisor.
func (a *supervisedApp) start() error {
	a.cmd, a.log, a.exited = a.command(context.Background(), "supervise"), newOutput(), make(chan struct{})
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	if err := a.cmd.Start(); err != nil {
		return err
	}
	exited := a.exited
	cmd := a.cmd
	go func() {
		cmd.Wait() //nolint:errcheck // it is killed on purpose
		close(exited)
	}()
	return nil
}

// end stops everything.
func (a *supervisedApp) end() {
	a.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it has ended by itself then
	select {
	case <-a.exited:
	case <-time.After(supervisedWait):
		a.cmd.Process.Kill() //nolint:errcheck // as above
		<-a.exited
	}
}

// kill kills a process and returns after how many milliseconds the supervisor has noticed.
func (a *supervisedApp) kill(ctx context.Context, n int) (float64, error) {
	name := "worker." + strconv.Itoa(n)
	m := regexp.MustCompile(regexp.QuoteMeta(name) + ` started with process id (\d+)\n`).FindStringSubmatch(a.log.String())
	if m == nil {
		return 0, fmt.Errorf("%s was not started", name)
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, err
	}
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("cannot kill %s: %w", name, err)
	}
	line := regexp.MustCompile(`(\S+) ` + regexp.QuoteMeta(name) + ` was killed by SIGKILL`)
	if err := a.log.wait(ctx, line, 1, a.exited); err != nil {
		return 0, err
	}
	noticed, err := time.Parse("2006-01-02T15:04:05.000Z07:00", line.FindStringSubmatch(a.log.String())[1])
	if err != nil {
		return 0, err
	}
	return max(inMilliseconds(noticed.Sub(killed.Truncate(time.Millisecond))), 1), nil // in the same one: at most that
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func supervisorTable(runs []supervisorRun) table {
	t := table{title: "The supervisor", head: []string{"checks", "processes", "all up after", "RSS, MiB", "idle, % of a core", "death noticed after", "slowest", "all taken over after"}}
	for _, r := range runs {
		noticed := spreadOf(r.Noticed)
		t.rows = append(t.rows, []string{r.Checks, whole(float64(r.Processes)), shortTime(r.Up), oneDecimal(r.Memory.RSS / 1024), twoDecimals(r.CPU),
			shortTime(noticed.Median), shortTime(noticed.Most), shortTime(r.Adopted)})
	}
	return t
}

func supervisorWords(runs []supervisorRun) []string {
	return each(runs, func(r supervisorRun) string {
		return fmt.Sprintf("Checks: %s. %s processes take %s MiB and %s %% of a core; a death was noticed after %s at most.", r.Checks, whole(float64(r.Processes)),
			oneDecimal(r.Memory.RSS/1024), twoDecimals(r.CPU), shortTime(spreadOf(r.Noticed).Most))
	})
}
