package procfile

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Command is a Procfile's command taken apart as /bin/sh would do it.
type Command struct {
	Calls     []Call     // the programs it may start, in the order in which they stand there
	Shell     bool       // it takes a shell to run: there is more than one program, a redirection, a pattern, …
	Variables []Variable // that stand in it, in order
	Bare      bool       // the shell stays in front of the program it starts, and gets the signals that are meant for that

	words []*syntax.Word // of a command that takes no shell
}

// Call is one program with its arguments.
type Call struct {
	Assignments []string // "RAILS_ENV=production"
	Words       []Word   // the program and its arguments
}

// Word is a word without its quotes. Variables stay as they are written.
type Word struct {
	Text   string
	Column int // in the command, from 1
}

// Variable is a variable that is used.
type Variable struct {
	Name    string
	Column  int  // in the command, from 1
	Default bool // there is something to take when it has no value: ${PORT:-3000}
}

// SyntaxError is what a shell would not understand.
type SyntaxError struct {
	Column int // in the command, from 1
	Text   string
}

func (e *SyntaxError) Error() string { return e.Text }

// Split takes a command apart.
func Split(command string) (Command, *SyntaxError) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(command), "")
	if err != nil {
		return Command{}, syntaxError(err)
	}
	s := splitter{source: command}
	syntax.Walk(file, s.visit)
	s.command.Shell = !s.plain(file)
	s.command.Bare = s.command.Shell && !endsInExec(file)
	return s.command, nil
}

func syntaxError(err error) *SyntaxError {
	var parse syntax.ParseError
	if errors.As(err, &parse) {
		return &SyntaxError{int(parse.Pos.Col()), parse.Text}
	}
	var lang syntax.LangError
	if errors.As(err, &lang) {
		return &SyntaxError{int(lang.Pos.Col()), lang.Feature + " is not known to it"}
	}
	return &SyntaxError{1, err.Error()}
}

// splitter collects the parts of a command.
type splitter struct {
	source  string
	command Command
}

func (s *splitter) visit(node syntax.Node) bool {
	switch n := node.(type) {
	case *syntax.CmdSubst:
		return false // what runs in it is another command
	case *syntax.CallExpr:
		s.call(n)
	case *syntax.ParamExp:
		if n.Param != nil && isName(n.Param.Value) {
			s.command.Variables = append(s.command.Variables, Variable{n.Param.Value, int(n.Pos().Col()), n.Exp != nil})
		}
	}
	return true
}

func (s *splitter) call(n *syntax.CallExpr) {
	if len(n.Args) == 0 {
		return
	}
	var c Call
	for _, a := range n.Assigns {
		c.Assignments = append(c.Assignments, s.text(a))
	}
	for _, w := range n.Args {
		c.Words = append(c.Words, Word{s.word(w), int(w.Pos().Col())})
	}
	s.command.Calls = append(s.command.Calls, c)
}

// word is a word without its quotes.
func (s *splitter) word(w *syntax.Word) string { return s.parts(w.Parts) }

func (s *splitter) parts(parts []syntax.WordPart) string {
	var b strings.Builder
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(p.Value))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			b.WriteString(s.parts(p.Parts))
		default:
			b.WriteString(s.text(part))
		}
	}
	return b.String()
}

// text is what stands in the source.
func (s *splitter) text(n syntax.Node) string { return s.source[n.Pos().Offset():n.End().Offset()] }

func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// plain reports whether a command is one program with words that can be expanded without a shell.
func (s *splitter) plain(file *syntax.File) bool {
	if len(file.Stmts) != 1 {
		return false
	}
	stmt := file.Stmts[0]
	call, isCall := stmt.Cmd.(*syntax.CallExpr)
	if !isCall || len(call.Args) == 0 || len(call.Assigns) > 0 || len(stmt.Redirs) > 0 || stmt.Background || stmt.Negated {
		return false
	}
	if builtin(call.Args[0].Lit()) {
		return false
	}
	for _, w := range call.Args {
		if !plainWord(w) {
			return false
		}
	}
	s.command.words = call.Args
	return true
}

// plainWord reports whether a word has nothing in it that takes a shell: neither a command's output, nor arithmetic, nor
// a pattern, nor somebody's home.
func plainWord(w *syntax.Word) bool {
	plain := true
	for i, part := range w.Parts {
		if lit, isLit := part.(*syntax.Lit); isLit {
			plain = plain && !hasPattern(lit.Value) && !(i == 0 && strings.HasPrefix(lit.Value, "~"))
		}
	}
	syntax.Walk(w, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.CmdSubst, *syntax.ArithmExp, *syntax.ProcSubst:
			plain = false
		case *syntax.ParamExp:
			plain = plain && isName(n.Param.Value)
		}
		return plain
	})
	return plain
}

var braces = regexp.MustCompile(`\{[^{}]*(,|\.\.)[^{}]*\}`)

// hasPattern reports whether a shell could put file names in a text's place. Some shells do so for {a,b} as well.
func hasPattern(lit string) bool {
	if braces.MatchString(lit) {
		return true
	}
	for i := 0; i < len(lit); i++ {
		switch lit[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

// builtin reports whether only a shell can run a command.
func builtin(name string) bool {
	return slices.Contains([]string{"exec", "cd", ".", "eval", "export", "set", "unset", "ulimit", "umask", "trap", "wait", "exit"}, name)
}

// endsInExec reports whether the last program takes the shell's place: "cd app && exec puma".
func endsInExec(file *syntax.File) bool {
	if len(file.Stmts) == 0 {
		return false
	}
	stmt := file.Stmts[len(file.Stmts)-1]
	for {
		switch cmd := stmt.Cmd.(type) {
		case *syntax.BinaryCmd:
			if cmd.Op != syntax.AndStmt && cmd.Op != syntax.OrStmt {
				return false // in a pipe, each program has a process of its own
			}
			stmt = cmd.Y
		case *syntax.CallExpr:
			return len(cmd.Args) > 0 && cmd.Args[0].Lit() == "exec" && !stmt.Background
		default:
			return false
		}
	}
}

func isName(text string) bool {
	for i, r := range text {
		if r != '_' && !(r >= 'a' && r <= 'z') && !(r >= 'A' && r <= 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return text != ""
}
