package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// setup says how a server is to be started.
type setup struct {
	app     string // a rackup file
	workers int
	threads int    // of each worker, where the server has threads
	patient bool   // keep idle connections for minutes
	dir     string // of an app whose config.ru is to be served, in place of app
	program string // in place of the serval that is measured: a copy of it
	address string // host:port; empty: a free port
	behind  string // host:port where the server behind a proxy listens; empty: a free port
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

// port is the port of an address.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// peer is a server program: how it is called, and how it says that a worker is ready.
type peer struct {
	name    string
	about   string // what is to be known about its figures
	command func(program []string, s setup) []string
	ready   *regexp.Regexp              // in its output, once per worker; nil: it is ready when it answers
	version []string                    // arguments that make it print its version; nil: it has none
	single  bool                        // a worker serves one request at a time, whatever the threads
	ours    bool                        // measured unless others are named: a package or this repository has it
	apart   func(address string) string // file with the id of the process that leads its others; nil: they are its descendants
}

// peerNamed returns a peer that is known to exist.
func peerNamed(name string) peer {
	return peers[slices.Index(peerNames(), name)]
}

func peerNames() []string { return each(peers, func(p peer) string { return p.name }) }

// variable is the environment variable that says how the peer is started: a command, its words with spaces between.
func (p peer) variable() string { return strings.ToUpper(p.name) }

// program is the beginning of the command line: what the variable says, else the program of that name.
func (p peer) program(o Options) ([]string, error) {
	if p.name == "serval" {
		return []string{o.Serval}, nil
	}
	if words := strings.Fields(os.Getenv(p.variable())); len(words) > 0 && !p.ours {
		return words, nil
	}
	if _, err := exec.LookPath(p.name); err != nil && !p.ours {
		return nil, fmt.Errorf("%s is not here: set %s to the command that starts it, or leave it out with -servers", p.name, p.variable())
	}
	return []string{p.name}, nil
}

// typed is the command line as one would type it, with PORT for the port and the peer's own name in place of where it is.
func (p peer) typed(o Options, s setup) string {
	program := []string{p.name}
	if p.name == "serval" {
		program = []string{o.Serval}
	}
	s.address, s.behind = "127.0.0.1:PORT", "127.0.0.1:PORT2"
	return strings.Join(p.command(program, s), " ")
}

// given are the peers that are measured unless others are named: those that need no variable, and those that have one.
func given() list {
	var names list
	for _, p := range peers {
		if p.ours || os.Getenv(p.variable()) != "" {
			names = append(names, p.name)
		}
	}
	return names
}

// leftOut are the peers that are not measured.
func (o Options) leftOut() []string {
	return slices.DeleteFunc(peerNames(), func(name string) bool { return slices.Contains(o.Servers, name) })
}

// threaded are the chosen servers whose workers serve several requests at once: the others need a worker for each.
func (o Options) threaded() []string {
	return slices.DeleteFunc(slices.Clone(o.Servers), func(name string) bool { return peerNamed(name).single })
}

// pair are Serval and Puma, as far as they are chosen: in what is about more than requests, nobody else is called as they are.
func (o Options) pair() []string {
	return slices.DeleteFunc(slices.Clone(o.Servers), func(name string) bool { return name != "serval" && name != "puma" })
}

// aboutPeers says what is to be known about the servers that are measured, and which are not.
func (o Options) aboutPeers() []string {
	var sentences []string
	for _, name := range o.Servers {
		if p := peerNamed(name); p.about != "" {
			sentences = append(sentences, p.name+" "+p.about+".")
		}
	}
	if out := o.leftOut(); len(out) > 0 {
		sentences = append(sentences, "Left out: "+strings.Join(out, ", ")+".")
	}
	return []string{strings.Join(sentences, " ")}
}

// versionOf is what the peer says it is or, if it says nothing, what its source is.
func versionOf(p peer, o Options) string {
	program, err := p.program(o)
	if err != nil {
		return ""
	}
	if p.version != nil {
		text, _ := exec.Command(program[0], append(slices.Clone(program[1:]), p.version...)...).CombinedOutput()
		for line := range strings.Lines(string(text)) {
			if found := parseVersion(strings.TrimSpace(line)); found != "" {
				return found
			}
		}
	}
	path, err := exec.LookPath(program[len(program)-1])
	if errors.Is(err, exec.ErrNotFound) {
		path = program[len(program)-1] // a script is not looked for in PATH
	}
	return strings.TrimPrefix(firstOf("git", "-C", filepath.Dir(path), "describe", "--tags", "--always"), "v")
}

// firstOf is the first line that a program prints if it succeeds.
func firstOf(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
