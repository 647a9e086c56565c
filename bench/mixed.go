package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	generator "serval/internal/load"
)

const (
	shortRate        = 200 // short requests a second, in an open loop
	shortConnections = 64  // over which hello goes in turn
	shortTimeout     = 5 * time.Second
)

// mix is what short requests meet.
type mix struct {
	name    string
	about   string
	app     string
	beside  string              // path of what is asked beside them; empty: nothing, but at half of Puma's peak
	clients func(o Options) int // how many of those are under way all the time
	key     float64             // the percentile that counts: 99 or 99.9
}

// mixes are what mixed measures.
var mixes = []mix{
	{name: "cpu", about: "Short requests beside others that compute for 20 ms, as many as there are cores all the time", app: mixedApp,
		beside: "/cpu", clients: perCore(1), key: 99},
	{name: "cpu-crowd", about: "The same beside three for each core", app: mixedApp,
		beside: "/cpu", clients: perCore(3), key: 99},
	{name: "sleep", about: "Short requests beside others that sleep for 100 ms, half as many as there are threads", app: mixedApp,
		beside: "/sleep", clients: func(o Options) int { return max(1, o.Workers*o.Threads/2) }, key: 99},
	{name: "sleep-crowd", about: "The same beside twice as many as there are threads", app: mixedApp,
		beside: "/sleep", clients: func(o Options) int { return 2 * o.Workers * o.Threads }, key: 99},
	{name: "half", about: "Hello and nothing else, at half of what Puma answers at most", app: "bench/apps/hello.ru", key: 99.9},
}

const mixedApp = "bench/apps/mixed.ru"

func perCore(n int) func(Options) int { return func(Options) int { return n * runtime.NumCPU() } }

func mixNames() []string { return each(mixes, func(m mix) string { return m.name }) }

// chosenMixes are those that are measured, in the order of mixes.
func (o Options) chosenMixes() []mix {
	return slices.DeleteFunc(slices.Clone(mixes), func(m mix) bool { return !slices.Contains(o.Mixes, m.name) })
}

// figure is what counts of a run.
func (m mix) figure(r mixRun) float64 {
	if m.key == 99 {
		return r.P99
	}
	return r.P999
}

// mixRun is one server under one mix, in one round.
type mixRun struct {
	Mix          string         `json:"mix"`
	Server       string         `json:"server"`
	Round        int            `json:"round"`
	Rate         float64        `json:"asked_per_second"`
	Sent         int            `json:"requests"`
	Failed       int            `json:"failed"`
	Kinds        map[string]int `json:"failures"`
	P50          float64        `json:"p50_ms"`
	P99          float64        `json:"p99_ms"`
	P999         float64        `json:"p99_9_ms"`
	Longest      float64        `json:"longest_ms"`
	Late         float64        `json:"sent_late_ms"` // at most
	Beside       float64        `json:"beside_per_second"`
	BesideFailed int            `json:"beside_failed"`
	CPU          cpu            `json:"cpu_us_per_request"` // of both kinds
	PSS          float64        `json:"pss_kib"`
	command      string
}

// mixed measures how long short requests take beside others, and alone at a rate that leaves room.
func (b *bench) mixed(ctx context.Context) (finding, error) {
	var runs []mixRun
	var refused []string
	for round := 1; round <= b.Rounds; round++ {
		for _, m := range b.chosenMixes() {
			rate, err := b.rateOf(ctx, m)
			if err != nil {
				return finding{}, err
			}
			for _, name := range b.threaded() {
				run, err := b.mix(ctx, m, name, round, rate)
				if ctx.Err() == nil && isRefusal(name, err) {
					b.logf("%-11s %v", m.name, err)
					refused = append(refused, refusal(name, m.name))
					continue
				}
				if err != nil {
					return finding{}, fmt.Errorf("%s, %s: %w", m.name, name, err)
				}
				b.logf("%s", run)
				runs = append(runs, run)
			}
		}
	}
	return finding{
		method:   mixedMethod(b.Options),
		words:    append(mixedWords(runs, b.Options), unique(refused)...),
		tables:   mixedTables(runs, b.Options),
		charts:   []chart{mixedChart(runs, b.Options)},
		commands: unique(each(runs, func(r mixRun) string { return r.command })),
		raw:      runs,
	}, nil
}

// rateOf is how many short requests a second are sent. Where it goes by Puma's peak, that is found out first.
func (b *bench) rateOf(ctx context.Context, m mix) (float64, error) {
	switch {
	case m.beside != "":
		return shortRate, nil
	case b.HalfRate > 0:
		return float64(b.HalfRate), nil
	}
	l := loadNamed("hello")
	srv, err := b.start(ctx, "puma", setup{app: l.app, workers: b.Workers, threads: b.Threads}, l.path)
	if err != nil {
		return 0, err
	}
	defer srv.stop()
	r, _, err := b.warmThenRun(ctx, srv, b.wrk(srv, l, shortConnections))
	b.logf("%-11s puma answers %s requests/s at most", m.name, whole(r.Rate))
	return r.Rate / 2, err
}

// mix starts a server and measures it under one mix.
func (b *bench) mix(ctx context.Context, m mix, name string, round int, rate float64) (mixRun, error) {
	run := mixRun{Mix: m.name, Server: name, Round: round, Rate: rate}
	srv, err := b.start(ctx, name, setup{app: m.app, workers: b.Workers, threads: b.Threads}, "/")
	if err != nil {
		return run, err
	}
	defer srv.stop()
	run.command = srv.command
	url := "http://" + srv.address
	// The same seed for all servers of a round: their requests come at the same times.
	cfg := generator.Config{URL: url, Rate: int(rate), Seed: uint64(round), Timeout: shortTimeout}
	if m.beside == "" {
		cfg.KeepAlive, cfg.Spread = true, shortConnections
	}
	short := generator.Start(cfg)
	loads := append(besides(url, m, b.Options), short)
	stop := func() {
		for _, l := range loads {
			l.Stop()
		}
	}
	defer stop()
	if err := pause(ctx, time.Duration(b.Warmup)*time.Second); err != nil {
		return run, err
	}
	meter := srv.startMeter()
	span := generator.Span{From: time.Now()}
	if err := pause(ctx, time.Duration(b.Seconds)*time.Second); err != nil {
		return run, err
	}
	span.To = time.Now()
	used := meter.used()
	_, all := srv.memory()
	stop()
	run.take(generator.Over([]generator.Span{span}, short))
	others := generator.Over([]generator.Span{span}, loads[:len(loads)-1]...)
	run.Beside = float64(others.Sent-others.Failed) / span.To.Sub(span.From).Seconds()
	run.BesideFailed = others.Failed
	run.CPU, run.PSS = used.perRequest(run.Sent+others.Sent), all.PSS
	return run, nil
}

// besides asks for what the short requests are to meet.
func besides(url string, m mix, o Options) []*generator.Load {
	if m.beside == "" {
		return nil
	}
	return []*generator.Load{generator.Start(generator.Config{URL: url, Path: m.beside, Clients: m.clients(o), Timeout: requestTimeout})}
}

// take takes over what the generator saw of the short requests. One that was not answered counts as one that took until it was
// given up: to leave it out would make a server the faster the more it fails.
func (r *mixRun) take(seen generator.Report) {
	waits := each(seen.Waits, inMilliseconds)
	for range seen.Failed {
		waits = append(waits, inMilliseconds(shortTimeout))
	}
	r.Sent, r.Failed, r.Kinds, r.Late = seen.Sent, seen.Failed, seen.Kinds, inMilliseconds(seen.Lag)
	r.P50, r.P99, r.P999, r.Longest = percentile(waits, 50), percentile(waits, 99), percentile(waits, 99.9), percentile(waits, 100)
}

func (r mixRun) String() string {
	return fmt.Sprintf("%-11s %-10s p50 %s  p99 %s  p99.9 %s  longest %s  beside %s/s  %s µs CPU  %s MiB  failures %d", r.Mix, r.Server, shortTime(r.P50),
		shortTime(r.P99), shortTime(r.P999), shortTime(r.Longest), whole(r.Beside), whole(r.CPU.sum()), whole(r.PSS/1024), r.Failed)
}

// mixRuns are all rounds of one server under one mix.
func mixRuns(runs []mixRun, mix, server string) []mixRun {
	return slices.DeleteFunc(slices.Clone(runs), func(r mixRun) bool { return r.Mix != mix || r.Server != server })
}

// mixFigure is the median of what counts of one server under one mix.
func mixFigure(runs []mixRun, m mix, server string) float64 {
	return median(each(mixRuns(runs, m.name, server), m.figure))
}

func mixedTables(runs []mixRun, o Options) []table {
	return each(o.chosenMixes(), func(m mix) table { return mixedTable(runs, m, o) })
}

// mixColumn is a column of a mix's table: what it says of the rounds of one server.
type mixColumn struct {
	title string
	show  func(rounds []mixRun) string
}

var mixColumns = []mixColumn{
	{"p50", medianOf(shortTime, func(r mixRun) float64 { return r.P50 })},
	{"p99", medianOf(shortTime, func(r mixRun) float64 { return r.P99 })},
	{"p99.9", medianOf(shortTime, func(r mixRun) float64 { return r.P999 })},
	{"longest", mostOf(shortTime, func(r mixRun) float64 { return r.Longest })},
	{"sent late", mostOf(shortTime, func(r mixRun) float64 { return r.Late })},
	{"failed", sumOf(func(r mixRun) int { return r.Failed })},
	{"beside, a second", medianOf(whole, func(r mixRun) float64 { return r.Beside })},
	{"failed beside", sumOf(func(r mixRun) int { return r.BesideFailed })},
	{"CPU, µs", medianOf(whole, func(r mixRun) float64 { return r.CPU.sum() })},
	{"PSS, MiB", medianOf(whole, func(r mixRun) float64 { return r.PSS / 1024 })},
}

func medianOf(format func(float64) string, of func(mixRun) float64) func([]mixRun) string {
	return func(rounds []mixRun) string { return spreadOf(each(rounds, of)).show(format) }
}

func mostOf(format func(float64) string, of func(mixRun) float64) func([]mixRun) string {
	return func(rounds []mixRun) string { return format(spreadOf(each(rounds, of)).Most) }
}

func sumOf(of func(mixRun) int) func([]mixRun) string {
	return func(rounds []mixRun) string {
		sum := 0
		for _, r := range rounds {
			sum += of(r)
		}
		return whole(float64(sum))
	}
}

// mixedTable shows one mix, a server in each row, and what counts of each as a part of Puma's.
func mixedTable(runs []mixRun, m mix, o Options) table {
	t := table{title: m.name, notes: []string{mixedNote(runs, m, o)}, head: []string{"server"}}
	for _, column := range mixColumns {
		t.head = append(t.head, column.title)
	}
	t.head = append(t.head, fmt.Sprintf("p%g ÷ puma", m.key))
	puma := mixFigure(runs, m, "puma")
	for _, server := range o.threaded() {
		row := []string{server}
		for _, column := range mixColumns {
			row = append(row, column.show(mixRuns(runs, m.name, server)))
		}
		t.rows = append(t.rows, append(row, twoDecimals(ratio(mixFigure(runs, m, server), puma))))
	}
	return t
}

// mixedChart draws what counts of each mix.
func mixedChart(runs []mixRun, o Options) chart {
	o.Servers = o.threaded()
	c := chart{title: "How long short requests take", note: "p99 (of half p99.9) as multiples of puma's, mix by mix: shorter is better.", servers: o.Servers}
	for _, m := range o.chosenMixes() {
		c.groups = append(c.groups, o.barGroup(m.name, func(server string) float64 { return mixFigure(runs, m, server) }, shortTime))
	}
	return c
}

func mixedNote(runs []mixRun, m mix, o Options) string {
	if m.beside == "" {
		rates := each(slices.DeleteFunc(slices.Clone(runs), func(r mixRun) bool { return r.Mix != m.name }), func(r mixRun) float64 { return r.Rate })
		return fmt.Sprintf("%s: %s requests a second.", m.about, spreadOf(rates).show(whole))
	}
	return fmt.Sprintf("%s (%d clients): %d requests a second.", m.about, m.clients(o), shortRate)
}

// mixedWords says of each mix how Serval compares with Puma and with the best of the others.
func mixedWords(runs []mixRun, o Options) []string {
	rivals := Options{Servers: o.threaded()}.rivals()
	if len(rivals) == 0 {
		return nil
	}
	var words []string
	for _, m := range o.chosenMixes() {
		own := mixFigure(runs, m, "serval")
		measured := slices.DeleteFunc(slices.Clone(rivals), func(name string) bool { return mixFigure(runs, m, name) == 0 })
		if len(measured) == 0 {
			continue
		}
		lowest := slices.MinFunc(measured, func(a, b string) int { return cmp.Compare(mixFigure(runs, m, a), mixFigure(runs, m, b)) })
		of := func(rival string) string {
			return fmt.Sprintf("%s of %s's (%s)", twoDecimals(ratio(own, mixFigure(runs, m, rival))), rival, shortTime(mixFigure(runs, m, rival)))
		}
		sentence := fmt.Sprintf("%s: serval's p%g is %s", m.name, m.key, shortTime(own))
		if slices.Contains(measured, "puma") {
			sentence += ", " + of("puma")
		}
		if lowest != "puma" {
			sentence += ", " + of(lowest) + ", the lowest of the others"
		}
		words = append(words, sentence+".")
	}
	return words
}

func mixedMethod(o Options) []string {
	return append([]string{
		fmt.Sprintf("In each of %d rounds every server is started for every mix, has %d s to warm up and is measured for %d s; the servers take turns (%s, and again). Figures are "+
			"medians of the rounds, with the least and the most in parentheses; longest and sent late are the most of all rounds, failed is their sum.",
			o.Rounds, o.Warmup, o.Seconds, strings.Join(o.threaded(), ", ")),
		fmt.Sprintf("Short requests come at random, independently of each other and of the responses (an open loop), at the same times for each server. A request takes from the "+
			"time it was due: one that had to be sent late has waited, too. One that is not answered within %v has failed, and counts as one that took so long.", shortTimeout),
		fmt.Sprintf("What is asked beside them comes from clients that each ask again when they have their response. All these have a connection for each request, short or not, since over "+
			"kept ones it would be chance which worker has them (and a thread of Puma 5 rests for 0.2 s with a connection that may bring another request). Hello at half of the peak goes "+
			"over %d kept connections in turn; a request waits for a free one.", shortConnections),
		"Sent late is the most that the load generator itself was late, waiting for a processor: it shares the machine with the servers. CPU is that of the front + the workers, " +
			"divided by all requests; PSS is that of all processes of the server after the measurement.",
	}, Options{Servers: o.threaded()}.aboutPeers()...)
}
