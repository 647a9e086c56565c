package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// idleRun is one round at one server.
type idleRun struct {
	Server      string    `json:"server"`
	Round       int       `json:"round"`
	Front       [2]memory `json:"front"` // before and after
	All         [2]memory `json:"all"`
	Without     result    `json:"throughput_without"`
	With        result    `json:"throughput_with"`
	Connections int       `json:"connections"`
	Open        int       `json:"still_open"` // after the second measurement
}

// idle holds thousands of keep-alive connections, each of which asked once, and measures what they cost in memory and
// how fast the server still answers others.
func (b *bench) idle(ctx context.Context) (finding, error) {
	if err := raiseFileLimit(uint64(b.Idle) + 1000); err != nil {
		return finding{}, err
	}
	var runs []idleRun
	var commands []string
	for round := 1; round <= b.Rounds; round++ {
		for _, name := range b.threaded() {
			run, command, err := b.idleServer(ctx, name)
			if err != nil {
				return finding{}, fmt.Errorf("%s: %w", name, err)
			}
			run.Round = round
			runs = append(runs, run)
			commands = append(commands, command)
		}
	}
	return finding{
		method: []string{
			fmt.Sprintf("After a warm-up, wrk measures a server alone. Then %s connections are opened which ask once each and stay, and wrk measures again. Both servers "+
				"are told to keep idle connections for 300 s. Rounds: %d, a fresh server in each.", whole(float64(b.Idle)), b.Rounds),
			"The front is the main process: Serval's front, where its client connections are; Puma's master, which has none, as they are in its workers. " +
				"Memory of the front is RSS; of all processes it is PSS, so that shared pages count once. What the kernel holds for sockets is not counted.",
		},
		words:    idleWords(runs, b.threaded()),
		tables:   []table{idleTable(runs, b.threaded())},
		commands: unique(append(commands, b.wrkCommand(loadNamed("hello"), idleLoadConnections))),
		raw:      runs,
	}, nil
}

const idleLoadConnections = 64 // of wrk

func (b *bench) idleServer(ctx context.Context, name string) (idleRun, string, error) {
	l := loadNamed("hello")
	srv, err := b.start(ctx, name, setup{app: l.app, workers: b.Workers, threads: b.Threads, patient: true}, l.path)
	if err != nil {
		return idleRun{}, "", err
	}
	defer srv.stop()
	run := idleRun{Server: name, Connections: b.Idle}
	w := b.wrk(srv, l, idleLoadConnections)
	if run.Without, err = b.warmThenRun(ctx, w); err != nil {
		return run, "", err
	}
	run.Front[0], run.All[0] = srv.memory()
	held, err := holdConnections(ctx, srv.address, b.Idle)
	defer held.close()
	if err != nil {
		return run, "", err
	}
	run.Front[1], run.All[1] = srv.memory()
	if run.With, err = b.warmThenRun(ctx, w); err != nil {
		return run, "", err
	}
	run.Open = held.open()
	b.logf("%-8s %d of %d still open, %s and %s requests/s, front %s KiB and all %s KiB a connection", name, run.Open, run.Connections,
		whole(run.Without.Rate), whole(run.With.Rate), oneDecimal(run.frontGrowth()), oneDecimal(run.growth()))
	return run, srv.command, nil
}

// memory is what the front and what all processes of the server hold.
func (s *server) memory() (front, all memory) {
	return memoryOf(s.front()), memoryOf(append(descendants(s.front()), s.front())...)
}

// frontGrowth is the memory of the front for each connection, in KiB.
func (r idleRun) frontGrowth() float64 {
	return (r.Front[1].RSS - r.Front[0].RSS) / float64(r.Connections)
}

// growth is the memory of all processes for each connection, in KiB.
func (r idleRun) growth() float64 {
	return (r.All[1].PSS - r.All[0].PSS) / float64(r.Connections)
}

// connections are held open.
type connections []net.Conn

const openersAtOnce = 32

// holdConnections opens n connections and asks once over each.
func holdConnections(ctx context.Context, address string, n int) (connections, error) {
	var mu sync.Mutex // guards the following
	var held connections
	var failure error
	tickets := make(chan struct{}, n)
	for range n {
		tickets <- struct{}{}
	}
	close(tickets)
	var all sync.WaitGroup
	for range openersAtOnce {
		all.Go(func() {
			var source opener
			for range tickets {
				conn, err := source.open(ctx, address)
				mu.Lock()
				if err != nil {
					failure = err
				} else {
					held = append(held, conn)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return held, failure
}

// opener opens connections from 127.0.0.1, and goes on to 127.0.0.2 and so forth when the ports of one address are used up.
type opener struct{ used int }

func (o *opener) open(ctx context.Context, address string) (net.Conn, error) {
	for {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+o.used))}, Timeout: requestTimeout}
		conn, err := d.DialContext(ctx, "tcp", address)
		if (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE)) && o.used < 200 {
			o.used++
			continue
		}
		if err != nil {
			return nil, err
		}
		conn.SetDeadline(time.Now().Add(requestTimeout))
		if err := ask(conn, "GET / HTTP/1.1\r\nHost: "+address+"\r\n\r\n"); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// open counts those that the server has not closed: reading finds nothing, and no end either.
func (c connections) open() int {
	count := 0
	var one [1]byte
	for _, conn := range c {
		// Long enough for a read to look at the socket, which one with a deadline in the past does not.
		conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(one[:]); isTimeout(err) {
			count++
		}
	}
	return count
}

func (c connections) close() {
	for _, conn := range c {
		conn.Close()
	}
}

// raiseFileLimit allows this program and the servers it starts n open files.
func raiseFileLimit(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	// Set even where it is high enough already: Go raises the limit for itself, but only a limit set here is inherited.
	limit.Cur, limit.Max = max(limit.Cur, n), max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot allow %d open files: %w; be root, or hold fewer connections with -idle", n, err)
	}
	return nil
}

// runsOf are the rounds of one server.
func runsOf(runs []idleRun, server string) []idleRun {
	var own []idleRun
	for _, r := range runs {
		if r.Server == server {
			own = append(own, r)
		}
	}
	return own
}

// idleSummary is what is told of the rounds of one server.
type idleSummary struct {
	front, all, without, with, kept spread
	open                            int // the fewest in any round
}

func summariseIdle(runs []idleRun) idleSummary {
	s := idleSummary{
		front:   spreadOf(each(runs, idleRun.frontGrowth)),
		all:     spreadOf(each(runs, idleRun.growth)),
		without: spreadOf(each(runs, func(r idleRun) float64 { return r.Without.Rate })),
		with:    spreadOf(each(runs, func(r idleRun) float64 { return r.With.Rate })),
		kept:    spreadOf(each(runs, func(r idleRun) float64 { return ratio(r.With.Rate, r.Without.Rate) })),
	}
	s.open = int(spreadOf(each(runs, func(r idleRun) float64 { return float64(r.Open) })).Least)
	return s
}

func idleTable(runs []idleRun, servers []string) table {
	t := table{title: "Idle connections", head: []string{"server", "front, KiB each", "all processes, KiB each", "requests/s without", "requests/s with",
		"with ÷ without", "still open"}}
	for _, server := range servers {
		s := summariseIdle(runsOf(runs, server))
		t.rows = append(t.rows, []string{server, s.front.show(oneDecimal), s.all.show(oneDecimal), s.without.show(whole), s.with.show(whole),
			s.kept.show(twoDecimals), whole(float64(s.open))})
	}
	return t
}

func idleWords(runs []idleRun, servers []string) []string {
	return each(servers, func(server string) string {
		own := runsOf(runs, server)
		s := summariseIdle(own)
		return fmt.Sprintf("%s: an idle connection took %s KiB in the front and %s KiB in all processes; beside %s of them it answered %s times as many requests as without "+
			"(%s a second).", server, oneDecimal(s.front.Median), oneDecimal(s.all.Median), whole(float64(own[0].Connections)), twoDecimals(s.kept.Median),
			whole(s.with.Median))
	})
}
