package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// idleRun is what happened at one server.
type idleRun struct {
	Server      string    `json:"server"`
	Front       [2]memory `json:"front"` // before and after the connections were opened
	All         [2]memory `json:"all"`
	Without     []result  `json:"throughput_without"`
	With        []result  `json:"throughput_with"`
	Connections int       `json:"connections"`
	Opening     float64   `json:"opening_seconds"`
	Open        int       `json:"still_open"` // at the end
}

// idle holds thousands of keep-alive connections, each of which asked once, and measures what they cost in memory and
// how fast the server still answers others.
func (b *bench) idle(ctx context.Context) (finding, error) {
	if err := raiseFileLimit(uint64(b.Idle) + 1000); err != nil {
		return finding{}, err
	}
	var runs []idleRun
	var commands []string
	for _, name := range b.pair() {
		run, command, err := b.idleServer(ctx, name)
		if err != nil {
			return finding{}, fmt.Errorf("%s: %w", name, err)
		}
		runs = append(runs, run)
		commands = append(commands, command)
	}
	return finding{
		method: []string{
			fmt.Sprintf("wrk measures a server %d times without company. Then %s connections are opened, %d at once, which ask once each and stay, and wrk measures as often "+
				"again. Both servers are told to keep idle connections for 600 s.", b.Rounds, whole(float64(b.Idle)), openersAtOnce),
			"The front is the main process: Serval's front, where its client connections are; Puma's master, which has none, as they are in its workers. " +
				"Memory of the front is RSS; of all processes it is PSS, so that shared pages count once. What the kernel holds for sockets is not counted.",
			"Puma opens slowly because a thread that has answered waits 0.2 s for the next request on the same connection before it turns to another.",
		},
		words:    each(runs, idleWords),
		tables:   []table{idleTable(runs)},
		commands: append(commands, b.wrkCommand(loadNamed("hello"), idleLoadConnections)),
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
	if run.Without, err = b.repeat(ctx, srv, w); err != nil {
		return run, "", err
	}
	run.Front[0], run.All[0] = srv.memory()
	started := time.Now()
	held, err := holdConnections(ctx, srv.address, b.Idle)
	defer held.close()
	if err != nil {
		return run, "", err
	}
	run.Opening = time.Since(started).Seconds()
	run.Front[1], run.All[1] = srv.memory()
	if run.With, err = b.repeat(ctx, srv, w); err != nil {
		return run, "", err
	}
	run.Open = held.open()
	b.logf("%-8s opened %d in %s s, %d still open, %s KiB in the front and %s KiB in all for each", name, run.Connections, oneDecimal(run.Opening),
		run.Open, oneDecimal(run.frontGrowth()), oneDecimal(run.growth()))
	return run, srv.command, nil
}

// repeat measures as often as there are rounds.
func (b *bench) repeat(ctx context.Context, srv *server, w wrk) ([]result, error) {
	var results []result
	for range b.Rounds {
		r, _, err := b.warmThenRun(ctx, srv, w)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// memory is what the front and what all processes of the server hold.
func (s *server) memory() (front, all memory) {
	return memoryOf(s.front()), memoryOf(s.processes()...)
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

// opener opens connections, and names 127.0.0.2, 127.0.0.3 and so forth as where they come from once the ports run short.
type opener struct{ used byte }

func (o *opener) open(ctx context.Context, address string) (net.Conn, error) {
	for {
		d := net.Dialer{Timeout: requestTimeout}
		if o.used > 0 {
			d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1+o.used)}
		}
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

// open counts those that the server has not closed.
func (c connections) open() int {
	count := 0
	for _, conn := range c {
		if isOpen(conn.(*net.TCPConn)) {
			count++
		}
	}
	return count
}

// isOpen looks at the socket without waiting: one that is open has nothing to say, not even an end.
func isOpen(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Control(func(fd uintptr) {
		_, _, peeked := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = peeked == syscall.EAGAIN
	})
	return err == nil && open
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

// rates are the spread of the throughput over the rounds.
func rates(results []result) spread {
	return spreadOf(each(results, func(r result) float64 { return r.Rate }))
}

// kept is how much of the throughput is left beside the idle connections.
func (r idleRun) kept() float64 { return ratio(rates(r.With).Median, rates(r.Without).Median) }

func idleTable(runs []idleRun) table {
	t := table{title: "Idle connections", head: []string{"server", "front, KiB each", "all processes, KiB each", "requests/s without", "requests/s with",
		"with ÷ without", "opening, s", "still open", "failures"}}
	for _, r := range runs {
		var f failures
		for _, measured := range slices.Concat(r.Without, r.With) {
			f = f.plus(measured.Failures)
		}
		t.rows = append(t.rows, []string{r.Server, oneDecimal(r.frontGrowth()), oneDecimal(r.growth()), rates(r.Without).show(whole), rates(r.With).show(whole),
			twoDecimals(r.kept()), oneDecimal(r.Opening), whole(float64(r.Open)), whole(float64(f.sum()))})
	}
	return t
}

func idleWords(r idleRun) string {
	return fmt.Sprintf("%s: an idle connection took %s KiB in the front and %s KiB in all processes; beside %s of them it answered %s times as many requests as without "+
		"(%s a second).", r.Server, oneDecimal(r.frontGrowth()), oneDecimal(r.growth()), whole(float64(r.Connections)), twoDecimals(r.kept()),
		whole(rates(r.With).Median))
}
