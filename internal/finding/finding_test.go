package finding

import (
	"strings"
	"testing"
)

func TestAFindingReadsAsASentenceWithItsPlace(t *testing.T) {
	for want, f := range map[string]Finding{
		"Procfile:3:1: no command: write one": {Error, Place{"Procfile", 3, 1}, "no command", "write one"},
		"Procfile:3: no command":              {Error, Place{"Procfile", 3, 0}, "no command", ""},
		"Procfile: it is empty":               {Error, Place{"Procfile", 0, 0}, "it is empty", ""},
		"nothing is there":                    {Error, Place{}, "nothing is there", ""},
	} {
		if f.Error() != want {
			t.Errorf("%q in place of %q", f.Error(), want)
		}
	}
}

func TestErrorsComeFirstAndThenByPlace(t *testing.T) {
	var l List
	l.Add(Note, Place{File: "a", Line: 1}, "", "n")
	l.Add(Warning, Place{File: "b", Line: 2}, "", "w2")
	l.Add(Warning, Place{File: "b", Line: 1, Column: 7}, "", "w1%s", "b")
	l.Add(Warning, Place{File: "b", Line: 1, Column: 3}, "", "w1a")
	l.Add(Error, Place{File: "z"}, "", "e")
	l.Sort()
	var order []string
	for _, f := range l {
		order = append(order, f.Text)
	}
	if got := strings.Join(order, " "); got != "e w1a w1b w2 n" {
		t.Error(got)
	}
	if errors := l.Errors(); len(errors) != 1 || errors[0].Text != "e" {
		t.Errorf("the errors are %v", errors)
	}
}
