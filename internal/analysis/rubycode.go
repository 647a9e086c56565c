package analysis

import (
	"regexp"
	"strings"

	"serval/internal/finding"
)

// codeLine is a line of Ruby without its indentation and comments.
type codeLine struct {
	code           string
	number, column int
}

func (l codeLine) place(file string) finding.Place {
	return finding.Place{File: file, Line: l.number, Column: l.column}
}

// rubyCode returns the lines of a Ruby file that have code on them. It knows comments and quotes, and evaluates nothing:
// what stands in an if counts as if it were done.
func rubyCode(text []byte) (lines []codeLine) {
	comment := false
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "__END__"):
			return lines
		case strings.HasPrefix(line, "=begin"):
			comment = true
		case strings.HasPrefix(line, "=end"):
			comment = false
			continue
		}
		code := strings.TrimLeft(line, " \t")
		if column := len(line) - len(code) + 1; !comment {
			if code = strings.TrimRight(uncommented(code), " \t"); code != "" {
				lines = append(lines, codeLine{code, number, column})
			}
		}
	}
	return lines
}

// uncommented is a line of Ruby up to the # that begins a comment.
func uncommented(line string) string {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return line[:i]
		}
	}
	return line
}

// config is a web server's configuration file as text.
type config struct {
	path  string
	lines []codeLine
}

// find returns the last line that matches, which is the one that counts, and what its groups matched.
func (c config) find(pattern *regexp.Regexp) (place finding.Place, groups []string) {
	for _, line := range c.lines {
		if m := pattern.FindStringSubmatch(line.code); m != nil {
			place, groups = line.place(c.path), m
		}
	}
	return place, groups
}

// has reports whether a text stands anywhere in its code.
func (c config) has(pattern *regexp.Regexp) bool {
	for _, line := range c.lines {
		if pattern.MatchString(line.code) {
			return true
		}
	}
	return false
}
