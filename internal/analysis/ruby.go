package analysis

import (
	"regexp"
	"strings"

	"serval/internal/finding"
)

var rubyVersion = regexp.MustCompile(`^(?:ruby[- ])?((?:[a-z]+-)?\d+(?:\.\d+)*[A-Za-z0-9.-]*)$`)

// findRuby finds the version of Ruby: .ruby-version, the Gemfile, .tool-versions, and what wrote the lock, the first of
// them that there is. Those that do not agree are reported.
func (a *analyst) findRuby() {
	for _, look := range []func() Found{a.rubyVersionFile, a.gemfileRuby, a.toolVersions, a.lockedRuby} {
		found := look()
		switch {
		case found.Version == "":
		case a.result.Ruby.Version == "":
			found.Name = "Ruby"
			a.result.Ruby = found
		case !agree(a.result.Ruby.Version, found.Version):
			a.found.Add(finding.Warning, *found.From, "write the same version in both", "it asks for Ruby %s, and %s for %s", found.Version, a.result.Ruby.From, a.result.Ruby.Version)
		}
	}
}

// agree reports whether two versions can be the same: "3.1" agrees with "3.1.2". Requirements such as ~> 3.1 are left to
// Bundler.
func agree(a, b string) bool {
	if strings.ContainsAny(a+b, "~<>=") {
		return true
	}
	return strings.HasPrefix(a+".", b+".") || strings.HasPrefix(b+".", a+".")
}

func (a *analyst) rubyVersionFile() Found {
	const path = ".ruby-version"
	text, there := a.read(path)
	if !there {
		return Found{}
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) == "" {
			continue
		}
		place := &finding.Place{File: path, Line: i + 1}
		if m := rubyVersion.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			return Found{Version: m[1], From: place}
		}
		a.found.Add(finding.Warning, *place, "write one, such as 3.3.6", "%q is no version of Ruby", strings.TrimSpace(line))
		return Found{}
	}
	return Found{}
}

func (a *analyst) gemfileRuby() Found {
	path := a.result.Bundle.Gemfile
	if path == "" {
		return Found{}
	}
	text, _ := a.read(path)
	if place, m := (config{path, rubyCode(text)}).find(rubyLine); m != nil {
		return Found{Version: m[1], From: &place}
	}
	return Found{}
}

func (a *analyst) toolVersions() Found {
	const path = ".tool-versions"
	text, _ := a.read(path)
	for i, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "ruby" && rubyVersion.MatchString(words[1]) {
			return Found{Version: words[1], From: &finding.Place{File: path, Line: i + 1}}
		}
	}
	return Found{}
}

func (a *analyst) lockedRuby() Found {
	path := a.result.Bundle.Lock
	if path == "" {
		return Found{}
	}
	text, _ := a.read(path)
	for i, line := range strings.Split(string(text), "\n") {
		if m := lockedRuby.FindStringSubmatch(line); m != nil {
			return Found{Version: m[1], From: &finding.Place{File: path, Line: i + 1}}
		}
	}
	return Found{}
}

// frameworks are gems that say what an app is made with. The first one that is there counts: an app of Rails may have
// Sinatra in it as well.
var frameworks = []struct{ gem, name string }{
	{"rails", "Rails"}, {"railties", "Rails"}, {"hanami", "Hanami"}, {"padrino", "Padrino"}, {"padrino-core", "Padrino"}, {"sinatra", "Sinatra"},
	{"roda", "Roda"}, {"grape", "Grape"}, {"cuba", "Cuba"}, {"camping", "Camping"}, {"rack", "Rack"},
}

// findFramework finds out what the app is made with.
func (a *analyst) findFramework() {
	for _, f := range frameworks {
		if gem, there := a.gems[f.gem]; there {
			a.result.Framework = Found{f.name, gem.version, &gem.place}
			return
		}
	}
	if a.files.exists("config.ru") {
		a.result.Framework = Found{Name: "Rack", From: &finding.Place{File: "config.ru"}}
	}
}
