package cli

import (
	"context"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"serval/internal/config"
)

func ignore(context.Context, config.Config, reloader, Streams) error { return nil }

func TestHelpShowsEveryFlagWithin80Columns(t *testing.T) {
	status, text, errs := serval("--help")
	if status != 0 || errs != "" {
		t.Fatalf("have %d, %q", status, errs)
	}
	if _, short, _ := serval("-h"); short != text {
		t.Errorf("-h says something else: %q", short)
	}
	for _, line := range strings.Split(text, "\n") {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("longer than 80 columns: %q", line)
		}
		if strings.HasSuffix(line, " ") {
			t.Errorf("ends with a space: %q", line)
		}
	}
	for _, s := range config.Settings {
		if s.Help == "" {
			if strings.Contains(text, "--"+s.Name+" ") || strings.Contains(text, "--"+s.Name+"\n") {
				t.Errorf("--%s is there", s.Name)
			}
			continue
		}
		if !strings.Contains(text, "--"+s.Name) || s.Short != "" && !strings.Contains(text, "  -"+s.Short+", --"+s.Name) {
			t.Errorf("--%s is missing", s.Name)
		}
		if s.Default != "" && s.Default != "0" && !strings.Contains(text, "(default "+s.Default+")") {
			t.Errorf("the default of --%s is missing", s.Name)
		}
	}
	place := 0
	for _, group := range config.Groups {
		at := strings.Index(text, "\n\n"+string(group)+":\n")
		if at <= place {
			t.Errorf("the group %q is missing or out of order", group)
		}
		place = at
	}
}

func TestTheReferenceShowsTheHelpAsItIs(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/command-line.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := serval("--help")
	if !strings.Contains(string(page), "```text\n"+text+"```\n") {
		t.Error("docs/reference/command-line.md shows another help text: put the output of serval --help there")
	}
	for _, s := range config.Settings {
		if s.Help == "" && !strings.Contains(string(page), "`--"+s.Name) {
			t.Errorf("docs/reference/command-line.md says nothing of --%s, which is not in the help text", s.Name)
		}
	}
}
