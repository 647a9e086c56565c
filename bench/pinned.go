package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	pinnedRepeats  = 5
	pinnedRequests = 200
	pinnedSlow     = 5 * time.Second
	waited         = 1000.0 // milliseconds; a fast request that took longer has been waiting for the slow one
)

// pinnedRun is one repetition: what 200 fast requests took while a slow one was in flight.
type pinnedRun struct {
	Server  string    `json:"server"`
	Clients int       `json:"clients"`
	Repeat  int       `json:"repeat"`
	Times   []float64 `json:"times_ms"`
}

// pinned asks two workers of one thread each for something that takes five seconds, and meanwhile for 200 small things:
// one after another, then from four clients at once. One worker stays free, so none of the 200 has a reason to wait.
func (b *bench) pinned(ctx context.Context) (finding, error) {
	var runs []pinnedRun
	var commands []string
	for _, name := range b.pair() {
		found, command, err := b.pinnedServer(ctx, name)
		if err != nil {
			return finding{}, err
		}
		runs = append(runs, found...)
		commands = append(commands, command)
	}
	return finding{
		method: []string{fmt.Sprintf("Two workers with one thread each. A request that sleeps for %v is sent; 0.2 s later %d fast ones follow, each over a "+
			"connection of its own: one after another, or from four clients at once, 50 each. %d repetitions of both.", pinnedSlow, pinnedRequests, pinnedRepeats)},
		words:    pinnedWords(runs, b.pair()),
		tables:   []table{pinnedTable(runs, b.pair())},
		commands: commands,
		raw:      runs,
	}, nil
}

func (b *bench) pinnedServer(ctx context.Context, name string) ([]pinnedRun, string, error) {
	srv, err := b.start(ctx, name, setup{app: "test/apps/slow.ru", workers: 2, threads: 1}, "/fast")
	if err != nil {
		return nil, "", err
	}
	defer srv.stop()
	var runs []pinnedRun
	for repeat := 1; repeat <= pinnedRepeats; repeat++ {
		for _, clients := range []int{1, 4} {
			times, err := pin(ctx, srv.address, clients)
			if err != nil {
				return nil, "", fmt.Errorf("%s: %w", name, err)
			}
			b.logf("%-8s %d clients: longest %s", name, clients, shortTime(percentile(times, 100)))
			runs = append(runs, pinnedRun{name, clients, repeat, times})
		}
	}
	return runs, srv.command, nil
}

// pin has a slow request in flight while it measures fast ones.
func pin(ctx context.Context, address string, clients int) ([]float64, error) {
	slow := make(chan error, 1)
	go func() {
		_, err := get(ctx, address, fmt.Sprintf("/sleep?s=%g", pinnedSlow.Seconds()))
		slow <- err
	}()
	if err := pause(ctx, 200*time.Millisecond); err != nil {
		return nil, err
	}
	times, err := timeRequests(ctx, address, "/fast", clients, pinnedRequests/clients)
	if slowErr := <-slow; err == nil {
		err = slowErr
	}
	return times, err
}

// timeRequests has so many clients ask so many times each, over fresh connections, and returns milliseconds.
func timeRequests(ctx context.Context, address, path string, clients, requests int) ([]float64, error) {
	var mu sync.Mutex // guards the following
	var times []float64
	var failure error
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range requests {
				took, err := get(ctx, address, path)
				mu.Lock()
				times = append(times, inMilliseconds(took))
				if err != nil {
					failure = err
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return times, failure
}

// pinnedTimes are all times of one server with so many clients, and the longest of each repetition.
func pinnedTimes(runs []pinnedRun, server string, clients int) (all, longest []float64) {
	for _, r := range runs {
		if r.Server == server && r.Clients == clients {
			all = append(all, r.Times...)
			longest = append(longest, percentile(r.Times, 100))
		}
	}
	return all, longest
}

func pinnedTable(runs []pinnedRun, servers []string) table {
	t := table{title: "Fast requests beside a slow one", notes: []string{"Over all repetitions; the last column has the longest wait of each."},
		head: []string{"server, clients", "requests", "over 1 s", "p50", "p99", "longest", "longest of each"}}
	for _, clients := range []int{1, 4} {
		for _, server := range servers {
			all, longest := pinnedTimes(runs, server, clients)
			t.rows = append(t.rows, []string{fmt.Sprintf("%s, %d", server, clients), whole(float64(len(all))), whole(float64(countOver(all, waited))),
				shortTime(median(all)), shortTime(percentile(all, 99)), shortTime(percentile(all, 100)), strings.Join(each(longest, shortTime), ", ")})
		}
	}
	return t
}

func pinnedWords(runs []pinnedRun, servers []string) []string {
	var words []string
	for _, server := range servers {
		for _, clients := range []int{1, 4} {
			all, _ := pinnedTimes(runs, server, clients)
			how := "one after another"
			if clients > 1 {
				how = fmt.Sprintf("from %d clients at once", clients)
			}
			words = append(words, fmt.Sprintf("%s, %s: %s of %s fast requests waited longer than a second, the longest took %s.", server, how,
				whole(float64(countOver(all, waited))), whole(float64(len(all))), shortTime(percentile(all, 100))))
		}
	}
	return words
}

func countOver(values []float64, limit float64) int {
	count := 0
	for _, value := range values {
		if value > limit {
			count++
		}
	}
	return count
}
