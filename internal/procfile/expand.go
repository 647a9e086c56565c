package procfile

import (
	"regexp"
	"strconv"

	"mvdan.cc/sh/v3/expand"
)

// UniqueInt is what an integer takes the place of that no other process of the app has.
const UniqueInt = "{{UNIQUE_INT}}"

var (
	uniqueInt   = regexp.MustCompile(`\{\{\s*UNIQUE_INT\s*\}\}`)
	placeholder = regexp.MustCompile(`\{\{\s*[A-Za-z_][A-Za-z0-9_]*\s*\}\}`) // and not Go's {{.Name}}, which some commands take
)

// Unique puts a number in the place of each {{UNIQUE_INT}}.
func Unique(command string, number int) string {
	return UniqueText(command, strconv.Itoa(number))
}

// UniqueText is Unique for a text that somebody else makes a number of.
func UniqueText(command, text string) string {
	return uniqueInt.ReplaceAllLiteralString(command, text)
}

// unknownPlaceholder finds the first {{NAME}} that is not known, and where it begins.
func unknownPlaceholder(command string) (at int, what string) {
	for _, m := range placeholder.FindAllStringIndex(command, -1) {
		if what := command[m[0]:m[1]]; !uniqueInt.MatchString(what) {
			return m[0], what
		}
	}
	return 0, ""
}

// Argv is what to execute for a command. Where that takes no shell, the words are made as /bin/sh would: quotes go, values
// take the place of $VAR and ${VAR:-default}, outside of quotes a value falls apart at blanks, and an empty one is no word.
// Otherwise it is /bin/sh with the command's
// Line, which then finds the values in its environment. missing are the variables that
// have no value and no default.
func Argv(command string, lookup func(name string) (value string, found bool)) (argv, missing []string, err error) {
	parsed, syntaxErr := Split(command)
	if syntaxErr != nil {
		return nil, nil, syntaxErr
	}
	missing = parsed.Missing(lookup)
	if parsed.Shell {
		return []string{"/bin/sh", "-c", parsed.Line}, missing, nil
	}
	cfg := &expand.Config{Env: environ(lookup)}
	argv, err = expand.Fields(cfg, parsed.words...)
	return argv, missing, err
}

// environ is an environment as the library knows it. Its own FuncEnviron takes an empty value for none.
type environ func(name string) (string, bool)

func (e environ) Get(name string) expand.Variable {
	value, found := e(name)
	return expand.Variable{Set: found, Exported: true, Kind: expand.String, Str: value}
}

func (e environ) Each(func(string, expand.Variable) bool) {}

// Missing names the variables of a command that have no value and no default, each once.
func (c Command) Missing(lookup func(name string) (string, bool)) (missing []string) {
	seen := map[string]bool{}
	for _, v := range c.Variables {
		if _, found := lookup(v.Name); !found && !v.Default && !seen[v.Name] {
			missing = append(missing, v.Name)
			seen[v.Name] = true
		}
	}
	return missing
}
