package main

import (
	"context"
	"fmt"
	"slices"
)

const (
	memoryWorkers  = 4
	memoryRequests = 400
	railsApp       = "examples/rails"
)

// memoryRun is what one start of a server holds after it has answered.
type memoryRun struct {
	Server    string    `json:"server"`
	Round     int       `json:"round"`
	Front     float64   `json:"front_pss_kib"`
	All       float64   `json:"all_pss_kib"`
	Processes []float64 `json:"processes_pss_kib"` // the front first
	command   string
}

// memory adds up what the processes of a server hold, of the example for Rails, with preload and four workers.
func (b *bench) memory(ctx context.Context) (finding, error) {
	var runs []memoryRun
	var commands []string
	for round := 1; round <= b.Rounds; round++ {
		for _, name := range b.pair() {
			run, err := b.memoryServer(ctx, name)
			if err != nil {
				return finding{}, fmt.Errorf("%s: %w", name, err)
			}
			run.Round = round
			b.logf("%-8s %s MiB in %d processes, %s of them in the front", name, oneDecimal(run.All/1024), len(run.Processes), oneDecimal(run.Front/1024))
			runs = append(runs, run)
			commands = append(commands, run.command)
		}
	}
	return finding{
		method: []string{fmt.Sprintf("A fresh server with %d workers of %d threads serves %s with --preload in production, answers %d requests, one after the other, each on a "+
			"connection of its own, and is looked at. PSS is the sum over all its processes, so that a page which n of them share counts 1/n in each. Rounds: %d.",
			memoryWorkers, b.Threads, railsApp, memoryRequests, b.Rounds)},
		words:    memoryWords(runs, b.pair()),
		tables:   []table{memoryTable(runs, b.pair())},
		commands: unique(commands),
		raw:      runs,
	}, nil
}

func (b *bench) memoryServer(ctx context.Context, name string) (memoryRun, error) {
	srv, err := b.start(ctx, name, railsSetup(b.Threads, memoryWorkers, true), "/")
	if err != nil {
		return memoryRun{}, err
	}
	defer srv.stop()
	for range memoryRequests {
		if _, err := get(ctx, srv.address, "/"); err != nil {
			return memoryRun{}, err
		}
	}
	run := memoryRun{Server: name, command: srv.command, Front: memoryOf(srv.front()).PSS}
	for _, pid := range append([]int{srv.front()}, descendants(srv.front())...) {
		pss := memoryOf(pid).PSS
		run.Processes = append(run.Processes, pss)
		run.All += pss
	}
	return run, nil
}

// railsSetup serves the example for Rails.
func railsSetup(threads, workers int, preload bool) setup {
	s := setup{dir: railsApp, workers: workers, threads: threads, env: []string{"RAILS_ENV=production", "SECRET_KEY_BASE=not-secret", "RAILS_LOG_TO_STDOUT=1"}}
	if preload {
		s.flags = []string{"--preload"}
	}
	return s
}

func memoryRuns(runs []memoryRun, server string) []memoryRun {
	return slices.DeleteFunc(slices.Clone(runs), func(r memoryRun) bool { return r.Server != server })
}

func allMiB(r memoryRun) float64 { return r.All / 1024 }

func memoryTable(runs []memoryRun, servers []string) table {
	t := table{title: "PSS of all processes", head: []string{"server", "MiB", "of these the front", "processes", "÷ Puma"}}
	puma := spreadOf(each(memoryRuns(runs, "puma"), allMiB)).Median
	for _, server := range servers {
		own := memoryRuns(runs, server)
		all := spreadOf(each(own, allMiB))
		t.rows = append(t.rows, []string{server, all.show(oneDecimal), spreadOf(each(own, func(r memoryRun) float64 { return r.Front / 1024 })).show(oneDecimal),
			spreadOf(each(own, func(r memoryRun) float64 { return float64(len(r.Processes)) })).show(whole), twoDecimals(ratio(all.Median, puma))})
	}
	return t
}

func memoryWords(runs []memoryRun, servers []string) []string {
	return each(servers, func(server string) string {
		return fmt.Sprintf("%s with %d preloaded workers of a Rails app holds %s MiB.", server, memoryWorkers,
			spreadOf(each(memoryRuns(runs, server), allMiB)).show(oneDecimal))
	})
}
