package bluepill

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"serval/internal/sequence"
)

type (
	duration = time.Duration
	signals  = sequence.Sequence
)

// Check is one check of a process. It fails when what is measured is not below the limit.
type Check struct {
	Kind     string        `json:"kind"` // cpu_usage, mem_usage, running_time, file_time, http, zombie_process, always_true
	Every    time.Duration `json:"every"`
	Failures int           `json:"failures"` // among the last Of, so that it fires
	Of       int           `json:"of"`
	Fires    []string      `json:"fires"`              // events: start, stop, restart, unmonitor
	Children bool          `json:"children,omitempty"` // what children use counts, too
	Below    float64       `json:"below,omitempty"`    // percent, bytes or seconds
	File     string        `json:"file,omitempty"`
	URL      string        `json:"url,omitempty"`
	Lowest   int           `json:"lowest,omitempty"` // HTTP status
	Highest  int           `json:"highest,omitempty"`
	Pattern  string        `json:"pattern,omitempty"` // a regular expression of Go's that the body has to match
	Open     time.Duration `json:"open,omitempty"`    // for the connection
	Read     time.Duration `json:"read,omitempty"`    // for the response
}

// Flapping is how often a process may start in a time before it is left alone.
type Flapping struct {
	Times   int           `json:"times"`
	Within  time.Duration `json:"within"`
	RetryIn time.Duration `json:"retry_in"` // 0: never
}

// Events are what a check can fire.
var Events = []string{"start", "stop", "restart", "unmonitor"}

// options are what each kind of check has besides those that all have.
var options = map[string]map[string]bool{ // true: required
	"cpu_usage":      {"below": true},
	"mem_usage":      {"below": true},
	"running_time":   {"below": true},
	"file_time":      {"below": true, "filename": true},
	"http":           {"url": true, "kind": false, "pattern": false, "timeout": false, "open_timeout": false, "read_timeout": false},
	"zombie_process": {},
	"always_true":    {"below": false},
}

func (s setting) event() (string, error) {
	event, err := s.text()
	if err == nil && !slices.Contains(Events, event) {
		err = fmt.Errorf("is %q, and no event: write one of %s", event, strings.Join(Events, ", "))
	}
	return event, err
}

func (s setting) events() ([]string, error) {
	events, err := s.texts()
	for _, event := range events {
		if _, err := (setting{Value: event}).event(); err != nil {
			return nil, err
		}
	}
	return events, err
}

// checks reads the checks of a process, and its trigger among them.
func (r *reading) checks(given []check) (checks []Check, flapping *Flapping) {
	for _, c := range given {
		values, ok := c.Options.Value.(map[string]any)
		switch {
		case r.custom(c):
		case options[c.Name] == nil && c.Name != "flapping":
			r.fail(c.place, "there are "+strings.Join(sorted(options), ", ")+" and flapping", "there is no check %s", c.Name)
		case c.Options.Foreign != "":
			r.fail(c.place, "write the values themselves", "an option of the check %s is of Ruby's class %s, and such a value cannot cross to Serval", c.Name, c.Options.Foreign)
		case !ok:
			r.fail(c.place, "write them as every: 10.seconds, below: 5", "the options of the check %s are no hash", c.Name)
		case c.Name == "flapping":
			flapping = r.flapping(c, values)
		default:
			if read := r.check(c, values); read != nil {
				checks = append(checks, *read)
			}
		}
	}
	return checks, flapping
}

// custom says of a check that is a class of the file's own that there is nobody to run it.
func (r *reading) custom(c check) bool {
	for _, class := range r.classes {
		name := class.name[strings.LastIndexByte(class.name, ':')+1:]
		if class.kind != "change" && strings.EqualFold(name, strings.ReplaceAll(c.Name, "_", "")) {
			r.warn(c.place, "watch it by other means, such as an http check", "the %s %s is a class of your own (%s, %s), and code of Ruby's cannot cross to Serval: the process runs without it", class.kind, c.Name, class.name, class.at)
			return true
		}
	}
	return false
}

// optionReader reads the options of one check and says what is wrong with them.
type optionReader struct {
	*reading
	check
	values map[string]any
	failed bool
}

// option hands a value over if it is there, and says whether it was.
func (o *optionReader) option(name string, read func(setting) error) bool {
	value, set := o.values[name]
	if !set || value == nil {
		return false
	}
	if err := read(setting{Value: value}); err != nil {
		o.fail(o.place, "", "%s of the check %s %v", name, o.Name, err)
		o.failed = true
	}
	return true
}

func into[T any](target *T, read func(setting) (T, error)) func(setting) error {
	return func(s setting) (err error) {
		*target, err = read(s)
		return err
	}
}

func (r *reading) check(c check, values map[string]any) *Check {
	o := &optionReader{reading: r, check: c, values: values}
	result := &Check{Kind: c.Name, Failures: 1, Of: 1, Fires: []string{"restart"}}
	o.known("every", "times", "fires", "include_children")
	if !o.option("every", into(&result.Every, setting.seconds)) {
		o.require("every", "30.seconds")
	}
	o.option("times", result.times)
	o.option("fires", into(&result.Fires, setting.events))
	o.option("include_children", into(&result.Children, truth))
	for _, name := range sorted(options[c.Name]) {
		if !o.option(name, result.reader(name)) && options[c.Name][name] {
			o.require(name, map[string]string{"below": "100.megabytes", "filename": "\"/var/log/app.log\"", "url": "\"http://localhost/\""}[name])
		}
	}
	if c.Name == "http" {
		o.completeHTTP(result)
	}
	if o.failed {
		return nil
	}
	return result
}

func (o *optionReader) require(name, sample string) {
	o.failed = true
	o.fail(o.place, fmt.Sprintf("add one, such as %s: %s", name, sample), "the check %s has no %s", o.Name, name)
}

// known warns about options that nobody reads.
func (o *optionReader) known(all ...string) {
	for _, name := range sorted(o.values) {
		if _, its := options[o.Name][name]; !its && !slices.Contains(all, name) {
			o.warn(o.place, "", "%s is no option of the check %s and has no effect", name, o.Name)
		}
	}
}

// times is n failures in a row, or [n, m]: n among the last m.
func (c *Check) times(s setting) (err error) {
	list, isList := s.Value.([]any)
	if !isList {
		c.Failures, err = s.whole()
		c.Of = c.Failures
		return err
	}
	if len(list) != 2 {
		return fmt.Errorf("is a list of %d: write 3, or [3, 5] for three of five", len(list))
	}
	if c.Failures, err = (setting{Value: list[0]}).whole(); err == nil {
		c.Of, err = setting{Value: list[1]}.whole()
	}
	if err == nil && c.Failures > c.Of {
		err = fmt.Errorf("asks for %d of %d: write the smaller number first", c.Failures, c.Of)
	}
	return err
}

func (c *Check) reader(name string) func(setting) error {
	switch name {
	case "below":
		return into(&c.Below, setting.number)
	case "filename":
		return into(&c.File, setting.path)
	case "url":
		return into(&c.URL, httpURL)
	case "kind":
		return c.status
	case "pattern":
		return into(&c.Pattern, setting.pattern)
	case "open_timeout":
		return into(&c.Open, setting.seconds)
	case "read_timeout":
		return into(&c.Read, setting.seconds)
	}
	return func(s setting) (err error) { // timeout: what is not said of the others
		limit, err := s.seconds()
		if c.Open == 0 {
			c.Open = limit
		}
		if c.Read == 0 {
			c.Read = limit
		}
		return err
	}
}

// completeHTTP fills in what Bluepill takes where nothing is said.
func (o *optionReader) completeHTTP(c *Check) {
	const limit = 5 * time.Second
	o.option("open_timeout", into(&c.Open, setting.seconds)) // they win over timeout, whichever was read first
	o.option("read_timeout", into(&c.Read, setting.seconds))
	if c.Open == 0 {
		c.Open = limit
	}
	if c.Read == 0 {
		c.Read = limit
	}
	if c.Lowest == 0 {
		c.Lowest, c.Highest = 200, 299
	}
}

func httpURL(s setting) (string, error) {
	text, err := s.text()
	if err != nil {
		return "", err
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("is %q: write one such as http://localhost:3000/up", text)
	}
	return text, nil
}

// kinds are the classes of statuses by the names that Ruby has for them.
var kinds = map[string][2]int{"information": {100, 199}, "success": {200, 299}, "redirection": {300, 399}, "client_error": {400, 499}, "server_error": {500, 599}}

// status reads a number, the name of a class, or a status's own name: 204, :success, :no_content.
func (c *Check) status(s setting) error {
	if n, err := s.whole(); err == nil {
		c.Lowest, c.Highest = n, n
		return nil
	}
	name, err := s.text()
	if err != nil {
		return err
	}
	if span, there := kinds[snake(name)]; there {
		c.Lowest, c.Highest = span[0], span[1]
		return nil
	}
	for code := 100; code < 600; code++ {
		if text := http.StatusText(code); text != "" && snake(text) == snake(name) {
			c.Lowest, c.Highest = code, code
			return nil
		}
	}
	return fmt.Errorf("is %q, and no status: write a number, or one of %s", name, strings.Join(sorted(kinds), ", "))
}

func snake(name string) string {
	return strings.NewReplacer(" ", "_", "-", "_", "'", "").Replace(strings.ToLower(name))
}

// pattern makes a regular expression of Go's from Ruby's. ^ and $ are the ends of lines in Ruby.
func (s setting) pattern() (string, error) {
	ruby, isPattern := s.Value.(map[string]any)
	if !isPattern {
		text, err := s.text()
		return regexp.QuoteMeta(text), err
	}
	source, _ := ruby["regexp"].(string)
	bits, _ := ruby["options"].(float64)
	flags := "m"
	if int(bits)&1 != 0 { // Regexp::IGNORECASE
		flags += "i"
	}
	if int(bits)&4 != 0 { // Regexp::MULTILINE
		flags += "s"
	}
	if int(bits)&2 != 0 { // Regexp::EXTENDED
		return "", fmt.Errorf("is a regular expression with blanks and comments in it (/x), which cannot cross to Serval: write it without")
	}
	pattern := "(?" + flags + ")" + source
	if _, err := regexp.Compile(pattern); err != nil {
		return "", fmt.Errorf("is a regular expression that cannot cross to Serval (%w): write it without what is special to Ruby", err)
	}
	return pattern, nil
}

func (r *reading) flapping(c check, values map[string]any) *Flapping {
	o := &optionReader{reading: r, check: c, values: values}
	result := &Flapping{Times: 5, Within: time.Second, RetryIn: 5 * time.Second}
	o.known("times", "within", "retry_in")
	o.option("times", into(&result.Times, setting.whole))
	o.option("within", into(&result.Within, setting.seconds))
	o.option("retry_in", into(&result.RetryIn, setting.seconds))
	return result
}
