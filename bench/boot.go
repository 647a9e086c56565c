package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// bootRun is one start.
type bootRun struct {
	Server string  `json:"server"`
	App    string  `json:"app"`
	Way    string  `json:"way"`
	Round  int     `json:"round"`
	First  float64 `json:"first_response_ms"`
}

// bootCase is something to start.
type bootCase struct {
	app, way string
	setup    setup
}

func bootCases(o Options) []bootCase {
	hello := setup{app: "bench/apps/hello.ru", workers: o.Workers, threads: o.Threads}
	preloaded := hello
	preloaded.flags = []string{"--preload"}
	return []bootCase{
		{"hello", "workers", hello},
		{"hello", "preload", preloaded},
		{railsApp, "workers", railsSetup(o.Threads, o.Workers, false)},
		{railsApp, "preload", railsSetup(o.Threads, o.Workers, true)},
	}
}

// boot measures the time from starting a server to its first response.
func (b *bench) boot(ctx context.Context) (finding, error) {
	var runs []bootRun
	var commands []string
	for round := 1; round <= b.Rounds; round++ {
		for _, c := range bootCases(b.Options) {
			for _, name := range b.inTurns(round) {
				srv, err := b.start(ctx, name, c.setup, "/")
				if err != nil {
					return finding{}, fmt.Errorf("%s: %w", name, err)
				}
				run := bootRun{Server: name, App: c.app, Way: c.way, Round: round, First: inMilliseconds(srv.first)}
				srv.stop()
				b.logf("%-8s %s, %s: %s", name, c.app, c.way, shortTime(run.First))
				runs = append(runs, run)
				commands = append(commands, srv.command)
			}
		}
	}
	return finding{
		method: []string{fmt.Sprintf("From starting the program to the end of the first response with status 200, with %d workers of %d threads. The client connects and asks from the "+
			"start on, every %v while it is refused. Rounds: %d, the servers taking turns in being first.", b.Workers, b.Threads, askAgain, b.Rounds)},
		words:    bootWords(runs, b.Options, b.pair()),
		tables:   []table{bootTable(runs, b.Options, b.pair())},
		commands: unique(commands),
		raw:      runs,
	}, nil
}

// inTurns are the servers in the order of a round: every other one begins with the last, since who starts first finds files that nobody
// has read for a while.
func (b *bench) inTurns(round int) []string {
	names := slices.Clone(b.pair())
	if round%2 == 0 {
		slices.Reverse(names)
	}
	return names
}

const askAgain = 2 * time.Millisecond

func bootTimes(runs []bootRun, c bootCase, server string) spread {
	var times []float64
	for _, r := range runs {
		if r.App == c.app && r.Way == c.way && r.Server == server {
			times = append(times, r.First)
		}
	}
	return spreadOf(times)
}

func bootTable(runs []bootRun, o Options, servers []string) table {
	t := table{title: "To the first response", head: []string{"app", "way", "server", "time", "÷ Puma"}}
	for _, c := range bootCases(o) {
		puma := bootTimes(runs, c, "puma").Median
		for _, server := range servers {
			times := bootTimes(runs, c, server)
			t.rows = append(t.rows, []string{c.app, c.way, server, times.show(shortTime), twoDecimals(ratio(times.Median, puma))})
		}
	}
	return t
}

func bootWords(runs []bootRun, o Options, servers []string) []string {
	last := bootCases(o)[3]
	return each(servers, func(server string) string {
		return fmt.Sprintf("%s answered %s after a start, with %s for %s.", server, shortTime(bootTimes(runs, last, server).Median), last.way, last.app)
	})
}
