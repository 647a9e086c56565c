package analysis

import (
	"path/filepath"
	"strings"
)

// Root is the directory that an app keeps over its releases: /srv/blog for /srv/blog/current and /srv/blog/releases/7.
func Root(directory string) string {
	parent := filepath.Dir(directory)
	switch {
	case filepath.Base(directory) == "current":
		return parent
	case filepath.Base(parent) == "releases":
		return filepath.Dir(parent)
	}
	return directory
}

// Name is what an app is called if nobody says otherwise: its directory's name, with - for what a name may not have. It is
// empty when nothing is left of that.
func Name(directory string) string {
	root := Root(directory)
	if filepath.Base(root) == "web_head" { // /var/deploy/APP/web_head/current
		root = filepath.Dir(root)
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, filepath.Base(root))
	name = strings.Trim(name, "-_")
	return name[:min(len(name), 64)]
}
