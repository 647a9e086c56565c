// Package generation is one state of an app: its code, its configuration and its environment, at the time somebody asked
// for it. A restart makes a new one; a worker that dies is replaced by one of its own generation.
package generation

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"serval/internal/config"
	"serval/internal/worker"
)

// Generation starts workers that are all alike.
type Generation struct {
	Number int
	Config config.Config

	code    *worker.Runtime
	version string             // of Serval, for the workers
	handler worker.MoldHandler // what molds ask for
	stop    chan struct{}      // closed when the generation is over
	over    sync.Once

	mu  sync.Mutex // guards following
	dir string     // the app's directory without symlinks: a "current" link that moves on does not take this generation along

	molding sync.Mutex // held while a mold boots
	mold    atomic.Pointer[worker.Mold]
	hooks   sync.WaitGroup
	workers sync.WaitGroup // launched, and not said to have ended

	watching sync.WaitGroup // those who wait for the ends of molds
}

// New makes the generation that cfg describes now: the directory's symlinks and the environment files are looked at here.
func New(number int, cfg config.Config, code *worker.Runtime, version string, handler worker.MoldHandler) (*Generation, error) {
	dir, err := filepath.EvalSymlinks(cfg.Directory)
	if err != nil {
		return nil, fmt.Errorf("the app's directory %s is not there: %w", cfg.Directory, err)
	}
	if err := cfg.ReadEnvironment(); err != nil {
		return nil, err
	}
	return &Generation{Number: number, Config: cfg, code: code, version: version, handler: handler, dir: dir, stop: make(chan struct{})}, nil
}

// Next makes a generation with the same configuration and whatever the app's code and environment files are now.
func (g *Generation) Next() (*Generation, error) { return g.With(g.Config) }

// With makes a generation with another configuration.
func (g *Generation) With(cfg config.Config) (*Generation, error) {
	return New(g.Number+1, cfg, g.code, g.version, g.handler)
}

// Launch starts worker number index, or has the mold fork it. Whoever does has to say when it has ended, by WorkerEnded.
func (g *Generation) Launch(index int, h worker.Handler) (*worker.Worker, error) {
	w, err := g.launch(index, h)
	if err == nil {
		g.workers.Add(1)
	}
	return w, err
}

func (g *Generation) launch(index int, h worker.Handler) (*worker.Worker, error) {
	mold, err := g.readyMold()
	if err != nil {
		return nil, err
	}
	dir := g.place()
	if mold != nil {
		return mold.Fork(index, g.settings(dir, index), h)
	}
	script, err := g.code.Script("serval/worker.rb")
	if err != nil {
		return nil, err
	}
	return worker.Start(worker.Config{
		Ruby: g.Config.Ruby, Script: script, Dir: dir, Env: g.environment(dir), Settings: g.settings(dir, index),
		Index: index, Stdout: os.Stdout, Stderr: os.Stderr,
	}, h)
}

// place is the generation's directory, or another one when that has been deleted: newer code is better than no worker.
func (g *Generation) place() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := os.Stat(g.dir); err != nil {
		if dir, err := filepath.EvalSymlinks(g.Config.Directory); err == nil {
			g.dir = dir
		}
	}
	return g.dir
}

// environment is what the workers start with. PWD names the directory the way the user does, as long as that is true.
func (g *Generation) environment(dir string) []string {
	env := slices.Clone(g.Config.WorkerEnv)
	for i, entry := range env {
		if gemfile, ok := strings.CutPrefix(entry, "BUNDLE_GEMFILE="); ok {
			env[i] = "BUNDLE_GEMFILE=" + g.within(dir, gemfile)
		}
	}
	if now, err := filepath.EvalSymlinks(g.Config.Directory); err != nil || now != dir {
		env = append(env, "PWD="+dir)
	}
	return env
}

// within maps a path in the app's directory, as the user named it, into dir.
func (g *Generation) within(dir, path string) string {
	if rest, ok := strings.CutPrefix(path, g.Config.Directory+"/"); ok {
		return filepath.Join(dir, rest)
	}
	return path
}
