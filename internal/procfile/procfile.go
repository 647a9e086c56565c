// Package procfile reads a Procfile: a line for each process type, its name and its command. Everything that is wrong is
// found in one go, each with its line and column.
package procfile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"serval/internal/finding"
	"serval/internal/plan"
)

const (
	maxSize    = 1 << 20 // bytes of a Procfile
	maxEntries = 256     // processes
	maxCommand = 32 << 10
)

// CustomWeb is the entry that is the web server.
const CustomWeb = "custom_web"

// Web is the entry that other platforms take for the web server. It is ignored, so that their Procfiles do no harm.
const Web = "web"

// Entry is a line of a Procfile.
type Entry struct {
	Name    string
	Command string // as written: variables and {{UNIQUE_INT}} are still in it
	Line    int    // from 1
	Column  int    // where the command begins, from 1
}

// File is a Procfile.
type File struct {
	Path    string // as it is called in findings
	Entries []Entry
}

// Names are the names a Procfile may have for an environment, the preferred one first.
func Names(environment string) []string {
	if environment == "" {
		return []string{"Procfile"}
	}
	return []string{"Procfile_" + environment, "Procfile"}
}

// Parse reads a Procfile. Lines that are empty or begin with # are passed over. When an error was found, the entries that
// are all right are there nevertheless.
func Parse(path string, text []byte) (*File, finding.List) {
	p := parser{file: &File{Path: path}}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(text) > maxSize {
		p.complain(0, 0, "write a command into a script, and call that", "a Procfile of %d bytes is too large, %d are the most", len(text), maxSize)
		return p.file, p.found
	}
	for i, line := range strings.Split(string(text), "\n") {
		p.line(i+1, strings.TrimSuffix(line, "\r"))
	}
	return p.file, p.found
}

// Entry returns the entry with a name, or nil.
func (f *File) Entry(name string) *Entry {
	i := slices.IndexFunc(f.Entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return &f.Entries[i]
}

// Processes are the entries that become processes: all but web.
func (f *File) Processes() (entries []Entry) {
	for _, e := range f.Entries {
		if e.Name != Web {
			entries = append(entries, e)
		}
	}
	return entries
}

// String is the Procfile's text, without comments.
func (f *File) String() string {
	var b strings.Builder
	for _, e := range f.Entries {
		fmt.Fprintf(&b, "%s: %s\n", e.Name, e.Command)
	}
	return b.String()
}

// Place is where an entry's command begins.
func (f *File) Place(e Entry) finding.Place {
	return finding.Place{File: f.Path, Line: e.Line, Column: e.Column}
}

type parser struct {
	file  *File
	found finding.List
}

func (p *parser) complain(line, column int, remedy, format string, args ...any) {
	p.found.Add(finding.Error, finding.Place{File: p.file.Path, Line: line, Column: column}, remedy, format, args...)
}

// line reads one line.
func (p *parser) line(number int, line string) {
	indent := len(line) - len(strings.TrimLeft(line, " \t"))
	text := strings.TrimRight(line[indent:], " \t")
	if text == "" || text[0] == '#' {
		return
	}
	if column, remedy, what := badByte(line); what != "" {
		p.complain(number, column, remedy, "%s", what)
		return
	}
	name, rest, found := strings.Cut(text, ":")
	if !found {
		p.complain(number, indent+1, "write NAME: COMMAND, or # before a comment", "there is no colon in %s", short(text))
		return
	}
	name = strings.TrimRight(name, " \t")
	if err := plan.CheckName("name", name); err != nil {
		cause, remedy, _ := strings.Cut(err.Error(), ": ")
		p.complain(number, indent+1, remedy, "%s", cause)
		return
	}
	command := strings.TrimLeft(rest, " \t")
	p.entry(Entry{Name: name, Command: command, Line: number, Column: indent + len(text) - len(command) + 1})
}

// entry adds an entry, unless something is wrong with it.
func (p *parser) entry(e Entry) {
	switch first := p.file.Entry(e.Name); {
	case first != nil:
		p.complain(e.Line, 1, "give one of them another name", "%s is there already, in line %d", e.Name, first.Line)
		return
	case len(p.file.Entries) == maxEntries:
		p.complain(e.Line, 1, "take processes out", "there are more than %d processes", maxEntries)
		return
	case e.Command == "":
		p.complain(e.Line, e.Column, "write one after the colon, or take the line out", "%s has no command", e.Name)
		return
	case len(e.Command) > maxCommand:
		p.complain(e.Line, e.Column, "write it into a script, and call that", "a command of %d bytes is too long, %d are the most", len(e.Command), maxCommand)
		return
	case strings.HasSuffix(e.Command, `\`):
		p.complain(e.Line, e.Column+len(e.Command)-1, "write the command in one line", "a command cannot go on in the next line")
		return
	}
	command, err := Split(e.Command)
	if err != nil {
		p.complain(e.Line, e.Column+err.Column-1, "close it, or write \\ before what is no shell syntax", "the shell would not understand the command, %s", err.Text)
		return
	}
	if len(command.Calls) == 0 {
		p.complain(e.Line, e.Column, "write one after the colon, or take the line out", "%s has no command that could be started", e.Name)
		return
	}
	if at, what := unknownPlaceholder(e.Command); what != "" {
		place := p.file.Place(e)
		place.Column += at
		p.found.Add(finding.Warning, place, "write "+UniqueInt+" if that is meant", "%s stays as it is, since nothing takes its place", what)
	}
	p.file.Entries = append(p.file.Entries, e)
}

// badByte finds what no line may have in it.
func badByte(line string) (column int, remedy, what string) {
	if !utf8.ValidString(line) {
		for i, r := range line {
			if r == utf8.RuneError && !strings.HasPrefix(line[i:], "\ufffd") {
				return i + 1, "save the file as UTF-8", "this is not UTF-8"
			}
		}
	}
	for i, r := range line {
		if unicode.IsControl(r) && r != '\t' {
			return i + 1, "take it out", fmt.Sprintf("there is a control character (%U)", r)
		}
	}
	return 0, "", ""
}

// short quotes a text, without its end if it is long.
func short(text string) string {
	if len(text) > 40 {
		return fmt.Sprintf("%q", strings.ToValidUTF8(text[:40], "")+"…")
	}
	return fmt.Sprintf("%q", text)
}
