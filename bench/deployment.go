package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// deployment is an app as deploy tools lay it out: releases/1, releases/2 and so on, and a link "current" to one of them.
// The app answers with the number of its release, a variable of its environment and the version of a gem.
type deployment struct {
	dir     string
	boot    int  // how many seconds the app takes to load
	bundled bool // it has a Gemfile
	release int  // the newest
	serving int  // the release that should serve
	flavour int  // of the environment
}

// deploy makes a deployment with one release.
func deploy(boot int, bundled bool) (*deployment, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	d := &deployment{dir: dir, boot: boot, bundled: bundled, flavour: 1}
	if err := d.next(""); err != nil {
		d.remove()
		return nil, err
	}
	return d, d.flavoured()
}

const releasedApp = `# frozen_string_literal: true
%s
sleep %d
run(lambda do |env|
  env["rack.input"]&.read
  [200, { "content-type" => "text/plain" }, ["release %d flavour #{ENV["FLAVOUR"]} gem #{defined?(PROBE) ? PROBE : 0} pid #{Process.pid}\n"]]
end)
`

// asRailsDoes is how config/boot.rb of a Rails app takes up its bundle, whatever serves it.
const asRailsDoes = `ENV["BUNDLE_GEMFILE"] = File.expand_path("Gemfile", __dir__)
require "bundler/setup"
require "probe"`

// next lays out another release, which begins with extra, and moves the link to it in one step.
func (d *deployment) next(extra string) error {
	d.release++
	if err := os.MkdirAll(d.path(), 0o700); err != nil {
		return err
	}
	if err := d.write(extra); err != nil {
		return err
	}
	d.serving = d.release
	return d.link(d.release)
}

// write writes the newest release's files.
func (d *deployment) write(extra string) error {
	if d.bundled {
		if err := d.bundle(); err != nil {
			return err
		}
		extra = asRailsDoes + "\n" + extra
	}
	return os.WriteFile(filepath.Join(d.path(), "config.ru"), fmt.Appendf(nil, releasedApp, extra, d.boot, d.release), 0o600)
}

// bundle gives the newest release a Gemfile with another version of a gem.
func (d *deployment) bundle() error {
	files := map[string]string{
		"Gemfile":            "source Gem.sources.to_a.first\ngem \"rack\"\ngem \"puma\"\ngem \"probe\", path: \"probe\"\n",
		"probe/lib/probe.rb": fmt.Sprintf("PROBE = %d\n", d.release),
		"probe/probe.gemspec": fmt.Sprintf("Gem::Specification.new { |s| s.name = 'probe'; s.version = '%d'; s.summary = s.author = 'x'; s.files = ['lib/probe.rb'] }\n",
			d.release),
	}
	for name, text := range files {
		path := filepath.Join(d.path(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	lock := exec.Command("bundle", "lock", "--local")
	lock.Dir, lock.Env = d.path(), plainEnvironment()
	if out, err := lock.CombinedOutput(); err != nil {
		return fmt.Errorf("bundle lock: %w\n%s", err, out)
	}
	return nil
}

// back moves the link to the release that serves.
func (d *deployment) back(release int) error {
	d.serving = release
	return d.link(release)
}

func (d *deployment) link(release int) error {
	fresh := filepath.Join(d.dir, "next")
	if err := os.Symlink(filepath.Join(d.dir, "releases", fmt.Sprint(release)), fresh); err != nil {
		return err
	}
	return os.Rename(fresh, d.current())
}

// flavoured writes the environment file.
func (d *deployment) flavoured() error {
	return os.WriteFile(d.envFile(), fmt.Appendf(nil, "FLAVOUR=%d\n", d.flavour), 0o600)
}

func (d *deployment) path() string    { return filepath.Join(d.dir, "releases", fmt.Sprint(d.release)) }
func (d *deployment) current() string { return filepath.Join(d.dir, "current") }
func (d *deployment) envFile() string { return filepath.Join(d.dir, "env") }
func (d *deployment) remove()         { os.RemoveAll(d.dir) }

// answer is what every response should begin with.
func (d *deployment) answer() string {
	gem := 0
	if d.bundled {
		gem = d.serving
	}
	return fmt.Sprintf("release %d flavour %d gem %d pid ", d.serving, d.flavour, gem)
}

// answers asks n times, on a connection each.
func answers(ctx context.Context, address string, n int) ([]string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: requestTimeout}
	var all []string
	for range n {
		text, err := answer(ctx, &client, address)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

// answer asks once.
func answer(ctx context.Context, client *http.Client, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server answered %s", response.Status)
	}
	return strings.TrimSpace(string(body)), err
}
