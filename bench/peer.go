package main

import (
	"regexp"
	"strconv"
)

// setup says how a server is to be started.
type setup struct {
	app     string // a rackup file
	workers int
	threads int  // of each worker; Unicorn has one
	patient bool // keep idle connections for minutes
}

// peer is a server program: how it is called, and how it says that a worker is ready.
type peer struct {
	command func(o Options, s setup, address string) []string
	ready   *regexp.Regexp // in its output, once per worker
}

// The servers that can be measured. All log no requests and run in the production environment.
var peers = map[string]peer{
	"serval": {
		command: func(o Options, s setup, address string) []string {
			args := append([]string{o.Serval, "-b", "tcp://" + address, "-e", "production"}, sizes(s)...)
			if s.patient {
				args = append(args, "--keepalive-timeout", "600")
			}
			return append(args, s.app)
		},
		ready: regexp.MustCompile(`Worker \d+ \(PID: \d+\) booted`),
	},
	"puma": {
		command: func(_ Options, s setup, address string) []string {
			config := "-" // none, whatever config/puma.rb there may be
			if s.patient {
				config = "bench/puma.rb"
			}
			args := append([]string{"puma", "-C", config, "-b", "tcp://" + address, "-e", "production"}, sizes(s)...)
			return append(args, s.app)
		},
		ready: regexp.MustCompile(`Worker \d+ \(PID: \d+\) booted`),
	},
	"unicorn": {
		command: func(_ Options, s setup, address string) []string {
			return []string{"env", "UNICORN_WORKERS=" + strconv.Itoa(s.workers),
				"unicorn", "-c", "bench/unicorn.rb", "-l", address, "-E", "production", s.app}
		},
		ready: regexp.MustCompile(`worker=\d+ ready`),
	},
}

// sizes are the flags that Serval and Puma share.
func sizes(s setup) []string {
	threads := strconv.Itoa(s.threads)
	return []string{"-w", strconv.Itoa(s.workers), "-t", threads + ":" + threads}
}
