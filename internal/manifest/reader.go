package manifest

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"serval/internal/finding"
)

// reader walks the YAML's nodes, since only these know where they stand.
type reader struct {
	file  *File
	found finding.List
}

func (r *reader) place(n *yaml.Node) finding.Place {
	if n == nil {
		return finding.Place{File: r.file.Path}
	}
	return finding.Place{File: r.file.Path, Line: n.Line, Column: n.Column}
}

func (r *reader) complain(at *yaml.Node, remedy, format string, args ...any) {
	r.found.Add(finding.Error, r.place(at), remedy, format, args...)
}

// document reads the parts of the file that are for us: procfile_metadata at the top, and below the environment's name.
func (r *reader) document(document *yaml.Node, environment string) {
	if document.Kind != yaml.DocumentNode || len(document.Content) == 0 || isNull(document.Content[0]) {
		return // comments only
	}
	top := document.Content[0]
	if top.Kind != yaml.MappingNode {
		r.complain(top, "write KEY: VALUE, such as "+metadata+":", "a manifest is a mapping, and this is %s", kind(top))
		return
	}
	for _, p := range r.pairs(top, 0) {
		switch {
		case p.key.Value == metadata:
			r.processes(p.value)
		case finding.Nearly(p.key.Value, metadata):
			r.misspelt(p.key)
		}
	}
	for _, p := range r.pairs(top, 0) {
		if p.key.Value != environment || environment == metadata {
			continue
		}
		if value := resolve(p.value); value.Kind == yaml.MappingNode {
			r.environment(value)
		} else if !isNull(value) {
			r.complain(value, "write components below it, such as "+metadata+":", "%s is an environment, and has %s", environment, kind(value))
		}
	}
}

func (r *reader) environment(level *yaml.Node) {
	for _, p := range r.pairs(level, 0) {
		switch {
		case p.key.Value == metadata:
			r.processes(p.value)
		case finding.Nearly(p.key.Value, metadata):
			r.misspelt(p.key)
		}
	}
}

// misspelt warns about a key that is not ours, and looks as if it should have been.
func (r *reader) misspelt(key *yaml.Node) {
	r.found.Add(finding.Warning, r.place(key), "write "+metadata, "%s is passed over", short(key.Value))
}

// processes reads procfile_metadata.
func (r *reader) processes(value *yaml.Node) {
	value = resolve(value)
	if isNull(value) {
		return
	}
	if value.Kind != yaml.MappingNode {
		r.complain(value, "write a process's name and a colon below it", metadata+" is a mapping, and this is %s", kind(value))
		return
	}
	pairs := r.pairs(value, 0)
	r.duplicates(pairs)
	for _, p := range pairs {
		r.process(p.key, p.value)
	}
}

// process reads what is said about one process, on top of what was said at a level above.
func (r *reader) process(key, value *yaml.Node) {
	value = resolve(value)
	p := r.file.Process(key.Value)
	if p == nil {
		r.file.Processes = append(r.file.Processes, Process{Name: key.Value, places: map[string]finding.Place{}})
		p = &r.file.Processes[len(r.file.Processes)-1]
	}
	p.Place = r.place(key)
	if isNull(value) {
		return
	}
	if value.Kind != yaml.MappingNode {
		r.complain(value, "write keys below it, such as restart_signal: usr1", "%s is a mapping, and this is %s", short(key.Value), kind(value))
		return
	}
	pairs := r.pairs(value, 0)
	r.duplicates(pairs)
	for _, pair := range pairs {
		set, known := keys[pair.key.Value]
		if !known {
			r.unknown(pair.key, keyNames)
			continue
		}
		if set(r, p, resolve(pair.value)) {
			p.places[pair.key.Value] = r.place(pair.value)
		}
	}
}

// unknown says that a key is not known, and which one may have been meant.
func (r *reader) unknown(key *yaml.Node, known []string) {
	for _, name := range known {
		if finding.Nearly(key.Value, name) {
			r.complain(key, "write "+name, "the key %s is not known", short(key.Value))
			return
		}
	}
	r.complain(key, "use one of "+strings.Join(known, ", "), "the key %s is not known", short(key.Value))
}

// duplicates complains about keys that are there twice.
func (r *reader) duplicates(pairs []pair) {
	seen := map[string]*yaml.Node{}
	for _, p := range pairs {
		if p.merged {
			continue
		}
		if first := seen[p.key.Value]; first != nil {
			r.complain(p.key, "take one of them out", "%s is there already, in line %d", short(p.key.Value), first.Line)
		}
		seen[p.key.Value] = p.key
	}
}

// pair is a key with its value.
type pair struct {
	key, value *yaml.Node
	merged     bool // it came by <<
}

// maxMerges is how deep << may go. YAML's aliases can go round in circles.
const maxMerges = 8

// pairs returns the pairs of a mapping, with those that << merges in; a key of the mapping's own wins over them.
func (r *reader) pairs(mapping *yaml.Node, depth int) (pairs []pair) {
	own := map[string]bool{}
	var merged []pair
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := resolve(mapping.Content[i]), mapping.Content[i+1]
		if key.Value == "<<" && key.Kind == yaml.ScalarNode && key.Style == 0 {
			merged = append(merged, r.merged(value, depth)...)
			continue
		}
		pairs = append(pairs, pair{key: key, value: value})
		own[key.Value] = true
	}
	for _, p := range merged {
		if !own[p.key.Value] {
			own[p.key.Value] = true
			pairs = append(pairs, pair{p.key, p.value, true})
		}
	}
	return pairs
}

func (r *reader) merged(value *yaml.Node, depth int) (pairs []pair) {
	value = resolve(value)
	if depth == maxMerges {
		return nil
	}
	switch value.Kind {
	case yaml.MappingNode:
		return r.pairs(value, depth+1)
	case yaml.SequenceNode:
		for _, item := range value.Content {
			if item = resolve(item); item.Kind == yaml.MappingNode {
				pairs = append(pairs, r.pairs(item, depth+1)...)
			}
		}
	}
	return pairs
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	for range maxMerges {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// kind is what a node is, in words.
func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case isNull(n):
		return "nothing"
	}
	return short(n.Value)
}

// short quotes a text, without its end if it is long.
func short(text string) string {
	if len(text) > 40 {
		text = strings.ToValidUTF8(text[:40], "") + "…"
	}
	return strconv.Quote(text)
}

// notUTF8 is where a text stops being UTF-8.
func notUTF8(lines [][]byte) (line, column int) {
	i := slices.IndexFunc(lines, func(l []byte) bool { return !utf8.Valid(l) })
	if i < 0 {
		return 0, 0
	}
	valid := bytes.ToValidUTF8(lines[i], []byte{0})
	return i + 1, bytes.IndexByte(valid, 0) + 1
}
