// Command bench measures Serval beside Puma and Unicorn on this machine, with the same apps, and writes what it found
// to bench/results: tables for people and every raw figure as JSON.
//
//	go run ./bench                        everything
//	go run ./bench core                   throughput and latency, ten loads at one or two numbers of connections
//	go run ./bench pinned idle            only these
//	go run ./bench -rounds 1 -seconds 1 -loads hello -connections 16 core
//
// It is run from the top of the repository and needs wrk, ruby, and the servers it is to measure.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if slices.Equal(os.Args[1:], []string{sentinelWord}) {
		err = standSentinel(ctx, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stderr)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the whole program: it measures what args name and writes its progress to log.
func run(ctx context.Context, args []string, log io.Writer) error {
	options, chosen, err := parseOptions(args, log)
	if err != nil {
		return err
	}
	if _, err := os.Stat("bench/apps"); err != nil {
		return errors.New("there is no bench/apps here: run it from the top of the repository")
	}
	b := &bench{Options: options, machine: inspect(options), log: log}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, s := range chosen {
		if err := b.perform(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// prepare has Serval compile its accelerator, where it can. It does so once for each of its versions, while it serves already: in the first
// measurement, that is.
func (b *bench) prepare(ctx context.Context) error {
	if !slices.Contains(b.Servers, "serval") {
		return nil
	}
	hello := loadNamed("hello")
	srv, err := b.start(ctx, "serval", setup{app: hello.app, workers: 1, threads: 1, env: []string{"SERVAL_ACCELERATOR=on"}}, hello.path)
	if err != nil {
		return err
	}
	srv.stop()
	return nil
}

// bench is one run of this program.
type bench struct {
	Options
	machine []fact
	log     io.Writer
}

// perform measures one scenario and writes its report.
func (b *bench) perform(ctx context.Context, s scenario) error {
	started, load := time.Now(), loadAverage()
	b.logf("%s: %s", s.name, s.about)
	found, err := s.measure(b, ctx)
	if err != nil {
		return err
	}
	r := report{Scenario: s.name, About: s.about, Started: started, Took: time.Since(started), Load: load,
		Machine: b.machine, Options: b.Options, finding: found}
	path, err := r.write(b.Results)
	if err != nil {
		return err
	}
	b.logf("%s\n%s: written to %s", strings.Join(found.words, "\n"), s.name, path)
	return nil
}

func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(b.log, format+"\n", args...)
}
