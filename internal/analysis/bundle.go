package analysis

import (
	"regexp"
	"strings"

	"serval/internal/finding"
)

// Bundle is the app's bundle.
type Bundle struct {
	Gemfile string `json:"gemfile,omitempty"` // its path
	Lock    string `json:"lock,omitempty"`    // its path
	Gems    int    `json:"gems"`              // in the lock
	Bundler string `json:"bundler,omitempty"` // the version that wrote the lock
}

// gem is a gem with its version, which is empty when only the Gemfile names it.
type gem struct {
	version string
	place   finding.Place
}

// gems are the gems of the bundle by name.
type gems map[string]gem

var (
	gemLine     = regexp.MustCompile(`^gem[\s(]+["']([^"']+)["']`)
	rubyLine    = regexp.MustCompile(`^ruby[\s(]+["']([A-Za-z0-9_.~<>= -]+)["']`)
	lockedGem   = regexp.MustCompile(`^    ([A-Za-z0-9_.-]+) \(([A-Za-z0-9_.-]+)\)`)
	lockedRuby  = regexp.MustCompile(`^   ruby (\d+\.\d+\.\d+)`)
	bundlerLine = regexp.MustCompile(`^   (\d[A-Za-z0-9.]*)$`)
)

// readBundle reads Gemfile and Gemfile.lock, or gems.rb and gems.locked.
func (a *analyst) readBundle() {
	a.gems = gems{}
	for _, names := range [][2]string{{"Gemfile", "Gemfile.lock"}, {"gems.rb", "gems.locked"}} {
		text, there := a.read(names[0])
		if !there {
			continue
		}
		a.result.Bundle.Gemfile = names[0]
		for _, line := range rubyCode(text) {
			if m := gemLine.FindStringSubmatch(line.code); m != nil {
				a.gems[m[1]] = gem{place: line.place(names[0])}
			}
		}
		lock, there := a.read(names[1])
		if !there {
			a.found.Add(finding.Warning, finding.Place{File: names[1]}, "run bundle install, and put it under version control", "it is not there, so nobody knows which versions the app gets")
			return
		}
		a.result.Bundle.Lock = names[1]
		a.readLock(names[1], lock)
		return
	}
}

// readLock reads a Gemfile.lock.
func (a *analyst) readLock(path string, text []byte) {
	section, locked := "", gems{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		place := finding.Place{File: path, Line: number}
		switch {
		case strings.HasPrefix(line, "<<<<<<<"), strings.HasPrefix(line, ">>>>>>>"), strings.HasPrefix(line, "======="):
			a.found.Add(finding.Error, place, "merge it, or take the file away and run bundle install", "here is a merge conflict")
			return
		case line != "" && line[0] != ' ':
			section = line
		case section == "BUNDLED WITH":
			if m := bundlerLine.FindStringSubmatch(line); m != nil {
				a.result.Bundle.Bundler = m[1]
			}
		case section == "GEM" || section == "GIT" || section == "PATH":
			if m := lockedGem.FindStringSubmatch(line); m != nil {
				locked[m[1]] = gem{m[2], place}
			}
		}
	}
	a.result.Bundle.Gems = len(locked)
	a.gems = locked
}
