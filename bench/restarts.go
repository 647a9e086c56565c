package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	generator "serval/internal/load"
)

const (
	slowBoot     = 4 // seconds
	steadyFor    = 2 * time.Second
	steadySlice  = 250 * time.Millisecond
	openRate     = 500 // requests a second, of all four open loops together
	closedPause  = 20 * time.Millisecond
	afterRestart = 100 * time.Millisecond // still belongs to the restart
)

// restartRun is a series of restarts of one kind.
type restartRun struct {
	Server      string        `json:"server"`
	Kind        string        `json:"kind"`
	Preload     bool          `json:"preload"`
	Boot        int           `json:"boot_seconds"`
	Restarts    int           `json:"restarts"`
	Problems    []string      `json:"problems"` // restarts that did not do what they should
	Clients     []clientCount `json:"clients"`  // in the order of clientKinds
	Lost        int           `json:"connections_lost"`
	Took        []float64     `json:"took_ms"`
	Silences    []float64     `json:"silences_ms"`        // the longest of each restart
	Stills      []float64     `json:"machine_still_ms"`   // the longest that a processor stood still in each restart
	Quiet       []float64     `json:"steady_silences_ms"` // the longest of each stretch of steadySlice before the first
	Steady      clientTimes   `json:"steady"`
	During      clientTimes   `json:"during"`
	commandLine string
}

// clientCount is how one kind of client fared.
type clientCount struct {
	Sent   int            `json:"sent"`
	Failed int            `json:"failed"`
	Kinds  map[string]int `json:"failures"`
}

// clientTimes are what the open loops saw.
type clientTimes struct {
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Longest float64 `json:"longest_ms"`
	Silence float64 `json:"longest_silence_ms"`
	Outage  float64 `json:"outage_ms"`
	Lag     float64 `json:"sent_late_ms"`
}

type clientKind struct {
	name   string
	keep   bool
	method string
}

// clientKinds are the clients: over connections that stay, or with one for each request.
var clientKinds = []clientKind{
	{"GET, kept", true, "GET"}, {"POST, kept", true, "POST"}, {"GET, one each", false, "GET"}, {"POST, one each", false, "POST"},
}

// restarts performs restarts of all kinds at a server that is under load all the time.
func (b *bench) restarts(ctx context.Context) (finding, error) {
	var runs []restartRun
	var commands []string
	for _, boot := range []int{0, slowBoot} {
		for _, kind := range restartKinds {
			for _, preload := range []bool{false, true} {
				for _, name := range b.pair() {
					if !b.includes(kind, name, preload, boot) || ctx.Err() != nil {
						continue
					}
					run, err := b.restartSeries(ctx, name, kind, preload, boot)
					if err != nil {
						return finding{}, fmt.Errorf("%s, %s: %w", name, kind.name, err)
					}
					b.logf("%s", run)
					runs = append(runs, run)
					commands = append(commands, run.commandLine)
				}
			}
		}
	}
	return finding{
		method:   restartMethod(b.Options),
		words:    each(b.pair(), func(name string) string { return restartWords(name, runs) }),
		tables:   []table{restartFailures(runs), restartTimes(runs)},
		commands: unique(commands),
		raw:      runs,
	}, nil
}

func (b *bench) includes(kind restartKind, server string, preload bool, boot int) bool {
	switch {
	case !slices.Contains(b.Kinds, kind.name), boot > 0 && !kind.slow, kind.only != "" && kind.only != server:
		return false
	case kind.name == "urg" && server == "puma" && preload:
		return false // its fork_worker is another way to preload
	}
	return true
}

// count is how many restarts are performed.
func (o Options) count(server string, boot int) int {
	switch {
	case boot > 0:
		return o.Slow
	case server == "serval":
		return o.Restarts
	}
	return min(o.Restarts, o.Rival)
}

func (b *bench) restartSeries(ctx context.Context, name string, kind restartKind, preload bool, boot int) (restartRun, error) {
	run := restartRun{Server: name, Kind: kind.name, Preload: preload, Boot: boot}
	s, err := b.open(ctx, name, kind, preload, boot)
	if err != nil {
		run.Problems = []string{err.Error()} // a server that cannot do it is a result, too
		run.Clients = make([]clientCount, len(clientKinds))
		return run, ctx.Err()
	}
	defer func() { s.close() }()
	run.commandLine = s.command()
	guard := b.postSentinel()
	defer guard.dismiss()
	clients := sendAll(s.setup.address)
	defer clients.stop()
	if err := pause(ctx, time.Duration(b.Warmup)*time.Second); err != nil {
		return run, err
	}
	steady := generator.Span{From: time.Now(), To: time.Now().Add(steadyFor)}
	// A little longer than it counts: what is asked at its end should have been answered before the first restart.
	if err := pause(ctx, steadyFor+steadySlice); err != nil {
		return run, err
	}
	var spans []generator.Span
	for range b.count(name, boot) {
		began := time.Now()
		err := kind.perform(s, ctx)
		if ctx.Err() != nil {
			break
		}
		if run.Took = append(run.Took, inMilliseconds(time.Since(began))); err == nil {
			err = s.serves(ctx)
		}
		if run.Restarts++; err != nil {
			run.Problems = append(run.Problems, err.Error())
		}
		pause(ctx, afterRestart) // if it is interrupted, so is the loop
		spans = append(spans, generator.Span{From: began, To: time.Now()})
		if err != nil && s.srv.gone() {
			break
		}
	}
	run.Lost = clients.lost()
	clients.stop()
	run.Clients = clients.counts()
	run.Steady, run.During = clients.times(steady), clients.times(spans...)
	run.Silences = clients.silences(spans)
	run.Stills = guard.stills(spans)
	run.Quiet = clients.silences(cut(steady))
	return run, nil
}

// gone reports whether the server's main process has ended.
func (s *server) gone() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// crowd are the clients: for each of clientKinds an open loop and one client that waits for its responses.
type crowd struct{ open, closed []*generator.Load }

func sendAll(address string) crowd {
	check := func(body []byte) error {
		if !strings.HasPrefix(string(body), "release ") {
			return fmt.Errorf("the wrong answer")
		}
		return nil
	}
	var c crowd
	for i, kind := range clientKinds {
		cfg := generator.Config{URL: "http://" + address, Rate: openRate / len(clientKinds), Offset: inTurn(i), KeepAlive: kind.keep,
			Method: kind.method, Timeout: requestTimeout, Check: check}
		if kind.method == "POST" {
			cfg.Body = strings.Repeat("x", 1000)
		}
		c.open = append(c.open, generator.Start(cfg))
		cfg.Clients, cfg.Pause = 1, closedPause
		c.closed = append(c.closed, generator.Start(cfg))
	}
	return c
}

// inTurn is when the i-th of the open loops that share openRate begins: in step, they would send a burst and then nothing for the time of
// so many requests, which would count as silence.
func inTurn(i int) time.Duration { return time.Duration(i) * time.Second / openRate }

func (c crowd) stop() {
	for _, l := range slices.Concat(c.open, c.closed) {
		l.Stop()
	}
}

// lost is how often a client of a closed loop that keeps its connection needed another one.
func (c crowd) lost() int {
	lost := 0
	for i, kind := range clientKinds {
		if kind.keep {
			lost += c.closed[i].Dialled() - 1
		}
	}
	return lost
}

func (c crowd) counts() []clientCount {
	var counts []clientCount
	for i := range clientKinds {
		r := generator.Over([]generator.Span{{}}, c.open[i], c.closed[i])
		counts = append(counts, clientCount{Sent: r.Sent, Failed: r.Failed, Kinds: r.Kinds})
	}
	return counts
}

func (c crowd) times(spans ...generator.Span) clientTimes {
	r := generator.Over(spans, c.open...)
	return clientTimes{P50: inMilliseconds(r.P50), P99: inMilliseconds(r.P99), Longest: inMilliseconds(r.Max),
		Silence: inMilliseconds(r.Silence), Outage: inMilliseconds(r.Outage), Lag: inMilliseconds(r.Lag)}
}

// silences are the longest ones of each span.
func (c crowd) silences(spans []generator.Span) []float64 {
	return each(spans, func(s generator.Span) float64 {
		return inMilliseconds(generator.Over([]generator.Span{s}, c.open...).Silence)
	})
}

// cut cuts a span into pieces that are about as long as a quick restart, to compare with.
func cut(s generator.Span) []generator.Span {
	var pieces []generator.Span
	for from := s.From; from.Before(s.To); from = from.Add(steadySlice) {
		pieces = append(pieces, generator.Span{From: from, To: from.Add(steadySlice)})
	}
	return pieces
}

// sum adds up what the clients did.
func (r restartRun) sum() (sent, failed int) {
	for _, c := range r.Clients {
		sent += c.Sent
		failed += c.Failed
	}
	return sent, failed
}

func (r restartRun) String() string {
	sent, failed := r.sum()
	text := fmt.Sprintf("%-8s %-11s preload %-5t boot %d s: %d restarts in %s, %d of %d failed, silence %s (steady %s), p99 %s (steady %s)", r.Server, r.Kind,
		r.Preload, r.Boot, r.Restarts, shortTime(median(r.Took)), failed, sent, medianAndMost(r.Silences), medianAndMost(r.Quiet),
		shortTime(r.During.P99), shortTime(r.Steady.P99))
	if len(r.Problems) > 0 {
		text += fmt.Sprintf("; %d did not work: %s", len(r.Problems), r.Problems[0])
	}
	return text
}

// label are the cells that say which series a row is about.
func (r restartRun) label() []string {
	yes := map[bool]string{true: "yes", false: "no"}
	return []string{r.Kind, yes[r.Preload], fmt.Sprintf("%d s", r.Boot), r.Server, whole(float64(r.Restarts))}
}

var restartHead = []string{"restart", "preload", "boot", "server", "times"}

func restartFailures(runs []restartRun) table {
	t := table{
		title: "Failed requests of all",
		head:  append(slices.Clone(restartHead), each(clientKinds, func(k clientKind) string { return k.name })...),
		notes: []string{"Connections lost: how often a client that keeps its connection found it closed. Not served: restarts after which the answers were not " +
			"those of what was deployed, or that the server did not carry out."},
	}
	t.head = append(t.head, "connections lost", "not served")
	for _, r := range runs {
		row := r.label()
		for _, c := range r.Clients {
			row = append(row, whole(float64(c.Failed))+" / "+whole(float64(c.Sent)))
		}
		t.rows = append(t.rows, append(row, whole(float64(r.Lost)), whole(float64(len(r.Problems)))))
	}
	return t
}

func restartTimes(runs []restartRun) table {
	t := table{
		title: "Times",
		head: append(slices.Clone(restartHead), "silence of a restart", "machine still", "steady", "outage each", "p99 during", "steady", "÷", "longest request", "sent late",
			"a restart took"),
		notes: []string{fmt.Sprintf("Silence is the longest time without an answer to %d requests a second: the median of all restarts and, in brackets, the worst; beside it "+
			"that of stretches of %v before the first restart. Outage is all silence past %v, for each restart: no longer than that was any time without a worker "+
			"that was ready. Machine still is how long one of the processors did nothing for anybody meanwhile, not even for a thread that "+
			"goes before all others. What was sent late was the waiting of the load generator, which goes first, for a processor.", openRate, steadySlice, generator.OutageFrom)},
	}
	for _, r := range runs {
		t.rows = append(t.rows, append(r.label(), medianAndMost(r.Silences), medianAndMost(r.Stills), medianAndMost(r.Quiet),
			shortTime(ratio(r.During.Outage, float64(r.Restarts))), shortTime(r.During.P99), shortTime(r.Steady.P99),
			twoDecimals(ratio(r.During.P99, r.Steady.P99)), shortTime(r.During.Longest), shortTime(r.During.Lag), shortTime(median(r.Took))))
	}
	return t
}

func medianAndMost(values []float64) string {
	s := spreadOf(values)
	if len(values) < 2 {
		return shortTime(s.Median)
	}
	return shortTime(s.Median) + " (" + shortTime(s.Most) + ")"
}

// restartWords sums up a server, with the kills apart: those may fail what cannot be repeated.
func restartWords(name string, runs []restartRun) string {
	var restarts, sent, failed, lost, killed int
	var silence float64
	for _, r := range runs {
		if r.Server != name {
			continue
		}
		s, f := r.sum()
		if r.Kind == "kill" {
			killed += f
			continue
		}
		restarts += r.Restarts
		sent += s
		failed += f
		lost += r.Lost
		silence = max(silence, r.During.Silence)
	}
	return fmt.Sprintf("%s: %s restarts, %s of %s requests failed, %s kept connections were lost, the longest silence was %s; killed workers failed %s more.", name,
		whole(float64(restarts)), whole(float64(failed)), whole(float64(sent)), whole(float64(lost)), shortTime(silence), whole(float64(killed)))
}

func restartMethod(o Options) []string {
	method := []string{
		fmt.Sprintf("Each row is one server with %d workers of %d threads, started afresh and under load from the first to the last restart: %d requests a second in an open "+
			"loop, a quarter from each kind of client in turn, whatever becomes of those before; and one more client of each kind that sends its next request %v after the "+
			"response. Kept: over connections that stay. One each: a connection for each request. A POST brings 1,000 bytes. No request is ever repeated by a client.",
			o.Workers, o.Threads, openRate, closedPause),
		fmt.Sprintf("A restart begins with a new release beside the old one, to which the link `current` is moved, and is over when the server says so, and %v later. Then "+
			"the answers have to be those of the new release, of the new environment, of the new gem. Load generator and servers share the machine.", afterRestart),
	}
	for _, k := range restartKinds {
		if slices.Contains(o.Kinds, k.name) {
			method = append(method, fmt.Sprintf("`%s`: %s.", k.name, k.about))
		}
	}
	return append(method, fmt.Sprintf("A broken release is mended after %v: Serval went on with the old one, and the link is moved back. Puma went over to it, so that the "+
		"file is put right; where Puma ended, it is started again.", fixingTakes))
}
