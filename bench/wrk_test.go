package main

import (
	"strings"
	"testing"
)

const goodRun = `Running 2s test @ http://127.0.0.1:9750/fast
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.27ms    4.70ms  45.31ms   93.18%
    Req/Sec     6.99k     2.05k   11.14k    70.00%
  Latency Distribution
     50%  950.00us
     75%    1.52ms
     90%    4.27ms
     99%    1.26s 
  27889 requests in 2.01s, 2.82MB read
Requests/sec:  13899.88
Transfer/sec:      1.41MB
`

const badRun = `Running 1s test @ http://127.0.0.1:9750/
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.00us    0.00us   0.00us    -nan%
    Req/Sec     0.00      0.00     0.00      -nan%
  Latency Distribution
     50%    0.00us
     75%    0.00us
     90%    0.00us
     99%    0.00us
  12 requests in 1.01s, 0.00B read
  Socket errors: connect 1, read 20, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:     11.88
Transfer/sec:       0.00B
`

func TestARunOfWrkIsReadInMilliseconds(t *testing.T) {
	got, err := parseWrk(goodRun)
	if err != nil {
		t.Fatal(err)
	}
	want := result{Requests: 27889, Rate: 13899.88, P50: 0.95, P90: 4.27, P99: 1260, Slowest: 45.31}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFailuresOfWrkAreCountedByKind(t *testing.T) {
	got, err := parseWrk(badRun)
	if err != nil {
		t.Fatal(err)
	}
	want := failures{Connect: 1, Read: 20, Write: 3, Timeout: 4, Status: 5}
	if got.Failures != want {
		t.Errorf("got %+v, want %+v", got.Failures, want)
	}
	if sum := got.Failures.sum(); sum != 33 {
		t.Errorf("the sum is %d, want 33", sum)
	}
	if twice := want.plus(want); twice != (failures{2, 40, 6, 8, 10}) {
		t.Errorf("twice that is %+v", twice)
	}
}

func TestWhatIsNotFromWrkIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":         "",
		"another program": "wrk2: unknown option\n",
		"no rate":         strings.Replace(goodRun, "Requests/sec", "Bananas/sec", 1),
		"no latency":      strings.Replace(goodRun, "    Latency  ", "    Lateness ", 1),
		"a strange time":  strings.Replace(goodRun, "950.00us", "950.00xs", 1),
	} {
		if r, err := parseWrk(text); err == nil {
			t.Errorf("%s was read as %+v", name, r)
		}
	}
}

func TestTheCommandLineOfWrkCanBeTyped(t *testing.T) {
	w := wrk{threads: 2, connections: 64, seconds: 5, headers: []string{"Accept: */*", "X-It's: quoted"}, script: "bench/post.lua", url: "http://127.0.0.1:PORT/"}
	want := `wrk -t 2 -c 64 -d 5s --timeout 10s --latency -H 'Accept: */*' -H 'X-It'\''s: quoted' -s bench/post.lua http://127.0.0.1:PORT/`
	if got := w.command(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWrkGetsNoMoreThreadsThanConnections(t *testing.T) {
	w := wrk{threads: 8, connections: 2, seconds: 1, url: "http://127.0.0.1:1/"}
	if got := strings.Join(w.args(), " "); !strings.HasPrefix(got, "wrk -t 2 -c 2 ") {
		t.Errorf("got %s", got)
	}
}
