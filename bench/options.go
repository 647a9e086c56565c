package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Options say how much is measured. They are part of every report.
type Options struct {
	Serval      string `json:"serval"`      // the program to measure
	Results     string `json:"-"`           // where reports go
	Rounds      int    `json:"rounds"`      // how often each measurement is repeated, in turns with the other servers
	Seconds     int    `json:"seconds"`     // length of one measurement by wrk, or of one mix
	Warmup      int    `json:"warmup"`      // seconds of load before each measurement
	Workers     int    `json:"workers"`     // worker processes of each server
	Threads     int    `json:"threads"`     // threads of each worker, where the server has threads
	WrkThreads  int    `json:"wrk_threads"` // threads of wrk
	Servers     list   `json:"servers"`
	Loads       list   `json:"loads"`
	Connections counts `json:"connections,omitempty"` // for core and floor, in place of their own
	Mixes       list   `json:"mixes"`                 // for mixed
	HalfRate    int    `json:"half_rate,omitempty"`   // for the mix half, requests per second; 0: half of Puma's peak
	Idle        int    `json:"idle"`                  // connections held by idle
	UploadMB    int    `json:"upload_mb"`             // size of the body sent by upload
	Tries       int    `json:"tries"`                 // requests asked while slow readers read
	Supervised  int    `json:"supervised"`            // processes of one supervisor
	Kinds       list   `json:"kinds"`                 // of restarts
	Restarts    int    `json:"restarts"`              // of Serval, of each kind
	Rival       int    `json:"puma_restarts"`
	Slow        int    `json:"slow_restarts"` // of both, of an app that boots for seconds
	Actions     int    `json:"actions"`       // for page: how often each is done
	SlowActions int    `json:"slow_actions"`  // the same with an app that boots for seconds
}

// scenario is something to measure.
type scenario struct {
	name, about string
	measure     func(*bench, context.Context) (finding, error)
	named       bool // only measured when it is named: it takes root
}

// scenarios are all of them, in the order they are run.
var scenarios = []scenario{
	{name: "core", about: "throughput and latency of the servers under the same loads", measure: (*bench).core},
	{name: "floor", about: "what a request costs, and the least that it could", measure: (*bench).floor},
	{name: "mixed", about: "how long short requests take beside others", measure: (*bench).mixed},
	{name: "pinned", about: "fast requests while one takes five seconds", measure: (*bench).pinned},
	{name: "slow-readers", about: "normal requests while five clients read slowly", measure: (*bench).slowReaders},
	{name: "idle", about: "the cost of many idle keep-alive connections", measure: (*bench).idle},
	{name: "upload", about: "memory and speed while a large body is uploaded", measure: (*bench).upload},
	{name: "restarts", about: "what clients see of restarts under load", measure: (*bench).restarts},
	{name: "memory", about: "the memory of four preloaded workers of a Rails app", measure: (*bench).memory},
	{name: "boot", about: "from the start to the first response", measure: (*bench).boot},
	{name: "supervisor", about: "what a supervisor of a thousand processes costs", measure: (*bench).supervisor},
	{name: "page", about: "what clients see of systemctl, serval restart and signals, under systemd and behind nginx", measure: (*bench).page, named: true},
}

func parseOptions(args []string, output io.Writer) (Options, []scenario, error) {
	o := Options{Servers: given(), Loads: loadNames(), Mixes: mixNames(), Kinds: kindNames()}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.Serval, "serval", "bin/serval", "the serval `program` to measure")
	flags.StringVar(&o.Results, "results", "bench/results", "`directory` for the reports")
	flags.IntVar(&o.Rounds, "rounds", 3, "how often each measurement is repeated, the servers taking turns")
	flags.IntVar(&o.Seconds, "seconds", 5, "length of one measurement by wrk, or of one mix")
	flags.IntVar(&o.Warmup, "warmup", 1, "seconds of load before each measurement")
	flags.IntVar(&o.Workers, "workers", 2, "worker processes, for core, floor, idle and upload")
	flags.IntVar(&o.Threads, "threads", 5, "threads in each worker, for core, floor, idle and upload")
	flags.IntVar(&o.WrkThreads, "wrk-threads", 2, "threads of wrk")
	flags.Var(&o.Servers, "servers", "`names` of servers: "+strings.Join(peerNames(), ", "))
	flags.Var(&o.Loads, "loads", "`names` of loads for core: "+strings.Join(loadNames(), ", "))
	flags.Var(&o.Connections, "connections", "`numbers` of connections for core and floor, in place of their own")
	flags.Var(&o.Mixes, "mixes", "`names` of mixes for mixed: "+strings.Join(mixNames(), ", "))
	flags.IntVar(&o.HalfRate, "half-rate", 0, "requests per second of the mix half, in place of half of what puma answers at most")
	flags.IntVar(&o.Idle, "idle", 10_000, "idle connections to hold")
	flags.IntVar(&o.UploadMB, "upload", 1024, "MiB to upload")
	flags.IntVar(&o.Tries, "tries", 20, "requests to try while slow readers read")
	flags.IntVar(&o.Supervised, "supervised", maxSupervised, "processes to supervise")
	flags.Var(&o.Kinds, "kinds", "`names` of restarts: "+strings.Join(kindNames(), ", "))
	flags.IntVar(&o.Restarts, "restarts", 100, "restarts of serval, of each kind")
	flags.IntVar(&o.Rival, "puma-restarts", 10, "restarts of puma, of each kind")
	flags.IntVar(&o.Slow, "slow-restarts", 3, "restarts of both, of each kind, of an app that boots for 4 s")
	flags.IntVar(&o.Actions, "actions", 3, "for page: how often each action is done")
	flags.IntVar(&o.SlowActions, "slow-actions", 1, "for page: how often with an app that boots for 4 s")
	flags.Usage = func() {
		fmt.Fprintf(output, "Usage: bench [flags] [%s]\n\n", strings.Join(scenarioNames(), "] ["))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, nil, err
	}
	if err := o.validate(); err != nil {
		return o, nil, err
	}
	chosen, err := choose(flags.Args())
	return o, chosen, err
}

func (o Options) validate() error {
	for _, name := range o.Servers {
		if !slices.Contains(peerNames(), name) {
			return fmt.Errorf("-servers: there is no server %q: choose from %s", name, strings.Join(peerNames(), ", "))
		}
		if _, err := peerNamed(name).program(o); err != nil {
			return fmt.Errorf("-servers: %w", err)
		}
	}
	for _, name := range o.Loads {
		if !slices.Contains(loadNames(), name) {
			return fmt.Errorf("-loads: there is no load %q: choose from %s", name, strings.Join(loadNames(), ", "))
		}
	}
	for _, name := range o.Mixes {
		if !slices.Contains(mixNames(), name) {
			return fmt.Errorf("-mixes: there is no mix %q: choose from %s", name, strings.Join(mixNames(), ", "))
		}
	}
	for _, name := range o.Kinds {
		if !slices.Contains(kindNames(), name) {
			return fmt.Errorf("-kinds: there is no restart %q: choose from %s", name, strings.Join(kindNames(), ", "))
		}
	}
	least := map[string]int{"rounds": o.Rounds, "seconds": o.Seconds, "warmup": o.Warmup, "workers": o.Workers, "threads": o.Threads,
		"wrk-threads": o.WrkThreads, "idle": o.Idle, "upload": o.UploadMB, "tries": o.Tries, "supervised": o.Supervised,
		"restarts": o.Restarts, "puma-restarts": o.Rival, "slow-restarts": o.Slow,
		"actions": o.Actions, "slow-actions": o.SlowActions}
	for name, value := range least {
		if value < 1 {
			return fmt.Errorf("-%s is %d: give a number from 1 up", name, value)
		}
	}
	return nil
}

// choose finds the scenarios of the given names; all that do not have to be named if there are none.
func choose(names []string) ([]scenario, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return s.named }), nil
	}
	var chosen []scenario
	for _, name := range names {
		i := slices.Index(scenarioNames(), name)
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q: choose from %s", name, strings.Join(scenarioNames(), ", "))
		}
		chosen = append(chosen, scenarios[i])
	}
	return chosen, nil
}

func scenarioNames() []string {
	names := make([]string, len(scenarios))
	for i, s := range scenarios {
		names[i] = s.name
	}
	return names
}

// list is a flag that takes names with commas between.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = strings.Split(value, ",")
	return nil
}

// counts is a flag that takes numbers with commas between.
type counts []int

func (c *counts) String() string {
	words := make([]string, len(*c))
	for i, n := range *c {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

func (c *counts) Set(value string) error {
	*c = nil
	for word := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number from 1 up", word)
		}
		*c = append(*c, n)
	}
	return nil
}
