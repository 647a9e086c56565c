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
	Line      string     // what to give to a shell: the command, with exec before its last program where there is none and may be one

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
	last := lastCall(file)
	s.command.Line = takeOver(command, last)
	s.command.Bare = s.command.Shell && s.command.Line == command && !isExec(last)
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
	return slices.Contains([]string{
		"exec", "cd", ".", ":", "eval", "export", "readonly", "set", "unset", "shift", "ulimit", "umask", "trap", "wait", "exit", "return", "read", "local",
		"command", "type", "hash", "alias", "unalias", "getopts", "jobs", "fg", "bg", "times",
	}, name)
}

// lastCall is the program that a command ends with, where the shell has nothing left to do after it has started that:
// "cd app && puma". nil: there is none.
func lastCall(file *syntax.File) *syntax.CallExpr {
	if len(file.Stmts) == 0 || cleansUp(file) {
		return nil
	}
	stmt := file.Stmts[len(file.Stmts)-1]
	for !stmt.Background && !stmt.Negated {
		switch cmd := stmt.Cmd.(type) {
		case *syntax.BinaryCmd:
			if cmd.Op != syntax.AndStmt && cmd.Op != syntax.OrStmt {
				return nil // in a pipe, each program has a process of its own
			}
			stmt = cmd.Y
		case *syntax.CallExpr:
			if len(cmd.Args) == 0 {
				return nil
			}
			return cmd
		default:
			return nil
		}
	}
	return nil
}

// cleansUp reports whether a command has a trap, which would be lost with the shell, or functions, which only the shell has.
func cleansUp(file *syntax.File) (does bool) {
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.FuncDecl:
			does = true
		case *syntax.CallExpr:
			does = does || len(n.Args) > 0 && n.Args[0].Lit() == "trap"
		}
		return !does
	})
	return does
}

func isExec(call *syntax.CallExpr) bool { return call != nil && call.Args[0].Lit() == "exec" }

// takeOver is a command with exec before its last program, so that this takes the shell's place. Variables that are set in
// front of exec are in the program's environment.
func takeOver(command string, last *syntax.CallExpr) string {
	if last == nil || builtin(last.Args[0].Lit()) {
		return command
	}
	at := last.Args[0].Pos().Offset()
	return command[:at] + "exec " + command[at:]
}

func isName(text string) bool {
	for i, r := range text {
		if r != '_' && !(r >= 'a' && r <= 'z') && !(r >= 'A' && r <= 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return text != ""
}
