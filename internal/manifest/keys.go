package manifest

import (
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"go.yaml.in/yaml/v4"

	"serval/internal/plan"
	"serval/internal/sequence"
)

const (
	maxCount    = 1000
	maxInterval = 24 * time.Hour
	minMemory   = 1 << 20
)

// keyNames are the keys of a process, Cloud 66's first.
var keyNames = []string{"restart_signal", "stop_sequence", "restart_on_deploy", "count", "memory_limit", "user", "depends_on", "health_check"}

// setter takes a value over into a process; false if it is not all right, about which it has complained then.
type setter = func(r *reader, p *Process, value *yaml.Node) bool

var keys = map[string]setter{
	"restart_signal":    restartSignal,
	"stop_sequence":     stopSequence,
	"restart_on_deploy": func(r *reader, p *Process, v *yaml.Node) bool { return r.boolean(v, &p.RestartOnDeploy) },
	"count":             count,
	"memory_limit":      memoryLimit,
	"user":              user,
	"depends_on":        dependsOn,
	"health_check":      healthCheck,
}

func restartSignal(r *reader, p *Process, v *yaml.Node) bool {
	word, ok := r.text(v, "a signal, such as usr2")
	if !ok {
		return false
	}
	if strings.ContainsAny(word, ", ") {
		r.complain(v, "write one, such as usr2; what stops a process is stop_sequence", "restart_signal is one signal, and %s are more", short(word))
		return false
	}
	signal, err := sequence.ParseSignal(word)
	if err != nil {
		r.sentence(v, err)
		return false
	}
	if signal == syscall.SIGKILL || signal == syscall.SIGSTOP {
		r.complain(v, "leave restart_signal out to have it stopped and started", "no process can restart itself at %s, which it does not hear", sequence.Name(signal))
		return false
	}
	s := plan.Signal(signal)
	p.RestartSignal = &s
	return true
}

func stopSequence(r *reader, p *Process, v *yaml.Node) bool {
	var s sequence.Sequence
	var err error
	if v.Kind == yaml.SequenceNode {
		var words []string
		for _, item := range v.Content {
			words = append(words, resolve(item).Value)
		}
		s, err = sequence.FromWords(words)
	} else {
		text, ok := r.text(v, "signals with seconds between them, such as term, 90, kill")
		if !ok {
			return false
		}
		s, err = sequence.Parse(text)
	}
	if err != nil {
		r.sentence(v, err)
		return false
	}
	p.StopSequence = s
	return true
}

func count(r *reader, p *Process, v *yaml.Node) bool {
	n, ok := r.integer(v, 0, maxCount)
	if ok {
		p.Count = &n
	}
	return ok
}

var memory = regexp.MustCompile(`^(\d+)\s*([kKmMgG]?)(i?[bB])?$`)

func memoryLimit(r *reader, p *Process, v *yaml.Node) bool {
	const example = "bytes, such as 512M or 1G"
	word, ok := r.text(v, example)
	if !ok {
		return false
	}
	m := memory.FindStringSubmatch(word)
	if m == nil {
		r.complain(v, "write "+example, "%s is no memory limit", short(word))
		return false
	}
	unit := map[string]int64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[strings.ToUpper(m[2])]
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit || n*unit < minMemory {
		r.complain(v, "write "+example, "a memory limit of %s is out of range, 1M is the least", short(word))
		return false
	}
	p.MemoryLimit = n * unit
	return true
}

// userName is what useradd takes, and what cannot be mistaken for a flag or a path.
var userName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

func user(r *reader, p *Process, v *yaml.Node) bool {
	name, ok := r.text(v, "a user's name")
	if !ok {
		return false
	}
	if !userName.MatchString(name) {
		r.complain(v, "write a name as in /etc/passwd: small letters, digits, - and _", "%s is no user's name", short(name))
		return false
	}
	p.User = name
	return true
}

func dependsOn(r *reader, p *Process, v *yaml.Node) bool {
	items := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		items = v.Content
	}
	var names []string
	for _, item := range items {
		name, ok := r.text(resolve(item), "processes' names")
		if !ok {
			return false
		}
		for _, name := range strings.FieldsFunc(name, func(c rune) bool { return c == ',' || c == ' ' }) {
			if err := plan.CheckName("name", name); err != nil {
				r.sentence(item, err)
				return false
			}
			names = append(names, name)
		}
	}
	p.DependsOn = names
	return true
}

var healthNames = []string{"url", "command", "interval", "timeout", "failures"}

func healthCheck(r *reader, p *Process, v *yaml.Node) bool {
	h := &plan.Health{Interval: plan.HealthInterval, Timeout: plan.HealthTimeout, Failures: plan.HealthFailures}
	if v.Kind != yaml.MappingNode {
		if !r.healthURL(v, h) {
			return false
		}
		p.Health = h
		return true
	}
	pairs := r.pairs(v, 0)
	r.duplicates(pairs)
	for _, pair := range pairs {
		if !r.health(pair.key, resolve(pair.value), h) {
			return false
		}
	}
	switch {
	case (h.URL == "") == (h.Command == ""):
		r.complain(v, "write one of them", "a health check has a url or a command")
	case h.Timeout > h.Interval:
		r.complain(v, "write a longer interval or a shorter timeout", "a check may take %s, and the next one comes after %s", h.Timeout, h.Interval)
	default:
		p.Health = h
		return true
	}
	return false
}

// health reads one key of a health check.
func (r *reader) health(key, v *yaml.Node, h *plan.Health) (ok bool) {
	switch key.Value {
	case "url":
		return r.healthURL(v, h)
	case "command":
		h.Command, ok = r.text(v, "a command")
	case "interval":
		h.Interval, ok = r.seconds(v)
	case "timeout":
		h.Timeout, ok = r.seconds(v)
	case "failures":
		h.Failures, ok = r.integer(v, 1, maxCount)
	default:
		r.unknown(key, healthNames)
	}
	return ok
}

func (r *reader) healthURL(v *yaml.Node, h *plan.Health) bool {
	text, ok := r.text(v, "a path of the web server's or a URL, such as /up")
	if !ok {
		return false
	}
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, "/") && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		r.complain(v, "write a path such as /up, or http://HOST:PORT/PATH", "%s cannot be asked", short(text))
		return false
	}
	h.URL = text
	return true
}

// sentence complains in the words of an error, which are a cause and a remedy.
func (r *reader) sentence(at *yaml.Node, err error) {
	cause, remedy, _ := strings.Cut(err.Error(), ": ")
	r.complain(at, remedy, "%s", cause)
}

// text takes a scalar.
func (r *reader) text(v *yaml.Node, want string) (string, bool) {
	if v.Kind != yaml.ScalarNode || isNull(v) || strings.TrimSpace(v.Value) == "" {
		what := kind(v)
		if what == `""` {
			what = "nothing"
		}
		r.complain(v, "write "+want, "a value is missing, and here is %s", what)
		return "", false
	}
	if i := strings.IndexFunc(strings.TrimSpace(v.Value), unicode.IsControl); i >= 0 {
		r.complain(v, "write it in one line, without escapes", "there is a control character in %s", short(v.Value))
		return "", false
	}
	return strings.TrimSpace(v.Value), true
}

func (r *reader) integer(v *yaml.Node, low, high int) (int, bool) {
	n, err := strconv.Atoi(v.Value)
	if v.Kind != yaml.ScalarNode || err != nil || n < low || n > high {
		r.complain(v, "write "+strconv.Itoa(low)+" to "+strconv.Itoa(high), "%s is no such number", kind(v))
		return 0, false
	}
	return n, true
}

// seconds takes seconds, or a text as 1m30s.
func (r *reader) seconds(v *yaml.Node) (time.Duration, bool) {
	text := v.Value
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if v.Kind != yaml.ScalarNode || err != nil || d < time.Millisecond || d > maxInterval {
		r.complain(v, "write seconds, such as 10 or 0.5, at most a day", "%s is no such time", kind(v))
		return 0, false
	}
	return d, true
}

// boolean takes true and false, and what YAML 1.1 and Ruby take for these.
func (r *reader) boolean(v *yaml.Node, to **bool) bool {
	var b bool
	switch strings.ToLower(v.Value) {
	case "true", "yes", "on":
		b = true
	case "false", "no", "off":
	default:
		r.complain(v, "write true or false", "%s is neither true nor false", kind(v))
		return false
	}
	*to = &b
	return true
}
