// Package envfile reads files of environment variables, by systemd's rules and by those of programs that write values in double
// quotes without escaping what is in them.
package envfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"
)

// Read reads files of NAME=value lines, as systemd's EnvironmentFile= (systemd.exec(5)): blank lines and those that begin with
// # or ; are skipped. A value may stand in single quotes, where every character is itself, or in double quotes, where a
// backslash is for ", \, $, ` and the line's end; without quotes it is for any character. Two things are not systemd's: "export "
// may stand before a name, and where a double-quoted value would end in the middle of its line, it goes on to the last quote
// at the end of a line before the next variable, and backslashes in it are backslashes. A path that begins with "-" may be missing. Later files win. The
// result has the form of os.Environ; errors name file and line.
func Read(paths []string) ([]string, error) {
	var env []string
	for _, path := range paths {
		path, optional := strings.CutPrefix(path, "-")
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && optional {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the environment file %s: %w", path, errors.Unwrap(err))
		}
		more, err := Parse(path, string(text))
		if err != nil {
			return nil, err
		}
		env = append(env, more...)
	}
	return env, nil
}

// Parse is Read for the text of one file.
func Parse(path, text string) (env []string, err error) {
	line := 1
	for text != "" {
		start := line
		first, rest, _ := strings.Cut(text, "\n")
		trimmed := strings.TrimSpace(first)
		if trimmed == "" || isComment(trimmed[0]) {
			text = rest
			line++
			continue
		}
		name, _, ok := strings.Cut(first, "=")
		name = strings.TrimPrefix(strings.TrimSpace(name), "export ")
		if !ok || !isName(name) {
			return nil, fmt.Errorf("%s:%d: write NAME=value, and not %q", path, start, trimmed)
		}
		begin := strings.IndexByte(text, '=') + 1
		value, size, err := readValue(text[begin:])
		if err == nil {
			err = check(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", path, start, name, err)
		}
		line += strings.Count(text[:begin+size], "\n")
		text = text[begin+size:]
		env = append(env, name+"="+value)
	}
	return env, nil
}

// check refuses what no variable can have, or systemd does not take.
func check(value string) error {
	switch {
	case strings.IndexByte(value, 0) >= 0:
		return errors.New("a NUL byte cannot be part of it")
	case !utf8.ValidString(value):
		return errors.New("it is not UTF-8: save the file as UTF-8")
	}
	return nil
}

// readValue reads a value and the end of its line, and says how many bytes that were.
func readValue(text string) (value string, size int, err error) {
	begin := len(text) - len(strings.TrimLeft(text, " \t\r"))
	if !strings.HasPrefix(text[begin:], `"`) {
		s := scanner{text: text}
		err = s.value()
		return s.String(), s.at, err
	}
	s := scanner{text: text, at: begin}
	if err := s.quoted('"'); err != nil {
		return "", 0, err
	}
	after, _, _ := strings.Cut(text[s.at:], "\n")
	if strings.TrimSpace(after) == "" {
		return s.String(), min(s.at+len(after)+1, len(text)), nil
	}
	if value, size, found := unescaped(text[begin:]); found {
		return value, begin + size, nil
	}
	return "", 0, fmt.Errorf("%q stands after the closing quote: take it out, or put a quote at the end of the line", strings.TrimSpace(after))
}

// unescaped reads a value that was put into double quotes as it was: it ends at the last quote at the end of a line before the
// next variable. Only blank lines and comments may stand between the two.
func unescaped(text string) (value string, size int, found bool) {
	rest := false // there are lines after the last quote
	for at := 1; at < len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		if name, _, assigns := strings.Cut(line, "="); at > 1 && assigns && isName(strings.TrimPrefix(strings.TrimSpace(name), "export ")) {
			break
		}
		end := strings.TrimSpace(line)
		next := min(at+len(line)+1, len(text))
		switch {
		case end == "" || found && isComment(end[0]):
		case end[len(end)-1] == '"':
			value, size, found, rest = text[1:at+strings.LastIndexByte(line, '"')], next, true, false
		default:
			rest = true
		}
		at = next
	}
	return value, size, found && !rest
}

// scanner reads a value by systemd's rules, as they were measured with systemd 252.
type scanner struct {
	strings.Builder
	text string
	at   int // the next byte
}

// value reads to the end of the line: parts in quotes, with nothing of the blanks between them, and at last one without.
func (s *scanner) value() error {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r':
			s.at++
		case '\n':
			s.at++
			return nil
		case '"', '\'':
			if err := s.quoted(c); err != nil {
				return err
			}
		default:
			return s.bare()
		}
	}
	return nil
}

// quoted reads a part in quotes.
func (s *scanner) quoted(quote byte) error {
	for s.at++; s.at < len(s.text); s.at++ {
		c := s.text[s.at]
		switch {
		case c == quote:
			s.at++
			return nil
		case c != '\\' || quote == '\'':
			s.WriteByte(c)
		case s.at+1 == len(s.text):
		case strings.IndexByte("\"\\$`", s.text[s.at+1]) >= 0:
			s.at++
			s.WriteByte(s.text[s.at])
		case s.text[s.at+1] == '\n':
			s.at++
		default:
			s.WriteByte(c)
		}
	}
	return fmt.Errorf("the quote %c is not closed", quote)
}

// bare reads a part without quotes, to the end of the line. Quotes in it are characters like others.
func (s *scanner) bare() error {
	var b strings.Builder
	keep := 0 // bytes that blanks are not cut from
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case '\n':
			s.at++
			s.WriteString(trimEnd(b.String(), keep))
			return nil
		case '\\':
			if s.at++; s.at == len(s.text) {
				return errors.New("nothing follows the backslash at its end")
			}
			if s.text[s.at] != '\n' {
				b.WriteByte(s.text[s.at])
				keep = b.Len()
			}
		default:
			b.WriteByte(c)
		}
	}
	s.WriteString(trimEnd(b.String(), keep))
	return nil
}

// trimEnd takes blanks off the end of a text, but not off its first bytes.
func trimEnd(text string, keep int) string {
	return text[:keep] + strings.TrimRight(text[keep:], " \t\r")
}

func isComment(c byte) bool { return c == '#' || c == ';' }

func isName(name string) bool {
	return name != "" && (name[0] < '0' || name[0] > '9') && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
}
