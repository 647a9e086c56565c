package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/load"
	"serval/internal/testkit"
)

// deployment is an app as deploy tools lay it out: releases/1, releases/2 and so on, and a link "current" to one of them.
type deployment struct {
	t   testing.TB
	dir string
	n   int // of the newest release
}

// deployed makes a deployment with one release, of version 1.
func deployed(t testing.TB) *deployment {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{t: t, dir: dir}
	d.release("")
	return d
}

// whatTheReleaseSays is an app that says of which release it is, and can be kept busy.
const whatTheReleaseSays = `
version = "@RELEASE"
run(lambda do |env|
  File.write(env["HTTP_X_ENTERED"], "") if env["HTTP_X_ENTERED"]
  query = Rack::Utils.parse_query(env["QUERY_STRING"])
  body = env["rack.input"]&.read.to_s
  text = case env["PATH_INFO"]
         when "/pid" then Process.pid.to_s
         when "/env" then ENV.fetch(query.fetch("name"), "unset")
         when "/dir" then Dir.pwd
         when "/sleep" then (sleep(query.fetch("s").to_f); "#{version} slept in #{Process.pid}")
         when "/gate" then ((sleep(0.005) until File.exist?(query.fetch("file"))); "#{version} open")
         when "/lazy" then require_relative("lazy"); Lazy::VERSION
         else "version #{version}#{" got #{body.bytesize} bytes" unless body.empty?}"
         end
  [200, { "content-type" => "text/plain" }, [text]]
end)
`

// release lays out the next release, with extra at the beginning of its config.ru, and moves the link to it.
func (d *deployment) release(extra string) {
	d.t.Helper()
	d.n++
	dir := d.path(d.n)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	version := fmt.Sprint(d.n)
	write(d.t, filepath.Join(dir, "config.ru"), extra+strings.ReplaceAll(whatTheReleaseSays, "@RELEASE", version))
	write(d.t, filepath.Join(dir, "lazy.rb"), "module Lazy; VERSION = 'lazy "+version+"'; end\n")
	d.link(d.n)
}

// link moves "current" to a release, in one step as deploy tools do.
func (d *deployment) link(n int) {
	d.t.Helper()
	if err := os.Symlink(d.path(n), filepath.Join(d.dir, "next")); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(d.dir, "next"), d.current()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) path(n int) string { return filepath.Join(d.dir, "releases", fmt.Sprint(n)) }

func (d *deployment) current() string { return filepath.Join(d.dir, "current") }

// start serves what "current" points to.
func (d *deployment) start(flags ...string) *testkit.Server {
	d.t.Helper()
	return testkit.Command{Flags: append([]string{"--dir", d.current()}, flags...)}.Start(d.t)
}

// version is what the newest release answers.
func (d *deployment) version() string { return fmt.Sprintf("version %d", d.n) }

// traffic is one load of each kind of client: connections that stay and one for each request, GET and POST.
type traffic []*load.Load

// startTraffic begins to send; every answer has to be that of some release.
func startTraffic(s *testkit.Server, rate int) traffic {
	check := func(body []byte) error {
		if !strings.HasPrefix(string(body), "version ") {
			return fmt.Errorf("the answer is %q", body)
		}
		return nil
	}
	var all traffic
	for _, keep := range []bool{true, false} {
		for _, method := range []string{"GET", "POST"} {
			cfg := load.Config{URL: s.URLs[0], Rate: rate, KeepAlive: keep, Method: method, Timeout: testkit.Patience, Check: check}
			if method == "POST" {
				cfg.Body = strings.Repeat("x", 1000)
			}
			all = append(all, load.Start(cfg))
		}
	}
	return all
}

// flows waits until every client has got some more answers.
func (all traffic) flows(t testing.TB) {
	t.Helper()
	for _, l := range all {
		before := l.Served()
		testkit.WaitFor(t, "the clients get answers", func() bool { return l.Served() >= before+5 })
	}
}

// stop ends the traffic and checks that no request failed.
func (all traffic) stop(t testing.TB) {
	t.Helper()
	for i, l := range all {
		if r := l.Stop(); r.Failed > 0 || r.Sent == 0 {
			kind := []string{"keep-alive GET", "keep-alive POST", "one-request GET", "one-request POST"}[i]
			t.Errorf("%s: %s", kind, r)
		}
	}
}
