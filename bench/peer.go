package main

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
)

// setup says how a server is to be started.
type setup struct {
	app     string // a rackup file
	workers int
	threads int    // of each worker; Unicorn has one
	patient bool   // keep idle connections for minutes
	dir     string // of an app whose config.ru is to be served, in place of app
	program string // in place of the serval that is measured: a copy of it
	address string // host:port; empty: a free port
	flags   []string
	env     []string // NAME=value
}

// where are the flags, and the argument, that say what to serve.
func (s setup) where() []string {
	if s.dir != "" {
		return append([]string{"--dir", s.dir}, s.flags...)
	}
	return append(slices.Clone(s.flags), s.app)
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
			args := append([]string{cmp.Or(s.program, o.Serval), "-b", "tcp://" + address, "-e", "production"}, sizes(s)...)
			if s.patient {
				args = append(args, "--keepalive-timeout", "600")
			}
			return append(args, s.where()...)
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
			return append(args, s.where()...)
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
