package bluepill

import (
	"errors"
	"strings"
)

// split takes a command apart as Bluepill does, by Ruby's Shellwords: at blanks, with single quotes, double quotes and
// backslashes as in a shell, and nothing expanded.
func split(command string) (words []string, err error) {
	var word strings.Builder
	begun := false
	quote := byte(0)
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case c == quote && quote != 0:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case c == '\\':
			if i++; i == len(command) {
				return nil, errors.New("nothing follows the backslash at its end")
			}
			if quote == '"' && !strings.ContainsRune("$`\"\\\n", rune(command[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(command[i])
			begun = true
		case quote == '"':
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, begun = c, true
		case strings.IndexByte(" \t\n\r\v\f", c) >= 0:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, errors.New("the quote " + string(quote) + " is not closed")
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// join is the command that split takes apart into these words.
func join(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n\r\v\f'\"\\#{}$`&|;<>()*?[]~!") {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// forShells are words that mean something to a shell, which runs no command of Bluepill's.
var forShells = []string{"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>>", "2>&1", "&>", ">/dev/null", "2>/dev/null"}
