package procfile

import (
	"reflect"
	"strings"
	"testing"
)

func TestEntriesKnowWhereTheyStand(t *testing.T) {
	f, found := Parse("Procfile", []byte("\ufeff# the app\r\n\r\ncustom_web: bundle exec puma\r\n  worker :\tbundle exec sidekiq  \nweb:x\nclock-2: a: b"))
	if len(found) != 0 {
		t.Fatal(found)
	}
	want := []Entry{{"custom_web", "bundle exec puma", 3, 13}, {"worker", "bundle exec sidekiq", 4, 12}, {"web", "x", 5, 5}, {"clock-2", "a: b", 6, 10}}
	if !reflect.DeepEqual(f.Entries, want) {
		t.Errorf("the entries are %+v", f.Entries)
	}
	if f.Entry("worker").Line != 4 || f.Entry("nobody") != nil {
		t.Error("entries are not found by name")
	}
	if p := f.Processes(); len(p) != 3 || p[1].Name != "worker" {
		t.Errorf("the processes are %+v", p)
	}
	if want := "custom_web: bundle exec puma\nworker: bundle exec sidekiq\nweb: x\nclock-2: a: b\n"; f.String() != want {
		t.Errorf("it prints as %q", f.String())
	}
}

func TestTheEnvironmentsProcfileIsPreferred(t *testing.T) {
	if got := Names("staging"); !reflect.DeepEqual(got, []string{"Procfile_staging", "Procfile"}) {
		t.Error(got)
	}
	if got := Names(""); !reflect.DeepEqual(got, []string{"Procfile"}) {
		t.Error(got)
	}
}

func TestThereAreLimits(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("# a comment\n", maxSize/10): "too large",
		strings.Repeat("a", 65) + ": x":             "the name has 65 bytes",
		"a: " + strings.Repeat("x", maxCommand+1):   "a command of 32769 bytes is too long",
		numbered(maxEntries + 1):                    "more than 256 processes",
	} {
		if _, found := Parse("Procfile", []byte(text)); len(found.Errors()) != 1 || !strings.Contains(found[0].Error(), want) {
			t.Errorf("%.20q…: %v", text, found)
		}
	}
	if f, found := Parse("Procfile", []byte(numbered(maxEntries))); len(found) != 0 || len(f.Entries) != maxEntries {
		t.Errorf("%d entries, %v", len(f.Entries), found)
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("p" + strings.Repeat("a", i%8) + "-" + strings.Repeat("b", i/8) + ": x\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add("custom_web: bundle exec puma -e $RACK_ENV\n# c\nworker: a 'b' \"$C\" {{UNIQUE_INT}}\n")
	f.Add("a b\n:\nx:\n\xff\nweb: `a`")
	f.Fuzz(func(t *testing.T, text string) {
		file, found := Parse("Procfile", []byte(text))
		for _, e := range found {
			if e.Line < 0 || e.Line > strings.Count(text, "\n")+1 || e.Column < 0 || strings.Contains(e.Text, "\n") {
				t.Fatalf("%q: %+v", text, e)
			}
		}
		again, found := Parse("Procfile", []byte(file.String()))
		if len(found.Errors()) != 0 || len(again.Entries) != len(file.Entries) {
			t.Fatalf("%q prints as %q, which has %v", text, file.String(), found)
		}
		for i, e := range again.Entries {
			if e.Name != file.Entries[i].Name || e.Command != file.Entries[i].Command {
				t.Fatalf("%+v is %+v after printing", file.Entries[i], e)
			}
		}
	})
}
