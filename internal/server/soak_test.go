package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serval/internal/dispatch"
	"serval/internal/loop"
	"serval/internal/worker"
)

// soakApp answers in every way there is. What it answers can be told from the request, so that a client notices when it gets
// another one's.
const soakApp = `
require "tempfile"
PART = ->(id, i) { "#{id}.#{i} " * 100 }
run ->(env) {
  id, n = env["QUERY_STRING"].split("&")
  case env["PATH_INFO"]
  when "/echo" then [200, {}, [id, " ", env["rack.input"].read]]
  when "/sleep" then sleep(n.to_f / 1000); [200, {}, [id, " "]]
  when "/stream" then [200, {}, Enumerator.new { |y| n.to_i.times { |i| y << PART.(id, i) } }]
  when "/sized"
    size = n.to_i.times.sum { |i| PART.(id, i).bytesize }
    [200, { "content-length" => size.to_s }, Enumerator.new { |y| n.to_i.times { |i| y << PART.(id, i) } }]
  when "/file"
    file = Tempfile.create
    n.to_i.times { |i| file.write(PART.(id, i)) }
    file.flush
    body = Object.new
    body.define_singleton_method(:to_path) { file.path }
    body.define_singleton_method(:each) { |&b| b.call(File.read(file.path)) }
    body.define_singleton_method(:close) { File.unlink(file.path); file.close }
    [200, {}, body]
  when "/busy" then env["rack.after_reply"] << -> { sleep 0.003 }; [200, {}, [id, " "]]
  when "/hijack"
    io = env["rack.hijack"].call
    io.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n#{id} #{io.readpartial(100)}")
    io.close
    [-1, {}, []]
  when "/upgrade"
    [101, { "upgrade" => "echo", "connection" => "upgrade", "rack.hijack" => ->(io) { io.write("#{id} #{io.readpartial(100)}"); io.close } }, []]
  when "/raise" then raise "on purpose"
  end
}
`

func soakPool(t *testing.T, workers, threads int, log dispatch.Log) *dispatch.Pool {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte(soakApp), 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../../ruby/lib/serval/worker.rb")
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { quiet.Close() })
	pool := dispatch.New(dispatch.Config{
		Workers: workers, Threads: threads, QueueLimit: 1 << 20, RequestTimeout: time.Minute, Log: log,
		Launch: func(index int, h worker.Handler) (*worker.Worker, error) {
			return worker.Start(worker.Config{
				Ruby: "ruby", Script: script, Dir: dir, Index: index, Stdout: quiet, Stderr: quiet,
				Env: append(os.Environ(), "RACK_ENV=production", "TMPDIR="+t.TempDir()),
				Settings: []string{
					fmt.Sprint("index=", index), fmt.Sprint("threads=", threads), fmt.Sprint("workers=", workers), "rackup=" + filepath.Join(dir, "config.ru"),
				},
			}, h)
		},
	})
	if err := pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-pool.Manned()
	return pool
}

// poolLog is testLog for a pool.
type poolLog struct{ testLog }

func (l *poolLog) Detail(format string, args ...any) { l.add(format, args) }

// soaker is a client that does at random what clients do.
type soaker struct {
	t      *testing.T
	addr   string
	random *rand.Rand
	name   int
	turn   int
	kills  *atomic.Int64

	reader *slowReader
	right  int
	failed int
}

// slowReader is a client's connection, which it may read slowly.
type slowReader struct {
	net.Conn
	buffer *bufio.Reader
	pause  time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	time.Sleep(r.pause)
	return r.Conn.Read(p)
}

// question is something to ask for, and the body of the right answer.
func (s *soaker) question() (path, method, body string, want []byte) {
	s.turn++
	id := fmt.Sprintf("c%dt%d", s.name, s.turn)
	parts := []int{1, 5, 50, 600}[s.random.IntN(4)]
	var all bytes.Buffer
	for i := range parts {
		all.WriteString(strings.Repeat(fmt.Sprintf("%s.%d ", id, i), 100))
	}
	switch s.random.IntN(9) {
	case 0, 1, 2:
		return "/echo?" + id, "GET", "", []byte(id + " ")
	case 3:
		body = strings.Repeat(id+" ", []int{1, 1_000, 10_000, 60_000}[s.random.IntN(4)])
		return "/echo?" + id, "POST", body, []byte(id + " " + body)
	case 4:
		return fmt.Sprintf("/sleep?%s&%d", id, s.random.IntN(30)), "GET", "", []byte(id + " ")
	case 5:
		return fmt.Sprintf("/stream?%s&%d", id, parts), "GET", "", all.Bytes()
	case 6:
		return fmt.Sprintf("/sized?%s&%d", id, parts), "GET", "", all.Bytes()
	case 7:
		return fmt.Sprintf("/file?%s&%d", id, parts), "GET", "", all.Bytes()
	}
	return "/busy?" + id, "GET", "", []byte(id + " ")
}

func text(method, path, body string, chunked bool, more string) string {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: soak\r\n%s", method, path, more)
	switch {
	case chunked && len(body) > 0:
		middle := len(body) / 3
		return head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", middle+1, body[:middle+1], len(body)-middle-1, body[middle+1:])
	case method == "POST":
		return head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	return head + "\r\n"
}

func (s *soaker) dial() *slowReader {
	if s.reader == nil {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			s.t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		conn = tunneled(s.t, conn)
		s.reader = &slowReader{Conn: conn}
		s.reader.buffer = bufio.NewReader(s.reader)
	}
	return s.reader
}

func (s *soaker) hangUp() {
	if s.reader != nil {
		s.reader.Close()
		s.reader = nil
	}
}

// step does one random thing.
func (s *soaker) step() {
	switch s.random.IntN(10) {
	case 0:
		s.abort()
	case 1:
		s.hijack()
	case 2:
		s.pipeline()
	default:
		s.ask()
	}
}

// abort breaks off somewhere between the first byte of a request and the last one of its response.
func (s *soaker) abort() {
	path, method, body, _ := s.question()
	all := text(method, path, body, s.random.IntN(2) == 0, "")
	c := s.dial()
	if s.random.IntN(2) == 0 {
		io.WriteString(c.Conn, all[:s.random.IntN(len(all))])
	} else {
		io.WriteString(c.Conn, all)
		c.SetReadDeadline(time.Now().Add(time.Duration(s.random.IntN(100)) * time.Millisecond))
		io.CopyN(io.Discard, c.buffer, int64(s.random.IntN(3000)))
	}
	if s.random.IntN(2) == 0 {
		tcp(c.Conn).SetLinger(0)
	}
	s.hangUp()
}

// ask sends one request, in one piece or several, and checks the answer, read quickly or slowly.
func (s *soaker) ask() {
	path, method, body, want := s.question()
	more := ""
	if s.random.IntN(10) == 0 {
		more = "Connection: close\r\n"
	}
	all := text(method, path, body, s.random.IntN(2) == 0, more)
	kills := s.kills.Load()
	c := s.dial()
	if s.random.IntN(4) == 0 {
		at := s.random.IntN(len(all))
		io.WriteString(c.Conn, all[:at])
		time.Sleep(time.Duration(s.random.IntN(5)) * time.Millisecond)
		all = all[at:]
	}
	if s.random.IntN(8) == 0 {
		c.pause = time.Millisecond
	}
	io.WriteString(c.Conn, all)
	if s.random.IntN(20) == 0 {
		// It wants its answer, but while the request is queued nobody can tell it from a client that is gone.
		tcp(c.Conn).CloseWrite()
		defer s.hangUp()
		kills = -1
	}
	s.check(c, method+" "+path, want, kills)
}

func (s *soaker) pipeline() {
	type asked struct {
		line string
		want []byte
	}
	var all strings.Builder
	var questions []asked
	for range 1 + s.random.IntN(5) {
		path, method, body, want := s.question()
		all.WriteString(text(method, path, body, false, ""))
		questions = append(questions, asked{method + " " + path, want})
	}
	kills := s.kills.Load()
	c := s.dial()
	go io.WriteString(c.Conn, all.String()) //nolint:errcheck // the answers tell; a client that only writes may wait for itself
	for _, q := range questions {
		if !s.check(c, q.line, q.want, kills) {
			return
		}
	}
}

// check reads an answer. It must be right, unless a worker was killed meanwhile: then it may be a 502, or visibly cut.
func (s *soaker) check(c *slowReader, line string, want []byte, kills int64) (goesOn bool) {
	res, err := http.ReadResponse(c.buffer, &http.Request{Method: "GET"})
	var body []byte
	if err == nil {
		body, err = io.ReadAll(res.Body)
	}
	excused := s.excused(kills)
	switch {
	case err == nil && res.StatusCode == 200 && bytes.Equal(body, want):
		s.right++
	case err == nil && res.StatusCode == 502 && excused, err != nil && excused && !errors.Is(err, os.ErrDeadlineExceeded):
		s.failed++
	case err != nil:
		s.t.Errorf("%s: %v, after %d of %d bytes", line, err, len(body), len(want))
	default:
		s.t.Errorf("%s got a %d with %d bytes (%.50q) instead of %d (%.50q)", line, res.StatusCode, len(body), body, len(want), want)
	}
	if err != nil || res.Close {
		s.hangUp()
		return false
	}
	return true
}

// excused says that a worker was killed since so many kills were counted, or was being killed then: until the server notices, it may have given
// the request to a dead worker. Each is counted twice, before it and once it is noticed.
func (s *soaker) excused(kills int64) bool { return kills%2 != 0 || s.kills.Load() > kills }

// hijack has the app take the connection, in one way or the other.
func (s *soaker) hijack() {
	s.hangUp()
	s.turn++
	id := fmt.Sprintf("c%dt%d", s.name, s.turn)
	path := []string{"/hijack?", "/upgrade?"}[s.random.IntN(2)] + id
	kills := s.kills.Load()
	c := s.dial()
	defer s.hangUp()
	early := s.random.IntN(2) == 0
	request := text("GET", path, "", false, "Upgrade: echo\r\nConnection: upgrade\r\n")
	if early {
		request += "hello"
	}
	io.WriteString(c.Conn, request)
	if !early {
		time.Sleep(time.Duration(s.random.IntN(5)) * time.Millisecond)
		io.WriteString(c.Conn, "hello")
	}
	all, err := io.ReadAll(c.buffer)
	if excused := s.excused(kills); !strings.HasSuffix(string(all), "\r\n\r\n"+id+" hello") && !excused || errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Errorf("%s got %q, %v", path, all, err)
	}
	s.right++
}

// Hundreds of clients do what clients do, well or badly, while workers are killed. Whoever stays gets the right answer, and at
// the end nothing is left: no connection, no request, no thread that is taken for busy, no descriptor, no file.
func TestSoakClientsAndDyingWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a quarter of a minute")
	}
	const workers, threads, clients, seconds = 3, 4, 200, 12
	if _, err := loop.Next(); err != nil { // whose descriptors stay
		t.Fatal(err)
	}
	files := openFiles(t)
	log := &poolLog{}
	pool := soakPool(t, workers, threads, log)
	spool := t.TempDir()
	l, _ := listen(t)
	s := New(Config{Log: log, KeepAliveTimeout: time.Minute, HeaderTimeout: time.Minute, WriteTimeout: time.Minute, SpoolDir: spool}, pool)
	s.Serve(l)

	var kills atomic.Int64
	deadline := time.Now().Add(seconds * time.Second)
	var soaking sync.WaitGroup
	var right, failed atomic.Int64
	for i := range clients {
		soaking.Go(func() {
			soaker := &soaker{t: t, addr: l.Addr().String(), random: rand.New(rand.NewPCG(uint64(i), 7)), name: i, kills: &kills}
			for time.Now().Before(deadline) && !t.Failed() {
				soaker.step()
			}
			soaker.hangUp()
			right.Add(int64(soaker.right))
			failed.Add(int64(soaker.failed))
		})
	}
	for i := 0; time.Now().Before(deadline.Add(-time.Second)); i++ {
		time.Sleep(2 * time.Second)
		if pids := pool.Stats().PIDs; len(pids) > 0 {
			pid := pids[rand.IntN(len(pids))]
			kills.Add(1) // before it, so that whoever suffers from it finds it counted
			syscall.Kill(pid, []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM}[i%3])
			eventually(t, "the end of a worker is noticed", func() bool { return !slices.Contains(pool.Stats().PIDs, pid) })
			kills.Add(1)
		}
	}
	soaking.Wait()
	t.Logf("after %s: %d right answers, %d excused failures, %d kills", time.Since(deadline), right.Load(), failed.Load(), kills.Load()/2)
	if right.Load() < 200 || failed.Load() > right.Load()/5 {
		t.Error("that proves little")
	}

	eventually(t, "nobody is connected", func() bool { return s.Connections() == 0 })
	eventually(t, "all workers serve and none is busy", func() bool {
		stats := pool.Stats()
		return stats.Ready == workers && len(stats.PIDs) == workers && stats.Held == 0 && stats.Queued == 0
	})
	allAtOnce(t, l.Addr().String(), workers*threads)
	if left, _ := os.ReadDir(spool); len(left) > 0 {
		t.Errorf("%d spool files are left", len(left))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s.Shutdown(ctx)
	pool.Shutdown(ctx)
	l.Close()
	if ctx.Err() != nil {
		t.Error("the shutdown took all its time")
	}
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= files+3 }) // the runtime's poller's own, and the null device
}

// allAtOnce asks for as many answers at a time as there are threads, each of which takes longer than any may wait.
func allAtOnce(t *testing.T, addr string, threads int) {
	t.Helper()
	began := time.Now()
	const each = 2 * time.Second
	var asking sync.WaitGroup
	for i := range threads {
		c := dial(t, addr)
		c.send(fmt.Sprintf("GET /sleep?%d&%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", i, each.Milliseconds()))
		asking.Go(func() {
			if _, body := c.response("GET"); body != strconv.Itoa(i)+" " {
				t.Errorf("request %d got %q", i, body)
			}
			c.Close()
		})
	}
	asking.Wait()
	if took := time.Since(began); took > 2*each {
		t.Errorf("%d requests of %s took %s: not every thread was free", threads, each, took)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
