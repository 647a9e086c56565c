package analysis

import (
	"path"
	"slices"
	"strings"

	"serval/internal/procfile"
)

// program is what a command runs in the end, without bundle exec and its like.
type program struct {
	name    string          // "puma"
	args    []procfile.Word // what follows it
	column  int             // in the command, from 1
	bundled bool            // it runs in the bundle
}

// wrappers are commands that run the command which follows them, with the flags that take a value.
var wrappers = map[string][]string{"exec": nil, "env": {"-u"}, "nohup": nil, "nice": {"-n"}, "ionice": {"-c", "-n"}, "setsid": nil, "time": nil, "ruby": {"-I", "-r"}, "command": nil}

// mainProgram returns the program of a command: the last one, since those before it make things ready.
func mainProgram(command procfile.Command) (main program) {
	for _, call := range command.Calls {
		if p := unwrap(call.Words); p.name != "" {
			main = p
		}
	}
	return main
}

// unwrap takes off what stands in front of the program.
func unwrap(words []procfile.Word) (p program) {
	for len(words) > 0 {
		name := path.Base(words[0].Text)
		if name == "bundle" && len(words) > 1 && words[1].Text == "exec" {
			p.bundled = true
			words = words[2:]
			continue
		}
		flags, wraps := wrappers[name]
		if !wraps || len(words) == 1 {
			p.name, p.args, p.column = name, words[1:], words[0].Column
			return p
		}
		words = skipFlags(words[1:], flags)
	}
	return program{}
}

// skipFlags leaves out the flags of a wrapper, and the variables that env sets.
func skipFlags(words []procfile.Word, withValue []string) []procfile.Word {
	for len(words) > 0 {
		text := words[0].Text
		switch {
		case slices.Contains(withValue, text) && len(words) > 1:
			words = words[2:]
		case strings.HasPrefix(text, "-") || strings.Contains(text, "=") && !strings.Contains(text, "/"):
			words = words[1:]
		default:
			return words
		}
	}
	return words
}

// flag returns the value of the last of a program's flags that has one of these names: "-b VALUE", "-bVALUE",
// "--bind VALUE", "--bind=VALUE".
func (p program) flag(names ...string) (value procfile.Word, found bool) {
	for _, v := range p.flags(names...) {
		value, found = v, true
	}
	return value, found
}

// flags returns the values of all the flags that have one of these names.
func (p program) flags(names ...string) (values []procfile.Word) {
	for i, word := range p.args {
		for _, name := range names {
			switch rest, begins := strings.CutPrefix(word.Text, name); {
			case !begins:
			case rest == "" && i+1 < len(p.args):
				values = append(values, p.args[i+1])
			case strings.HasPrefix(name, "--") && strings.HasPrefix(rest, "="):
				values = append(values, procfile.Word{Text: rest[1:], Column: word.Column})
			case !strings.HasPrefix(name, "--") && rest != "":
				values = append(values, procfile.Word{Text: rest, Column: word.Column})
			}
		}
	}
	return values
}

// has returns the first of a program's words that is one of these.
func (p program) has(words ...string) (word procfile.Word, found bool) {
	for _, w := range p.args {
		if slices.Contains(words, w.Text) {
			return w, true
		}
	}
	return procfile.Word{}, false
}
