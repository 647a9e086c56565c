package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// wrk is one run of the load generator wrk.
type wrk struct {
	threads     int
	connections int
	seconds     int
	headers     []string // "Name: value"
	script      string   // a Lua file, may be empty
	url         string
}

// result is what wrk measured.
type result struct {
	Requests int      `json:"requests"`
	Rate     float64  `json:"requests_per_second"`
	P50      float64  `json:"p50_ms"`
	P90      float64  `json:"p90_ms"`
	P99      float64  `json:"p99_ms"`
	Slowest  float64  `json:"slowest_ms"`
	Failures failures `json:"failures"`
}

// failures are the requests that wrk could not count as well answered.
type failures struct {
	Connect int `json:"connect"`
	Read    int `json:"read"`
	Write   int `json:"write"`
	Timeout int `json:"timeout"`
	Status  int `json:"non_2xx_or_3xx"`
}

func (f failures) sum() int { return f.Connect + f.Read + f.Write + f.Timeout + f.Status }

func (f failures) plus(g failures) failures {
	return failures{f.Connect + g.Connect, f.Read + g.Read, f.Write + g.Write, f.Timeout + g.Timeout, f.Status + g.Status}
}

// args is the command line.
func (w wrk) args() []string {
	// wrk insists on a connection for each thread.
	args := []string{"wrk", "-t", strconv.Itoa(min(w.threads, w.connections)), "-c", strconv.Itoa(w.connections),
		"-d", strconv.Itoa(w.seconds) + "s", "--timeout", "10s", "--latency"}
	for _, header := range w.headers {
		args = append(args, "-H", header)
	}
	if w.script != "" {
		args = append(args, "-s", w.script)
	}
	return append(args, w.url)
}

// command is the command line as one would type it.
func (w wrk) command() string {
	words := w.args()
	for i, word := range words {
		if strings.ContainsAny(word, " \"';*?&") {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// run runs wrk to its end.
func (w wrk) run(ctx context.Context) (result, error) {
	args := w.args()
	process := exec.CommandContext(ctx, args[0], args[1:]...)
	process.WaitDelay = time.Second
	text, err := process.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return result{}, fmt.Errorf("%w: install wrk", err)
	}
	if err != nil {
		return result{}, fmt.Errorf("wrk failed: %w: %s", err, text)
	}
	return parseWrk(string(text))
}

var (
	wrkLatency = regexp.MustCompile(`(?m)^    Latency +\S+ +\S+ +(\S+)`)
	wrkQuanta  = regexp.MustCompile(`(?m)^ +(50|90|99)% +(\S+) *$`)
	wrkTotal   = regexp.MustCompile(`(?m)^ +(\d+) requests in `)
	wrkRate    = regexp.MustCompile(`(?m)^Requests/sec: +(\S+)$`)
	wrkSocket  = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus  = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// parseWrk reads what wrk 4 prints with --latency.
func parseWrk(text string) (result, error) {
	var r result
	var err error
	if m := wrkTotal.FindStringSubmatch(text); m != nil {
		r.Requests, err = strconv.Atoi(m[1])
	}
	rate := wrkRate.FindStringSubmatch(text)
	latency := wrkLatency.FindStringSubmatch(text)
	if err != nil || rate == nil || latency == nil {
		return r, fmt.Errorf("wrk printed something unexpected:\n%s", text)
	}
	if r.Rate, err = strconv.ParseFloat(rate[1], 64); err != nil {
		return r, fmt.Errorf("wrk printed a rate of %q", rate[1])
	}
	if r.Slowest, err = milliseconds(latency[1]); err != nil {
		return r, err
	}
	for _, m := range wrkQuanta.FindAllStringSubmatch(text, -1) {
		at := map[string]*float64{"50": &r.P50, "90": &r.P90, "99": &r.P99}[m[1]]
		if *at, err = milliseconds(m[2]); err != nil {
			return r, err
		}
	}
	r.Failures = parseFailures(text)
	return r, nil
}

// parseFailures reads the two lines which wrk prints only if something failed.
func parseFailures(text string) failures {
	var f failures
	if m := wrkSocket.FindStringSubmatch(text); m != nil {
		for i, field := range []*int{&f.Connect, &f.Read, &f.Write, &f.Timeout} {
			*field, _ = strconv.Atoi(m[i+1])
		}
	}
	if m := wrkStatus.FindStringSubmatch(text); m != nil {
		f.Status, _ = strconv.Atoi(m[1])
	}
	return f
}

// milliseconds reads a duration as wrk prints it: 824.00us, 1.22ms, 2.01s, 1.00m, 1.00h.
func milliseconds(text string) (float64, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("wrk printed a latency of %q", text)
	}
	return float64(d) / float64(time.Millisecond), nil
}
