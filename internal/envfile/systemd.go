package envfile

import (
	"maps"
	"strings"
)

// SystemdAgrees reports whether systemd finds the same in a file's text as Parse does. What it does not understand it passes
// over in silence, so a file has to be written anew for it then (Format).
func SystemdAgrees(text string) bool {
	env, err := Parse("", text)
	return err == nil && maps.Equal(table(env), table(systemd(text)))
}

// systemd is what systemd 252 finds in a text that Parse understands.
func systemd(text string) (env []string) {
	for text != "" {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" || isComment(text[0]) {
			text = afterComment(text)
			continue
		}
		key, rest, assigns := strings.Cut(text, "=")
		if !assigns || strings.Contains(key, "\n") {
			_, text, _ = strings.Cut(text, "\n")
			continue
		}
		s := scanner{text: rest}
		if err := s.value(); err != nil {
			return nil
		}
		if name := strings.TrimRight(key, " \t"); isName(name) {
			env = append(env, name+"="+s.String())
		}
		text = rest[s.at:]
	}
	return env
}

// afterComment is what follows a comment, which goes on in the next line after a backslash.
func afterComment(text string) string {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\n':
			return text[i+1:]
		}
	}
	return ""
}

func table(env []string) map[string]string {
	t := map[string]string{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		t[name] = value
	}
	return t
}

// Format writes variables, in the form of os.Environ, so that systemd, shells and Read find the same in them.
func Format(env []string) string {
	var b strings.Builder
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		b.WriteString(name + `="`)
		for i := range len(value) {
			if strings.IndexByte("\"\\$`", value[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(value[i])
		}
		b.WriteString("\"\n")
	}
	return b.String()
}
