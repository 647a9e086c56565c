// Package envfile reads files of environment variables, by systemd's rules.
package envfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Read reads files of NAME=value lines, as systemd's EnvironmentFile= (systemd.exec(5)): blank lines and those that
// begin with # or ; are skipped, a value may be in single or double quotes, and a backslash takes the next character as it
// is, or the line's end away; inside single quotes it is a character like any other. A path that begins with "-" may be
// missing. Later files win. The result has the form of os.Environ; errors name file and line.
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
		more, err := parse(path, string(text))
		if err != nil {
			return nil, err
		}
		env = append(env, more...)
	}
	return env, nil
}

func parse(path, text string) (env []string, err error) {
	line := 1
	for text != "" {
		start := line
		first, rest, _ := strings.Cut(text, "\n")
		trimmed := strings.TrimSpace(first)
		if trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';' {
			text = rest
			line++
			continue
		}
		name, _, ok := strings.Cut(first, "=")
		name = strings.TrimPrefix(strings.TrimSpace(name), "export ")
		if !ok || !isVariableName(name) {
			return nil, fmt.Errorf("%s:%d: write NAME=value, and not %q", path, start, trimmed)
		}
		value, size, err := readValue(text[strings.IndexByte(text, '=')+1:])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", path, start, name, err)
		}
		end := strings.IndexByte(text, '=') + 1 + size
		line += strings.Count(text[:end], "\n")
		text = text[end:]
		env = append(env, name+"="+value)
	}
	return env, nil
}

// readValue reads a value and the end of its line, and says how many bytes that were.
func readValue(text string) (value string, size int, err error) {
	var b strings.Builder
	quote := byte(0)
	keep := 0 // bytes of b that trailing blanks are not cut from
	i := 0
	for ; i < len(text); i++ {
		c := text[i]
		switch {
		case c == 0:
			return "", 0, errors.New("a NUL byte cannot be part of it")
		case c == '\\' && quote != '\'':
			if i++; i == len(text) {
				return "", 0, errors.New("nothing follows the backslash at its end")
			}
			if text[i] != '\n' {
				b.WriteByte(text[i])
				keep = b.Len()
			}
		case quote != 0 && c == quote:
			quote, keep = 0, b.Len()
		case quote != 0:
			b.WriteByte(c)
		case c == '\n':
			return trimEnd(b.String(), keep), i + 1, nil
		case c == '"' || c == '\'':
			quote, keep = c, b.Len()
		case (c == ' ' || c == '\t' || c == '\r') && b.Len() == 0 && keep == 0:
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", 0, fmt.Errorf("the quote %c is not closed", quote)
	}
	return trimEnd(b.String(), keep), i, nil
}

// trimEnd takes blanks off the end of a text, but not off its first bytes.
func trimEnd(text string, keep int) string {
	return text[:keep] + strings.TrimRight(text[keep:], " \t\r")
}

func isVariableName(name string) bool {
	return name != "" && (name[0] < '0' || name[0] > '9') && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
}
