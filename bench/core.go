package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// cell is one measurement of core: one server under one load with so many connections, in one round.
type cell struct {
	Load        string  `json:"load"`
	Connections int     `json:"connections"`
	Server      string  `json:"server"`
	Round       int     `json:"round"`
	CPU         cpu     `json:"cpu_us_per_request"`
	PSS         float64 `json:"pss_kib"` // of all processes, after the measurement
	result
}

// core measures all servers under all loads. In each round the servers take turns under each load, so that what the
// machine does besides falls on all of them.
func (b *bench) core(ctx context.Context) (finding, error) {
	var cells []cell
	var commands, refused []string
	for round := 1; round <= b.Rounds; round++ {
		for _, name := range b.Loads {
			for _, server := range b.Servers {
				measured, used, err := b.measure(ctx, loadNamed(name), server)
				if ctx.Err() == nil && isRefusal(server, err) {
					b.logf("%-8s %v", name, err)
					refused = append(refused, refusal(server, name))
					continue
				}
				if err != nil {
					return finding{}, err
				}
				for _, c := range measured {
					c.Round = round
					cells = append(cells, c)
				}
				commands = append(commands, used...)
			}
		}
	}
	return finding{
		method:   coreMethod(b.Options),
		words:    append(coreWords(cells, b.Options), unique(refused)...),
		tables:   coreTables(cells, b.Options),
		charts:   coreCharts(cells, b.Options),
		commands: unique(commands),
		raw:      cells,
	}, nil
}

// isRefusal reports whether the error is a peer's that does not serve an app. The others are measured all the same.
func isRefusal(server string, err error) bool {
	return server != "serval" && errors.As(err, new(bootError))
}

func refusal(server, load string) string { return fmt.Sprintf("%s did not serve %s.", server, load) }

// measure starts one server and runs wrk against it with each number of connections.
func (b *bench) measure(ctx context.Context, l load, name string) ([]cell, []string, error) {
	s := setup{app: l.app, workers: b.Workers, threads: b.Threads}
	if l.alone {
		s.workers, s.threads = 1, 1
	}
	srv, err := b.start(ctx, name, s, l.path)
	if err != nil {
		return nil, nil, err
	}
	defer srv.stop()
	var cells []cell
	for _, connections := range b.connectionsOf(l) {
		w := b.wrk(srv, l, connections)
		r, used, err := b.warmThenRun(ctx, srv, w)
		if err != nil {
			return nil, nil, err
		}
		_, all := srv.memory()
		b.logf("%-8s %4d connections  %-9s %9s requests/s  p50 %s  p99 %s  %s µs CPU  %s MiB  failures %d", l.name, connections, name, whole(r.Rate),
			shortTime(r.P50), shortTime(r.P99), whole(used.sum()), whole(all.PSS/1024), r.Failures.sum())
		cells = append(cells, cell{Load: l.name, Connections: connections, Server: name, CPU: used, PSS: all.PSS, result: r})
	}
	return cells, []string{srv.command, b.wrkCommand(l, b.connectionsOf(l)...)}, nil
}

// wrk is the load generator set up for a server and a load.
func (b *bench) wrk(srv *server, l load, connections int) wrk {
	return wrk{threads: b.WrkThreads, connections: connections, seconds: b.Seconds, headers: l.headers, script: l.script,
		url: "http://" + srv.address + l.path}
}

// wrkCommand is the command line of wrk as one would type it, with the other numbers of connections behind.
func (b *bench) wrkCommand(l load, connections ...int) string {
	command := b.wrk(&server{address: "127.0.0.1:PORT"}, l, connections[0]).command()
	for _, n := range connections[1:] {
		command += fmt.Sprintf(" # and -c %d", n)
	}
	return command
}

// warmThenRun runs wrk twice and throws the first seconds away: Ruby's caches fill and connections get their buffers.
func (b *bench) warmThenRun(ctx context.Context, srv *server, w wrk) (result, cpu, error) {
	warm := w
	warm.seconds = b.Warmup
	if _, err := warm.run(ctx); err != nil {
		return result{}, cpu{}, err
	}
	meter := srv.startMeter()
	r, err := w.run(ctx)
	return r, meter.used().perRequest(r.Requests), err
}

// group is all rounds of one load, number of connections and server.
type group struct {
	rate     spread
	p50, p99 float64
	cpu      cpu
	pss      float64 // KiB
	requests int
	failures failures
}

// fails reports whether more than a hundredth of the requests failed.
func (g group) fails() bool { return g.failures.sum()*100 > g.requests }

// unlessFails is a figure of the group, or 0.
func (g group) unlessFails(figure func(group) float64) float64 {
	if g.fails() {
		return 0
	}
	return figure(g)
}

// show writes something about the group, if it was measured.
func (g group) show(format func(group) string) string {
	switch {
	case g.requests == 0:
		return "–"
	case g.fails():
		return format(g) + " (fails)"
	}
	return format(g)
}

func groupOf(cells []cell, load string, connections int, server string) group {
	var rounds []cell
	for _, c := range cells {
		if c.Load == load && c.Connections == connections && c.Server == server {
			rounds = append(rounds, c)
		}
	}
	g := group{
		rate: spreadOf(each(rounds, func(c cell) float64 { return c.Rate })),
		p50:  median(each(rounds, func(c cell) float64 { return c.P50 })),
		p99:  median(each(rounds, func(c cell) float64 { return c.P99 })),
		cpu: cpu{
			Front:   median(each(rounds, func(c cell) float64 { return c.CPU.Front })),
			Workers: median(each(rounds, func(c cell) float64 { return c.CPU.Workers })),
		},
		pss: median(each(rounds, func(c cell) float64 { return c.PSS })),
	}
	for _, c := range rounds {
		g.failures = g.failures.plus(c.Failures)
		g.requests += c.Requests
	}
	return g
}

func coreTables(cells []cell, o Options) []table {
	tables := each(o.Loads, func(name string) table { return rateTable(cells, o, loadNamed(name)) })
	return append(tables, latencyTable(cells, o), cpuTable(cells, o), memoryOfAllTable(cells, o), failureTable(cells, o))
}

// rateTable shows the throughput under one load.
func rateTable(cells []cell, o Options, l load) table {
	t := table{title: l.name, notes: []string{l.about + ". Requests per second."}, head: slices.Concat([]string{"connections"}, o.Servers, o.comparisonHead("fastest"))}
	for _, connections := range o.connectionsOf(l) {
		row := []string{whole(float64(connections))}
		for _, server := range o.Servers {
			row = append(row, groupOf(cells, l.name, connections, server).show(func(g group) string { return g.rate.show(whole) }))
		}
		t.rows = append(t.rows, append(row, o.comparison(slices.Max, rateOf(cells, l.name, connections))...))
	}
	return t
}

// rateOf is a server's median throughput; 0 if it failed more than a hundredth of the requests, since to fail may be quick.
func rateOf(cells []cell, load string, connections int) func(server string) float64 {
	return func(server string) float64 {
		return groupOf(cells, load, connections, server).unlessFails(func(g group) float64 { return g.rate.Median })
	}
}

// costOf is what a server's requests cost, in microseconds of CPU; 0 as for rateOf.
func costOf(cells []cell, load string, connections int) func(server string) float64 {
	return func(server string) float64 {
		return groupOf(cells, load, connections, server).unlessFails(func(g group) float64 { return g.cpu.sum() })
	}
}

// coreCharts draw the throughput and the CPU time as multiples of Puma's.
func coreCharts(cells []cell, o Options) []chart {
	note := fmt.Sprintf("As multiples of puma's, load by load with the number of connections: %%s is better. %d workers, %d threads each.", o.Workers, o.Threads)
	rates := chart{title: "Requests per second", note: fmt.Sprintf(note, "longer"), servers: o.Servers}
	costs := chart{name: "cpu", title: "CPU time of a request", note: fmt.Sprintf(note, "shorter"), servers: o.Servers}
	for _, name := range o.Loads {
		for _, connections := range o.connectionsOf(loadNamed(name)) {
			label := fmt.Sprintf("%s, %d", name, connections)
			rates.groups = append(rates.groups, o.barGroup(label, rateOf(cells, name, connections), func(rate float64) string { return whole(rate) + "/s" }))
			costs.groups = append(costs.groups, o.barGroup(label, costOf(cells, name, connections), func(cost float64) string { return whole(cost) + " µs" }))
		}
	}
	return []chart{rates, costs}
}

// latencyTable shows how long half and how long 99 % of the requests took at most.
func latencyTable(cells []cell, o Options) table {
	return groupTable(cells, o, "Latency", "p50 / p99, medians of the rounds, as wrk saw it.", func(g group) string {
		return shortTime(g.p50) + " / " + shortTime(g.p99)
	}, nil)
}

// cpuTable shows what a request costs.
func cpuTable(cells []cell, o Options) table {
	note := "Microseconds of CPU for a request, in the front + in the workers; medians of the rounds. The front of Serval, Passenger and Thruster speaks HTTP; that of the " +
		"others is their master, which serves nothing, except Agoo's, which is also its first worker."
	return groupTable(cells, o, "CPU", note, func(g group) string { return whole(g.cpu.Front) + " + " + whole(g.cpu.Workers) },
		func(g group) float64 { return g.cpu.sum() })
}

// memoryOfAllTable shows what the servers hold.
func memoryOfAllTable(cells []cell, o Options) table {
	return groupTable(cells, o, "Memory", "PSS of all processes of a server after the load, in MiB; medians of the rounds.", func(g group) string { return oneDecimal(g.pss / 1024) },
		func(g group) float64 { return g.pss })
}

// groupTable shows something about every load, number of connections and server. What is to be low is compared, too.
func groupTable(cells []cell, o Options, title, note string, show func(group) string, low func(group) float64) table {
	t := table{title: title, notes: []string{note}, head: append([]string{"load, connections"}, o.Servers...)}
	if low != nil {
		t.head = append(t.head, o.comparisonHead("least")...)
	}
	for _, name := range o.Loads {
		for _, connections := range o.connectionsOf(loadNamed(name)) {
			row := []string{fmt.Sprintf("%s, %d", name, connections)}
			for _, server := range o.Servers {
				row = append(row, groupOf(cells, name, connections, server).show(show))
			}
			if low != nil {
				row = append(row, o.comparison(slices.Min, func(server string) float64 { return groupOf(cells, name, connections, server).unlessFails(low) })...)
			}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// failureTable shows what went wrong, over all rounds.
func failureTable(cells []cell, o Options) table {
	t := table{title: "Failures", head: []string{"server", "requests", "connect", "read", "write", "timeout", "not 2xx or 3xx"}}
	for _, server := range o.Servers {
		var f failures
		requests := 0
		for _, c := range cells {
			if c.Server == server {
				requests += c.Requests
				f = f.plus(c.Failures)
			}
		}
		counts := each([]int{requests, f.Connect, f.Read, f.Write, f.Timeout, f.Status}, func(n int) string { return whole(float64(n)) })
		t.rows = append(t.rows, append([]string{server}, counts...))
	}
	return t
}

// coreWords says for each load how Serval compares, from its worst to its best number of connections.
func coreWords(cells []cell, o Options) []string {
	var words []string
	for _, name := range o.Loads {
		if len(o.rivals()) == 0 {
			break
		}
		numbers := o.connectionsOf(loadNamed(name))
		against := func(rival func(rate func(string) float64) float64) string {
			return fromTo(each(numbers, func(n int) float64 { rate := rateOf(cells, name, n); return ratio(rate("serval"), rival(rate)) }))
		}
		parts := each(o.references(), func(reference string) string {
			return against(func(rate func(string) float64) float64 { return rate(reference) }) + " times as many requests as " + reference
		})
		if len(o.rivals()) > 1 {
			parts = append(parts, against(func(rate func(string) float64) float64 { return slices.Max(each(o.rivals(), rate)) })+" times as many as the fastest of the others")
		}
		words = append(words, fmt.Sprintf("%s: serval answered %s.", name, strings.Join(parts, ", ")))
	}
	for _, server := range o.Servers {
		failed := 0
		for _, c := range cells {
			if c.Server == server {
				failed += c.Failures.sum()
			}
		}
		if failed > 0 {
			words = append(words, fmt.Sprintf("%s failed to answer %s requests well: see Failures.", server, whole(float64(failed))))
		}
	}
	return words
}

// fromTo writes the least and the most of some ratios, once if they look the same.
func fromTo(ratios []float64) string {
	least, most := twoDecimals(slices.Min(ratios)), twoDecimals(slices.Max(ratios))
	if least == most {
		return least
	}
	return least + " to " + most
}

func coreMethod(o Options) []string {
	method := []string{
		fmt.Sprintf("Rounds: %d. In each, every server is started for every load, warmed up for %d s and measured by wrk for %d s at each number "+
			"of connections, then stopped; the servers take turns (%s, and again). Figures are medians, with the least and the most in parentheses.",
			o.Rounds, o.Warmup, o.Seconds, strings.Join(o.Servers, ", ")),
		"wrk runs on the same machine and takes its share of the CPU. Nothing is logged per request.",
	}
	return append(method, o.aboutPeers()...)
}

// unique keeps the first of equal lines.
func unique(lines []string) []string {
	var kept []string
	for _, line := range lines {
		if !slices.Contains(kept, line) {
			kept = append(kept, line)
		}
	}
	return kept
}
