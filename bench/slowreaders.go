package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	slowReaderCount = 5
	slowReaderRate  = 1024 // bytes each second
)

// readersRun is what happened to normal requests at one server.
type readersRun struct {
	Server string    `json:"server"`
	Alone  []float64 `json:"alone_ms"` // times without slow readers
	Beside []float64 `json:"beside_ms"`
	Failed int       `json:"failed"` // requests beside slow readers that got no answer in 30 s, or none at all
}

// slowReaders has five clients read a 5 MB response at 1 KB/s each from one worker of five threads, and asks meanwhile
// for something small. A server that writes responses from its worker threads has none left.
func (b *bench) slowReaders(ctx context.Context) (finding, error) {
	var runs []readersRun
	var commands []string
	for _, name := range b.pair() {
		run, command, err := b.readersServer(ctx, name)
		if err != nil {
			return finding{}, err
		}
		runs = append(runs, run)
		commands = append(commands, command)
	}
	return finding{
		method: []string{fmt.Sprintf("One worker with five threads. %d times, %d clients ask for 5 MB and read %d bytes a second with a receive buffer of 4 KB; a "+
			"second later one small request is sent over a connection of its own, with %v of patience, and then the slow readers leave. "+
			"They are new for each try, as Puma cuts them off after ten seconds. The same number of small requests is measured before, without slow readers.",
			b.Tries, slowReaderCount, slowReaderRate, requestTimeout)},
		words:    each(runs, readersWords),
		tables:   []table{readersTable(runs)},
		commands: commands,
		raw:      runs,
	}, nil
}

func (b *bench) readersServer(ctx context.Context, name string) (readersRun, string, error) {
	srv, err := b.start(ctx, name, setup{app: "bench/apps/large.ru", workers: 1, threads: 5}, "/small")
	if err != nil {
		return readersRun{}, "", err
	}
	defer srv.stop()
	run := readersRun{Server: name}
	if run.Alone, err = timeRequests(ctx, srv.address, "/small", 1, b.Tries); err != nil {
		return run, "", fmt.Errorf("%s: %w", name, err)
	}
	for try := 1; try <= b.Tries; try++ {
		took, err := besideReaders(ctx, srv.address)
		if ctx.Err() != nil {
			return run, "", ctx.Err()
		}
		if err != nil {
			run.Failed++
		} else {
			run.Beside = append(run.Beside, inMilliseconds(took))
		}
		b.logf("%-8s try %d of %d: %s", name, try, b.Tries, shortTime(inMilliseconds(took)))
	}
	return run, srv.command, nil
}

// besideReaders measures one small request while the slow readers read.
func besideReaders(ctx context.Context, address string) (time.Duration, error) {
	reading, finish := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range slowReaderCount {
		all.Go(func() { readSlowly(reading, address) })
	}
	defer all.Wait()
	defer finish()
	if err := pause(ctx, time.Second); err != nil {
		return 0, err
	}
	return get(ctx, address, "/small")
}

// readSlowly asks for the large response and reads a little each second, until the server or ctx ends it.
func readSlowly(ctx context.Context, address string) {
	d := net.Dialer{Control: smallReceiveBuffer}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "GET /5mb HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
	piece := make([]byte, slowReaderRate)
	for pause(ctx, time.Second) == nil {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(conn, piece); err != nil && !isTimeout(err) {
			return
		}
	}
}

// smallReceiveBuffer keeps the kernel from taking megabytes on behalf of a client that reads a kilobyte a second. It has
// to be set before the connection is made, since that is when the window is agreed upon.
func smallReceiveBuffer(_, _ string, c syscall.RawConn) error {
	var failure error
	err := c.Control(func(fd uintptr) {
		failure = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
	})
	if err != nil {
		return err
	}
	return failure
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func readersTable(runs []readersRun) table {
	t := table{title: "A small request beside five slow readers",
		head: []string{"server", "alone, median", "alone, longest", "beside, median", "beside, longest", "answered", "failed"}}
	for _, r := range runs {
		t.rows = append(t.rows, []string{r.Server, shortTime(median(r.Alone)), shortTime(percentile(r.Alone, 100)), shortTime(median(r.Beside)),
			shortTime(percentile(r.Beside, 100)), whole(float64(len(r.Beside))), whole(float64(r.Failed))})
	}
	return t
}

func readersWords(r readersRun) string {
	if len(r.Beside) == 0 {
		return fmt.Sprintf("%s answered none of %d small requests while the slow readers read.", r.Server, r.Failed)
	}
	return fmt.Sprintf("%s: beside five slow readers a small request took %s (median) and %s at most; alone %s and %s. %d of %d got no answer.", r.Server,
		shortTime(median(r.Beside)), shortTime(percentile(r.Beside, 100)), shortTime(median(r.Alone)), shortTime(percentile(r.Alone, 100)),
		r.Failed, r.Failed+len(r.Beside))
}
