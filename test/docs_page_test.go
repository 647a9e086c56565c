package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// page is one page of the documentation.
type page struct {
	path string // counted from the repository's top
	text string
}

// readPage returns a page by its path from the repository's top.
func readPage(t testing.TB, path string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return page{path, string(text)}
}

// docPages returns every page under docs.
func docPages(t testing.TB) []page {
	t.Helper()
	root := testkit.Root(t)
	var found []page
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			relative, _ := filepath.Rel(root, path)
			found = append(found, readPage(t, relative))
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("found %d pages: %v", len(found), err)
	}
	return found
}

// pageBlock is a fenced block, or a note to the tests: <!-- test: in examples/rails -->.
type pageBlock struct {
	lang string // of the fence
	text string // between the fences
	note string // to the tests; then the rest is empty
	line int    // where it begins in the page
}

var noteToTests = regexp.MustCompile(`^<!-- test: (.*) -->$`)

// blocks returns the fenced blocks and the notes of a page, in order.
func (p page) blocks() (found []pageBlock) {
	var open *pageBlock
	for i, line := range strings.Split(p.text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case open == nil && isFence:
			open = &pageBlock{lang: fence, line: i + 1}
		case open == nil:
			if note := noteToTests.FindStringSubmatch(line); note != nil {
				found = append(found, pageBlock{note: note[1], line: i + 1})
			}
		case isFence:
			found = append(found, *open)
			open = nil
		default:
			open.text += line + "\n"
		}
	}
	return found
}

// file returns the name of the file that a block holds, "" if it holds none. Its first line says so: "# file: config.ru".
func (b pageBlock) file() string {
	first, _, _ := strings.Cut(b.text, "\n")
	name, isFile := strings.CutPrefix(first, "# file: ")
	if !isFile {
		return ""
	}
	return name
}

// section is what stands under a heading, to the next one of its rank.
func (p page) section(t testing.TB, heading string) page {
	t.Helper()
	_, rest, found := strings.Cut(p.text, "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", p.path, heading)
	}
	rank, _, _ := strings.Cut(heading, " ")
	rest, _, _ = strings.Cut(rest, "\n"+rank+" ")
	return page{p.path, rest}
}

// rows returns the rows of all tables of a page, each as its cells by the names of their columns.
func (p page) rows() (rows []map[string]string) {
	var header []string
	for line := range strings.Lines(p.text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			header = nil
			continue
		}
		cells := cells(line)
		switch {
		case header == nil:
			header = cells
		case strings.Trim(line, "|-: ") == "":
		default:
			row := map[string]string{}
			for i, cell := range cells {
				if i < len(header) {
					row[header[i]] = cell
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// cells splits a line of a table. A bar that belongs to a cell is written \|.
func cells(line string) []string {
	const bar = "\x00"
	line = strings.ReplaceAll(strings.Trim(line, "|"), `\|`, bar)
	cells := strings.Split(line, "|")
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(strings.TrimSpace(cell), bar, "|")
	}
	return cells
}

var codeSpan = regexp.MustCompile("`` (.*?) ``|`([^`]+)`")

// codes returns the code spans of a text.
func codes(text string) (found []string) {
	for _, span := range codeSpan.FindAllStringSubmatch(text, -1) {
		found = append(found, span[1]+span[2])
	}
	return found
}

// code returns the only code span of a table's cell.
func code(t testing.TB, cell string) string {
	t.Helper()
	found := codes(cell)
	if len(found) != 1 {
		t.Fatalf("the cell %q has %d pieces of code in place of one", cell, len(found))
	}
	return found[0]
}
