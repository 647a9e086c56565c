package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"serval/internal/analysis"
	"serval/internal/finding"
)

const textWidth = 80

// writeAnalysis writes what was found out for a terminal.
func writeAnalysis(out io.Writer, r analysis.Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s, %s\n\n", r.App, r.Directory, r.Environment)
	writeFact(&b, "Framework", found(r.Framework), place(r.Framework.From))
	writeFact(&b, "Ruby", r.Ruby.Version, place(r.Ruby.From))
	writeFact(&b, "Bundle", bundle(r.Bundle), r.Bundle.Lock)
	writeFact(&b, "Web server", found(r.Server.Found), cmp.Or(place(r.Server.From), r.Server.Why))
	if r.Remembered != "" && r.Remembered != r.Server.Name {
		writeFact(&b, "", r.Remembered+" at the first analysis", "")
	}
	writeFact(&b, "Procfile", r.Procfile, "")
	writeFact(&b, "Manifest", r.Manifest, "")
	for _, p := range r.Processes {
		writeProcess(&b, p)
	}
	if analysis.Passenger(r.Server.Name) {
		b.WriteString("\nnginx runs Passenger: no process of its own.\n")
	}
	writeFindings(&b, r.Findings)
	_, err := io.WriteString(out, b.String())
	return err
}

// writeFact writes a line: what, its value and where that comes from.
func writeFact(b *strings.Builder, what, value, from string) {
	if value == "" {
		value = "none"
	}
	fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("%-11s %-30s %s", what, value, from), " "))
}

func found(f analysis.Found) string { return strings.TrimSpace(f.Name + " " + f.Version) }

func place(p *finding.Place) string {
	if p == nil {
		return ""
	}
	return p.String()
}

func bundle(b analysis.Bundle) string {
	switch {
	case b.Gemfile == "":
		return ""
	case b.Lock == "":
		return b.Gemfile + ", not locked"
	case b.Bundler == "":
		return plural(b.Gems, "gem")
	}
	return plural(b.Gems, "gem") + ", Bundler " + b.Bundler
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// writeProcess writes a process's paragraph.
func writeProcess(b *strings.Builder, p analysis.Process) {
	fmt.Fprintf(b, "\n%s, %d × %s\n", p.Name, p.Count, p.Unit)
	writeItem(b, "command", p.Command)
	writeSignal(b, "restart", p.RestartSignal.String(), p.RestartFrom)
	writeSignal(b, "stop", p.StopSequence.String(), p.SequenceFrom)
	if !p.RestartOnDeploy {
		writeItem(b, "deploy", "does not restart it")
	}
	if p.MemoryLimit > 0 {
		writeItem(b, "memory", fmt.Sprintf("at most %s", bytesText(p.MemoryLimit)))
	}
	if p.User != "" {
		writeItem(b, "user", p.User)
	}
	if len(p.DependsOn) > 0 {
		writeItem(b, "after", strings.Join(p.DependsOn, ", "))
	}
	if h := p.Health; h != nil {
		writeItem(b, "health", fmt.Sprintf("%s every %s, for at most %s, restarted after %s", h.URL+h.Command, h.Interval, h.Timeout, plural(h.Failures, "failure")))
	}
}

func writeItem(b *strings.Builder, name, text string) {
	for i, line := range folded(text, textWidth-11) {
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(b, "  %-8s %s\n", name, line)
	}
}

func writeSignal(b *strings.Builder, name, value, from string) {
	fmt.Fprintf(b, "  %-8s %-30s %s\n", name, value, from)
}

// bytesText writes bytes as the manifest has them.
func bytesText(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprint(n)
}

// writeFindings writes warnings and notes; errors go to standard error, as all commands' do.
func writeFindings(b *strings.Builder, list finding.List) {
	for _, f := range list {
		if f.Level == finding.Error {
			continue
		}
		remedy := f.Remedy
		f.Remedy = ""
		b.WriteByte('\n')
		for i, line := range folded(string(f.Level)+": "+f.Error(), textWidth-2) {
			b.WriteString(strings.Repeat("  ", min(i, 1)) + line + "\n")
		}
		if remedy == "" {
			continue
		}
		for i, line := range folded(remedy, textWidth-4) {
			b.WriteString([]string{"→ ", "  "}[min(i, 1)] + line + "\n")
		}
	}
}

// folded breaks a text into lines at its blanks.
func folded(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Split(text, " ") {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = word
			continue
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
