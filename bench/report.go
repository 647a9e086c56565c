package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// finding is what a scenario found out.
type finding struct {
	method   []string // how it was measured, a paragraph each
	words    []string // who did what, a sentence each
	tables   []table
	charts   []chart
	commands []string // the command lines, as one would type them
	raw      any      // every figure
}

// report is a finding with all that is needed to understand and repeat it.
type report struct {
	Scenario string
	About    string
	Started  time.Time
	Took     time.Duration
	Load     string // the machine's load average before
	Machine  []fact
	Options  Options
	finding
}

// write writes the report as DATE-SCENARIO.md and .json, its charts as .svg, and returns the path of the first.
func (r report) write(directory string) (string, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(directory, r.name())
	data, err := json.MarshalIndent(r.figures(), "", " ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".json", append(data, '\n'), 0o644); err != nil {
		return "", err
	}
	for _, c := range r.charts {
		if err := os.WriteFile(filepath.Join(directory, r.picture(c)), []byte(c.SVG()), 0o644); err != nil {
			return "", err
		}
	}
	return path + ".md", os.WriteFile(path+".md", []byte(r.markdown()), 0o644)
}

// name is that of the report's files, but for what they end in.
func (r report) name() string { return r.Started.Format(time.DateOnly) + "-" + r.Scenario }

// picture is the name of the file with a chart.
func (r report) picture(c chart) string {
	if c.name == "" {
		return r.name() + ".svg"
	}
	return r.name() + "-" + c.name + ".svg"
}

// figures is the report for machines.
func (r report) figures() any {
	facts := map[string]string{}
	for _, f := range r.Machine {
		facts[f.name] = f.value
	}
	return map[string]any{
		"scenario":     r.Scenario,
		"started":      r.Started.UTC().Format(time.RFC3339),
		"took_seconds": int(r.Took.Seconds()),
		"load_average": r.Load,
		"machine":      facts,
		"options":      r.Options,
		"commands":     r.commands,
		"figures":      r.raw,
	}
}

// markdown is the report for people.
func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n", r.Scenario, r.About)
	fmt.Fprintf(&b, "%s, in %s. Load average of the machine before: %s.\n\n", r.Started.UTC().Format("2 January 2006, 15:04 UTC"),
		r.Took.Round(time.Second), r.Load)
	for _, sentence := range r.words {
		b.WriteString("- " + sentence + "\n")
	}
	for _, c := range r.charts {
		fmt.Fprintf(&b, "\n![%s](%s)\n", c.title, r.picture(c))
	}
	for _, t := range r.tables {
		b.WriteString("\n" + t.String())
	}
	b.WriteString("\n## How it was measured\n\n")
	for _, paragraph := range r.method {
		b.WriteString(paragraph + "\n\n")
	}
	b.WriteString("```\n" + strings.Join(r.commands, "\n") + "\n```\n\n## On what\n\n| | |\n|---|---|\n")
	for _, f := range r.Machine {
		writeRow(&b, []string{f.name, f.value})
	}
	return b.String()
}
