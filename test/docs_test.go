package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestThePagesDoWhatTheyShow(t *testing.T) {
	t.Parallel()
	testkit.Need(t, "ruby")
	testkit.Need(t, "curl")
	testkit.Need(t, "pgrep")
	testkit.Need(t, "jq")
	for _, p := range docPages(t) {
		blocks := p.blocks()
		if !runs(blocks) {
			continue
		}
		t.Run(strings.TrimPrefix(p.path, "docs/"), func(t *testing.T) {
			t.Parallel()
			s := newPageShell(t)
			for _, b := range blocks {
				s.carryOut(b)
			}
		})
	}
}

func runs(blocks []pageBlock) bool {
	for _, b := range blocks {
		if b.note == "systemd" {
			return false // such a page is carried out on a machine of its own
		}
		if b.lang == "sh" || b.lang == "console" {
			return true
		}
	}
	return false
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	root := testkit.Root(t)
	for _, p := range append(docPages(t), readPage(t, "README.md"), readPage(t, "CONTRIBUTING.md")) {
		for _, found := range link.FindAllStringSubmatch(p.text, -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := filepath.Join(filepath.Dir(p.path), target)
			if target == "" {
				path = p.path
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s links to %s, which is not there", p.path, found[1])
			} else if anchor != "" && !hasAnchor(readPage(t, path), anchor) {
				t.Errorf("%s links to %s, and no heading there is called so", p.path, found[1])
			}
		}
	}
}

// hasAnchor reports whether a heading of the page has the anchor that code hosts give it.
func hasAnchor(p page, anchor string) bool {
	for line := range strings.Lines(p.text) {
		heading := strings.TrimLeft(line, "#")
		if heading == line {
			continue
		}
		name := strings.ToLower(strings.TrimSpace(heading))
		name = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, "")
		if strings.ReplaceAll(name, " ", "-") == anchor {
			return true
		}
	}
	return false
}

func TestPagesAreShortAndInTheIndex(t *testing.T) {
	index := readPage(t, "docs/README.md")
	for _, p := range docPages(t) {
		if lines := strings.Count(p.text, "\n"); lines > 150 {
			t.Errorf("%s has %d lines: a page answers one question in at most 150", p.path, lines)
		}
		if name := strings.TrimPrefix(p.path, "docs/"); name != "README.md" && !strings.Contains(index.text, "("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
		if !strings.HasPrefix(p.text, "# ") {
			t.Errorf("%s does not begin with its title", p.path)
		}
	}
}
