package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	sampleEvery   = 50 * time.Millisecond
	uploadTimeout = 10 * time.Minute
)

// uploadRun is one upload to one server.
type uploadRun struct {
	Server  string  `json:"server"`
	Round   int     `json:"round"`
	MiB     int     `json:"mib"`
	Sent    float64 `json:"sent_seconds"` // until the last byte was written
	Took    float64 `json:"took_seconds"` // until the response was read
	Front   growth  `json:"front"`
	Workers growth  `json:"workers"`
}

// growth is how much memory processes took in addition, in KiB.
type growth struct {
	Before  float64 `json:"before_kib"`  // RSS
	Peak    float64 `json:"peak_kib"`    // the kernel's high-water mark, summed up
	Sampled float64 `json:"sampled_kib"` // the most PSS seen, looking every 50 ms
}

// upload posts one large body, which the app reads in pieces, and watches what the server's processes hold meanwhile.
func (b *bench) upload(ctx context.Context) (finding, error) {
	var runs []uploadRun
	var commands []string
	for round := 1; round <= b.Rounds; round++ {
		for _, name := range b.pair() {
			run, command, err := b.uploadServer(ctx, name)
			if err != nil {
				return finding{}, fmt.Errorf("%s: %w", name, err)
			}
			run.Round = round
			b.logf("%-8s %s s, front grew by %s KiB, workers by %s KiB", name, oneDecimal(run.Took), whole(run.Front.growth()), whole(run.Workers.growth()))
			runs = append(runs, run)
			commands = append(commands, command)
		}
	}
	return finding{
		method: []string{
			fmt.Sprintf("One POST of %d MiB with a Content-Length, over one connection, to a fresh server which answered one request before. Rounds: %d. The app reads the "+
				"body in pieces of 64 KiB and counts.", b.UploadMB, b.Rounds),
			"Growth is the kernel's high-water mark of the process (VmHWM, reset before) less what it held before; for the workers, summed up. PSS was looked at every 50 ms " +
				"besides. Both servers keep a large body in a file in a directory of temporary files; on which disk that is matters.",
		},
		words:    uploadWords(runs, b.pair()),
		tables:   []table{uploadTable(runs, b.pair())},
		commands: unique(commands),
		raw:      runs,
	}, nil
}

func (b *bench) uploadServer(ctx context.Context, name string) (uploadRun, string, error) {
	srv, err := b.start(ctx, name, setup{app: "bench/apps/upload.ru", workers: b.Workers, threads: b.Threads}, "/")
	if err != nil {
		return uploadRun{}, "", err
	}
	defer srv.stop()
	front, workers, err := watch(srv)
	if err != nil {
		return uploadRun{}, "", err
	}
	sent, took, err := post(ctx, srv.address, b.UploadMB)
	run := uploadRun{Server: name, MiB: b.UploadMB, Sent: sent.Seconds(), Took: took.Seconds(), Front: front.finish(), Workers: workers.finish()}
	return run, srv.command, err
}

// post sends a body of so many MiB and returns when the last byte was written and when the response was read.
func post(ctx context.Context, address string, mib int) (sent, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	conn, err := dial(ctx, address)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	started := time.Now()
	if err := writeBody(conn, address, mib); err != nil {
		return 0, 0, err
	}
	sent = time.Since(started)
	err = readOK(conn)
	return sent, time.Since(started), err
}

func writeBody(conn net.Conn, address string, mib int) error {
	_, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		address, mib<<20)
	if err != nil {
		return err
	}
	piece := []byte(strings.Repeat("a serval has spots. ", 1<<20/20+1))[:1<<20]
	for range mib {
		if _, err := conn.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// watcher watches the memory of some processes until finish is called.
type watcher struct {
	pids   []int
	before float64
	most   float64 // PSS; belongs to the sampling goroutine until all is done
	stop   chan struct{}
	all    sync.WaitGroup
}

// watch watches a server's front and its workers apart.
func watch(srv *server) (front, workers *watcher, err error) {
	if front, err = newWatcher(srv.front()); err != nil {
		return nil, nil, err
	}
	workers, err = newWatcher(descendants(srv.front())...)
	if err != nil {
		front.finish()
	}
	return front, workers, err
}

func newWatcher(pids ...int) (*watcher, error) {
	for _, pid := range pids {
		if err := resetPeak(pid); err != nil {
			return nil, fmt.Errorf("cannot reset the peak of process %d: %w", pid, err)
		}
	}
	w := &watcher{pids: pids, before: memoryOf(pids...).RSS, stop: make(chan struct{})}
	w.all.Go(w.sample)
	return w, nil
}

func (w *watcher) sample() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		w.most = max(w.most, memoryOf(w.pids...).PSS)
		select {
		case <-tick.C:
		case <-w.stop:
			return
		}
	}
}

// finish ends the watch.
func (w *watcher) finish() growth {
	close(w.stop)
	w.all.Wait()
	g := growth{Before: w.before, Sampled: w.most}
	for _, pid := range w.pids {
		g.Peak += peakOf(pid)
	}
	return g
}

// growth is what came in addition at the peak. The kernel counts pages in batches, so it may miss what it was by a little.
func (g growth) growth() float64 { return max(g.Peak-g.Before, 0) }

func uploadsOf(runs []uploadRun, server string) []uploadRun {
	var own []uploadRun
	for _, r := range runs {
		if r.Server == server {
			own = append(own, r)
		}
	}
	return own
}

// rate is the speed of the upload, in MiB a second.
func (r uploadRun) rate() float64 { return ratio(float64(r.MiB), r.Took) }

func frontMiB(r uploadRun) float64   { return r.Front.growth() / 1024 }
func workersMiB(r uploadRun) float64 { return r.Workers.growth() / 1024 }

func uploadTable(runs []uploadRun, servers []string) table {
	t := table{title: "One large upload", head: []string{"server", "front grew by, MiB", "workers grew by, MiB", "MiB a second", "seconds"}}
	for _, server := range servers {
		own := uploadsOf(runs, server)
		t.rows = append(t.rows, []string{server, spreadOf(each(own, frontMiB)).show(oneDecimal), spreadOf(each(own, workersMiB)).show(oneDecimal),
			spreadOf(each(own, uploadRun.rate)).show(whole), spreadOf(each(own, func(r uploadRun) float64 { return r.Took })).show(oneDecimal)})
	}
	return t
}

func uploadWords(runs []uploadRun, servers []string) []string {
	return each(servers, func(server string) string {
		own := uploadsOf(runs, server)
		return fmt.Sprintf("%s took an upload of %s MiB at %s MiB a second; its front grew by %s MiB and its workers by %s MiB.", server,
			whole(float64(own[0].MiB)), whole(spreadOf(each(own, uploadRun.rate)).Median), oneDecimal(spreadOf(each(own, frontMiB)).Median),
			oneDecimal(spreadOf(each(own, workersMiB)).Median))
	})
}
