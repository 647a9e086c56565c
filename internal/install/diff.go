package install

import (
	"fmt"
	"strings"

	"serval/internal/installation"
)

// context is how many lines that are the same stand around those that are not.
const context = 3

// Diff is what would change, as a unified diff. The environment's copies are named, and not shown.
func (c *Change) Diff() string {
	var b strings.Builder
	for _, s := range c.Steps {
		switch {
		case s.Kind == Same:
		case s.File.Kind == installation.Directory:
			fmt.Fprintf(&b, "new directory %s\n", s.Path)
		case s.File.Kind == installation.Link:
			if s.Now.link {
				fmt.Fprintf(&b, "-%s -> %s\n", s.Path, s.Now.text)
			}
			fmt.Fprintf(&b, "+%s -> %s\n", s.Path, s.Text)
		default:
			b.WriteString(diffFile(s.Path, s.Now, state{there: true, text: s.Text, mode: s.Mode}))
		}
	}
	for _, s := range c.Obsolete {
		if s.Now.link {
			fmt.Fprintf(&b, "-%s -> %s\n", s.Path, s.Now.text)
			continue
		}
		b.WriteString(diffFile(s.Path, s.Now, state{}))
	}
	return b.String()
}

// diffFile is the difference of one file.
func diffFile(path string, from, to state) string {
	before, after := path, path
	if !from.there {
		before = "/dev/null"
	}
	if !to.there {
		after = "/dev/null"
	}
	if from.mode.Perm()&0o077 == 0 && from.there || to.mode.Perm()&0o077 == 0 && to.there {
		return fmt.Sprintf("--- %s\n+++ %s\n(what is in it is private)\n", before, after)
	}
	text := unified(lines(from.text), lines(to.text))
	if from.there && to.there && from.mode.Perm() != to.mode.Perm() {
		text = fmt.Sprintf("old mode %04o\nnew mode %04o\n", from.mode.Perm(), to.mode.Perm()) + text
	}
	return fmt.Sprintf("--- %s\n+++ %s\n", before, after) + text
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// edit is a line with what becomes of it: ' ', '-' or '+'.
type edit struct {
	sign byte
	line string
}

// unified is the difference of two lists of lines, in hunks.
func unified(a, b []string) string {
	edits := compare(a, b)
	var out strings.Builder
	for at := 0; at < len(edits); {
		if edits[at].sign == ' ' {
			at++
			continue
		}
		from, to := hunk(edits, at)
		writeHunk(&out, edits, from, to)
		at = to
	}
	return out.String()
}

// hunk is where the hunk with the change at i begins and ends: changes with few lines between them are in one.
func hunk(edits []edit, i int) (from, to int) {
	from, to = max(0, i-context), i
	for same := 0; i < len(edits) && same <= 2*context; i++ {
		if edits[i].sign == ' ' {
			same++
			continue
		}
		same, to = 0, i+1
	}
	return from, min(len(edits), to+context)
}

func writeHunk(out *strings.Builder, edits []edit, from, to int) {
	before, after := 1, 1 // line numbers
	for _, e := range edits[:from] {
		before += count(e, '-')
		after += count(e, '+')
	}
	removed, added := 0, 0
	for _, e := range edits[from:to] {
		removed += count(e, '-')
		added += count(e, '+')
	}
	if removed == 0 {
		before--
	}
	if added == 0 {
		after--
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", before, removed, after, added)
	for _, e := range edits[from:to] {
		fmt.Fprintf(out, "%c%s\n", e.sign, e.line)
	}
}

// count is 1 for a line of one side, and for those that both have.
func count(e edit, side byte) int {
	if e.sign == side || e.sign == ' ' {
		return 1
	}
	return 0
}

// compare finds the longest list of lines that both have, and so what was taken out and put in. Units are short enough for a
// table of all pairs.
func compare(a, b []string) (edits []edit) {
	longest := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range longest {
		longest[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			edits = append(edits, edit{' ', a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || longest[i+1][j] >= longest[i][j+1]):
			edits = append(edits, edit{'-', a[i]})
			i++
		default:
			edits = append(edits, edit{'+', b[j]})
			j++
		}
	}
	return edits
}
