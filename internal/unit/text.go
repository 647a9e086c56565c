package unit

import (
	"fmt"
	"strings"

	"serval/internal/installation"
)

// text is a unit's file as it is being written.
type text struct{ strings.Builder }

// section begins a section.
func (t *text) section(name string) {
	if t.Len() > 0 {
		t.WriteByte('\n')
	}
	fmt.Fprintf(t, "[%s]\n", name)
}

// comment writes a line that systemd passes over.
func (t *text) comment(line string) { fmt.Fprintf(t, "# %s\n", line) }

// set writes a setting, unless its value is empty.
func (t *text) set(name, value string) {
	if value != "" {
		fmt.Fprintf(t, "%s=%s\n", name, value)
	}
}

// command writes a setting whose value is a command line.
func (t *text) command(name string, argv ...string) {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = literal(word)
	}
	t.set(name, strings.Join(words, " "))
}

// mainPID is what systemd puts the main process's number in the place of.
const mainPID = "$MAINPID"

// literal is a word of a command line by which a program gets just this word (systemd.service(5), "Command lines").
func literal(word string) string {
	switch {
	case word == mainPID:
		return word
	case word == ";":
		return `\;`
	}
	return quote(strings.ReplaceAll(word, "$", "$$"))
}

// quote is a word with nothing in it that systemd would take for something else: neither a specifier nor a blank, a quote or a
// backslash (systemd.syntax(7)). Only the number of the instance is put in by systemd.
func quote(word string) string {
	word = percent(word)
	if word != "" && !strings.ContainsFunc(word, needsQuotes) {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(word) {
		switch c := word[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// percent is a text in which nothing is a specifier but the number of the instance.
func percent(value string) string {
	return strings.ReplaceAll(strings.ReplaceAll(value, "%", "%%"), installation.Instance, "%i")
}

func needsQuotes(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r > 0x7f || strings.ContainsRune("$%+,-./:=@_{}[]()<>!*?&|^~", r))
}
