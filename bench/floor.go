package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mostFloors is how many floors a request of Serval's is to take at most.
const mostFloors = 2.0

// bareLoop is a program that accepts, reads and writes, and does nothing else.
type bareLoop struct {
	language string
	program  string
	compiler []string // behind it come the program's path and the source
	source   string
}

var bareLoops = []bareLoop{
	{"C", "loop", []string{"cc", "-O2", "-o"}, "bench/floor/loop.c"},
	{"Go", "goloop", []string{"go", "build", "-o"}, "./bench/floor/goloop"},
}

// rubyLoop calls an app, without any server.
const rubyLoop = "bench/floor/loop.rb"

// floorCell is one measurement: what one program took for a request.
type floorCell struct {
	Program     string `json:"program"`     // C, Go, Ruby or serval
	Connections int    `json:"connections"` // 0 for Ruby, which has none
	Round       int    `json:"round"`
	CPU         cpu    `json:"cpu_us_per_request"`
	Requests    int    `json:"requests"`
	Failures    int    `json:"failures"`
}

// floorOne measures a program, whose requests come over each of some numbers of connections.
type floorOne struct {
	name  string
	start func(context.Context) (*server, error)
}

// floor measures the least that a request of hello costs, and how often that goes into what Serval takes.
func (b *bench) floor(ctx context.Context) (finding, error) {
	if err := raiseFileLimit(uint64(slices.Max(b.floorConnections())) + 1000); err != nil {
		return finding{}, err
	}
	directory, err := os.MkdirTemp("", "serval-floor-")
	if err != nil {
		return finding{}, err
	}
	defer os.RemoveAll(directory)
	programs, commands, err := b.floorPrograms(ctx, directory)
	if err != nil {
		return finding{}, err
	}
	var cells []floorCell
	for round := 1; round <= b.Rounds; round++ {
		measured, used, err := b.floorRound(ctx, programs)
		if err != nil {
			return finding{}, err
		}
		for _, c := range measured {
			c.Round = round
			cells = append(cells, c)
		}
		commands = append(commands, used...)
	}
	return finding{
		method:   floorMethod(b.Options),
		words:    floorWords(cells, b.Options),
		tables:   []table{floorTable(cells, b.Options)},
		commands: unique(append(commands, b.wrkCommand(loadNamed("hello"), b.floorConnections()...))),
		raw:      cells,
	}, nil
}

// floorConnections are the numbers of connections, unless -connections says so.
func (o Options) floorConnections() counts {
	if len(o.Connections) > 0 {
		return o.Connections
	}
	return counts{16, 64, 256, 10_000}
}

// floorPrograms compiles the bare loops. Behind them comes Serval.
func (b *bench) floorPrograms(ctx context.Context, directory string) (programs []floorOne, commands []string, err error) {
	for _, l := range bareLoops {
		path, err := l.compile(ctx, directory)
		if err != nil {
			return nil, nil, err
		}
		commands = append(commands, strings.Join(append(slices.Clone(l.compiler), l.program, l.source), " "))
		programs = append(programs, floorOne{l.language, func(ctx context.Context) (*server, error) {
			return b.startPeer(ctx, l.peer(), []string{path}, setup{}, "/")
		}})
	}
	hello := loadNamed("hello")
	// Serval answers all but 1,024 of the requests that wait with 503, unless it is told to let more wait.
	flags := []string{"--queue-limit", strconv.Itoa(2 * slices.Max(b.floorConnections()))} // those of the warm-up may be among them
	return append(programs, floorOne{"serval", func(ctx context.Context) (*server, error) {
		return b.start(ctx, "serval", setup{app: hello.app, workers: b.Workers, threads: b.Threads, flags: flags}, hello.path)
	}}), commands, nil
}

// compile returns the path of the program.
func (l bareLoop) compile(ctx context.Context, directory string) (string, error) {
	path := filepath.Join(directory, l.program)
	args := append(slices.Clone(l.compiler), path, l.source)
	if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile %s: %w; install a compiler (gcc and libc6-dev, or Go)\n%s", l.source, err, text)
	}
	return path, nil
}

// peer is the bare loop in the place of a server.
func (l bareLoop) peer() peer {
	return peer{name: l.program, command: func(program []string, s setup) []string {
		host, port, _ := net.SplitHostPort(s.address)
		return append(slices.Clone(program), host, port)
	}}
}

// floorRound measures all programs once.
func (b *bench) floorRound(ctx context.Context, programs []floorOne) (cells []floorCell, commands []string, err error) {
	for _, p := range programs {
		measured, command, err := b.floorProgram(ctx, p)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.name, err)
		}
		cells, commands = append(cells, measured...), append(commands, command)
	}
	args := b.rubyLoop()
	c, err := runRubyLoop(ctx, args)
	b.logf("%-8s %s µs CPU", c.Program, oneDecimal(c.CPU.sum()))
	return append(cells, c), append(commands, strings.Join(args, " ")), err
}

// floorProgram starts a program and loads it as core does.
func (b *bench) floorProgram(ctx context.Context, p floorOne) ([]floorCell, string, error) {
	srv, err := p.start(ctx)
	if err != nil {
		return nil, "", err
	}
	defer srv.stop()
	var cells []floorCell
	for _, connections := range b.floorConnections() {
		r, used, err := b.warmThenRun(ctx, srv, b.wrk(srv, loadNamed("hello"), connections))
		if err != nil {
			return nil, "", err
		}
		b.logf("%-8s %5d connections  %9s requests/s  %s µs CPU  failures %d", p.name, connections, whole(r.Rate), oneDecimal(used.sum()), r.Failures.sum())
		cells = append(cells, floorCell{Program: p.name, Connections: connections, CPU: used, Requests: r.Requests, Failures: r.Failures.sum()})
	}
	return cells, srv.command, nil
}

// rubyLoop is the command line.
func (o Options) rubyLoop() []string {
	return []string{"ruby", rubyLoop, loadNamed("hello").app, strconv.Itoa(o.Warmup), strconv.Itoa(o.Seconds)}
}

// runRubyLoop calls the app without a server.
func runRubyLoop(ctx context.Context, args []string) (floorCell, error) {
	c := floorCell{Program: "Ruby"}
	process := exec.CommandContext(ctx, args[0], args[1:]...)
	process.Env = plainEnvironment()
	text, err := process.Output()
	if err != nil {
		return c, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	var nanoseconds float64
	if _, err := fmt.Sscan(string(text), &c.Requests, &nanoseconds); err != nil || c.Requests == 0 {
		return c, fmt.Errorf("%s printed %q, want a number of calls and one of nanoseconds", strings.Join(args, " "), text)
	}
	c.CPU.Workers = nanoseconds / 1000 / float64(c.Requests)
	return c, nil
}

// floorCost is the median of what a request took, in microseconds. Ruby's has no connections: 0.
func floorCost(cells []floorCell, program string, connections int) cpu {
	rounds := slices.DeleteFunc(slices.Clone(cells), func(c floorCell) bool { return c.Program != program || c.Connections != connections })
	return cpu{
		Front:   median(each(rounds, func(c floorCell) float64 { return c.CPU.Front })),
		Workers: median(each(rounds, func(c floorCell) float64 { return c.CPU.Workers })),
	}
}

// theFloor is the loop in C and the app in Ruby.
func theFloor(cells []floorCell, connections int) float64 {
	return floorCost(cells, "C", connections).sum() + floorCost(cells, "Ruby", 0).sum()
}

func floorTable(cells []floorCell, o Options) table {
	t := table{title: "The floor", notes: []string{"Microseconds of CPU for a request; medians of the rounds. The floor is the bare loop in C + the app called in Ruby."},
		head: []string{"connections", "C", "Go", "Ruby", "floor", "serval: front + workers", "sum", "serval ÷ floor"}}
	for _, n := range o.floorConnections() {
		own, floor := floorCost(cells, "serval", n), theFloor(cells, n)
		t.rows = append(t.rows, []string{whole(float64(n)), oneDecimal(floorCost(cells, "C", n).sum()), oneDecimal(floorCost(cells, "Go", n).sum()), oneDecimal(floorCost(cells, "Ruby", 0).sum()),
			oneDecimal(floor), oneDecimal(own.Front) + " + " + oneDecimal(own.Workers), oneDecimal(own.sum()), twoDecimals(ratio(own.sum(), floor))})
	}
	return t
}

func floorWords(cells []floorCell, o Options) []string {
	words := each(o.floorConnections(), func(n int) string {
		own, floor := floorCost(cells, "serval", n).sum(), theFloor(cells, n)
		return fmt.Sprintf("%s connections: serval takes %s µs, %s times the floor of %s µs; the goal is at most %g.", whole(float64(n)), oneDecimal(own),
			twoDecimals(ratio(own, floor)), oneDecimal(floor), mostFloors)
	})
	for _, c := range cells {
		if c.Failures > 0 {
			words = append(words, fmt.Sprintf("%s failed to answer %s of %s requests well over %s connections in round %d.", c.Program, whole(float64(c.Failures)),
				whole(float64(c.Requests)), whole(float64(c.Connections)), c.Round))
		}
	}
	return words
}

func floorMethod(o Options) []string {
	return []string{
		fmt.Sprintf("Rounds: %d. In each, two loops that accept, read and write, one in C and one in Go, and serval with the hello app are started in turns, warmed up for %d s and loaded by "+
			"wrk for %d s over each number of connections, as in core. The loops look for nothing in a request but its end, and answer as many bytes as serval. Then Ruby alone builds an env "+
			"and calls the hello app, again and again, for as long.", o.Rounds, o.Warmup, o.Seconds),
		"The loop in C has one thread and epoll; that in Go has a goroutine for each connection. wrk opens its connections anew each time: with thousands of them, accepting them is a part of what is measured, " +
			"of all programs alike. CPU times come from the kernel's clock of 10 ms for a process; Ruby's own from its process clock.",
	}
}
