package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// pageAction is something that an operator does to the web server's unit.
type pageAction struct {
	name, command string
	gentle        bool // nothing stops in between, so there should be no silence
}

// pageActions are those of the page, and Serval's own.
var pageActions = []pageAction{
	{"serval restart", "cd /srv/app && serval restart web", true},
	{"systemctl reload", "systemctl reload cloud66_web_server.service", true},
	{"systemctl restart", "systemctl restart cloud66_web_server.service", false},
	{"stop + start", "systemctl stop cloud66_web_server.service && systemctl start cloud66_web_server.service", false},
	{"kill -USR1", "kill -USR1 $(cat /tmp/web_server.pid)", true},
	{"kill -USR2", "kill -USR2 $(cat /tmp/web_server.pid)", true},
}

const (
	pageSocket  = "/tmp/web_server.sock"
	pageSteady  = time.Second            // of load before the first action
	pagePause   = 300 * time.Millisecond // between two
	pagePatient = time.Minute            // for an action
	pageRow     = 30                     // answers of a release, all from one worker by chance once in 2^30
	pageClients = 50                     // of wrk
)

// pageRun is one action at one server under one load.
type pageRun struct {
	Server   string         `json:"server"`
	Action   string         `json:"action"`
	Preload  bool           `json:"preload"`
	Boot     int            `json:"boot_seconds"`
	Load     string         `json:"load"` // "500/s" or "saturated"
	Times    int            `json:"times"`
	Sent     int            `json:"sent"`
	Failed   int            `json:"failed"`
	Kinds    map[string]int `json:"failures"`
	Silences []float64      `json:"silences_ms"`      // the longest of each time; under 500/s
	Stills   []float64      `json:"machine_still_ms"` // the longest that a processor stood still meanwhile
	Steady   float64        `json:"steady_silence_ms"`
	Slowest  float64        `json:"slowest_ms"`
	Took     []float64      `json:"took_ms"` // until the new release answers
	Lag      float64        `json:"sent_late_ms"`
	Problems []string       `json:"problems"`
}

// pageServer is a web server as it is installed on a host.
type pageServer struct {
	name     string
	procfile string
	config   func(preload bool) string // of config/puma.rb
}

func workersTwo(preload bool) string {
	if preload {
		return "workers 2\npreload_app!\n"
	}
	return "workers 2\npreload_app! false\n"
}

var pageServers = []pageServer{
	{"serval", "custom_web: serval -e $RACK_ENV -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid\n", workersTwo},
	{"puma", "custom_web: bundle exec puma -e $RACK_ENV -b unix:///tmp/web_server.sock --pidfile /tmp/web_server.pid\n", workersTwo},
}

// page measures what clients see of the page's commands, under a real systemd.
func (b *bench) page(ctx context.Context) (finding, error) {
	m, err := b.machineOfItsOwn(ctx)
	if err != nil {
		return finding{}, err
	}
	defer m.down()
	var runs []pageRun
	for _, boot := range []int{0, slowBoot} {
		for _, preload := range []bool{false, true} {
			for _, s := range pageServers {
				if !slices.Contains(b.Servers, s.name) {
					continue
				}
				found, err := b.pageSeries(ctx, m, s, preload, boot)
				runs = append(runs, found...)
				if err != nil {
					return finding{}, fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
	}
	return finding{method: pageMethod(b.Options), words: pageWords(runs), tables: []table{pageTable(runs, "500/s"), pageTable(runs, "saturated")},
		commands: each(pageActions, func(a pageAction) string { return a.command }), raw: runs}, nil
}

// pageSeries installs a server and has all actions done to it.
func (b *bench) pageSeries(ctx context.Context, m *box, s pageServer, preload bool, boot int) (runs []pageRun, err error) {
	host := &pageHost{box: m, bench: b, server: s}
	if err := host.install(ctx, preload, boot); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, host.uninstall()) }()
	for _, action := range pageActions {
		times := b.Actions
		if boot > 0 {
			times = b.SlowActions
		}
		run := pageRun{Server: s.name, Action: action.name, Preload: preload, Boot: boot, Times: times}
		loads := []func(context.Context, pageAction, *pageRun) error{host.steadily, host.saturated}
		if boot > 0 && s.name != "serval" {
			loads = loads[:1] // it takes minutes, and the other load says the same
		}
		for _, load := range loads {
			found := run
			if err := load(ctx, action, &found); err != nil {
				return runs, fmt.Errorf("%s: %w", action.name, err)
			}
			b.logf("%s", found)
			runs = append(runs, found)
		}
	}
	return runs, nil
}
