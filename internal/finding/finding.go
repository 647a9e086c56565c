// Package finding is what there is to say about a place in somebody's file: what is wrong there, and what to do about it.
package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Level is how bad it is.
type Level string

const (
	Error   Level = "error"   // nothing can be done until it is put right
	Warning Level = "warning" // something will not work as its author thinks
	Note    Level = "note"    // good to know
)

// Place is where in a file. Line and column count from 1; 0 means the whole file, or the whole line.
type Place struct {
	File   string `json:"file,omitempty"` // counted from the app's directory
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is the place as editors understand it: "Procfile:3:1".
func (p Place) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Finding is one thing that was found.
type Finding struct {
	Level Level `json:"level"`
	Place
	Text   string `json:"text"`             // what is so
	Remedy string `json:"remedy,omitempty"` // what to do about it
}

// Error makes a finding an error: "Procfile:3:1: cause: remedy".
func (f Finding) Error() string {
	var b strings.Builder
	if where := f.Place.String(); where != "" {
		b.WriteString(where + ": ")
	}
	b.WriteString(f.Text)
	if f.Remedy != "" {
		b.WriteString(": " + f.Remedy)
	}
	return b.String()
}

// List is what was found, in the order in which it was found.
type List []Finding

// Add adds a finding.
func (l *List) Add(level Level, at Place, remedy, format string, args ...any) {
	*l = append(*l, Finding{level, at, fmt.Sprintf(format, args...), remedy})
}

// Errors are those that stand in the way.
func (l List) Errors() (errors List) {
	for _, f := range l {
		if f.Level == Error {
			errors = append(errors, f)
		}
	}
	return errors
}

// Sort puts errors first and notes last, and within these sorts by place.
func (l List) Sort() {
	rank := map[Level]int{Error: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(l, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank[a.Level], rank[b.Level]), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
