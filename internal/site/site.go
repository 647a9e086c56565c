// Package site writes what nginx has to know to stand in front of an app: its site.
package site

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// Site is an app as nginx sees it.
type Site struct {
	App         string   // its name, which the upstream has, too
	Directory   string   // the app's, by its link current where it has one
	Root        string   // above all of its releases; the directory itself where there are none
	Environment string   // production, …
	Listen      string   // what follows nginx's listen: 80, 127.0.0.1:8080; empty: 80
	Domains     []string // that it is served for; none: all that no other site has
	Server      string   // the web server's name: Puma, Serval, …

	// Upstream is where the web server listens: the path of a unix socket or HOST:PORT. Empty: nginx runs Passenger.
	Upstream string

	// These are for Passenger, which starts the app itself.
	Ruby      string   // the path of the program
	User      string   // that runs the app; empty: the owner of its config.ru
	Variables []string // NAME=VALUE
}

//go:embed proxy.conf.tmpl
var proxyText string

//go:embed passenger.conf.tmpl
var passengerText string

//go:embed common.conf.tmpl
var commonText string

var (
	proxy     = parsed("proxy", proxyText)
	passenger = parsed("passenger", passengerText)
)

func parsed(name, text string) *template.Template {
	words := template.FuncMap{"quote": quote, "value": value}
	return template.Must(template.Must(template.New(name).Funcs(words).Parse(text)).Parse(commonText))
}

// Write returns the text of the site. Names that nginx could not be told are an error.
func (s Site) Write() (string, error) {
	for _, domain := range s.Domains {
		if !domainName.MatchString(domain) {
			return "", fmt.Errorf("%q is no domain: write one such as www.example.com or *.example.com", domain)
		}
	}
	if s.Listen == "" {
		s.Listen = "80"
	}
	if !listenAddress.MatchString(s.Listen) {
		return "", fmt.Errorf("nginx cannot listen on %q: write a port or ADDRESS:PORT, such as 8080 or 127.0.0.1:8080", s.Listen)
	}
	chosen := proxy
	if s.Upstream == "" {
		chosen = passenger
	}
	var b bytes.Buffer
	if err := chosen.Execute(&b, s); err != nil {
		return "", fmt.Errorf("cannot write the site of %s: %w", s.App, unwrapped(err))
	}
	return b.String(), nil
}

var (
	domainName    = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	listenAddress = regexp.MustCompile(`^([A-Za-z0-9.*-]+:|\[[0-9A-Fa-f:]+\]:)?[0-9]{1,5}$`)
)

// unwrapped takes off what text/template says about its own lines.
func unwrapped(err error) error {
	for {
		inner, wraps := err.(interface{ Unwrap() error })
		if !wraps || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}

// Names is what follows server_name: all names where none are given.
func (s Site) Names() string {
	if len(s.Domains) == 0 {
		return "_"
	}
	return strings.Join(s.Domains, " ")
}

// Only says that no other site answers for names that nobody has.
func (s Site) Only() string {
	if len(s.Domains) == 0 {
		return " default_server"
	}
	return ""
}

// Peer is what follows server in the upstream.
func (s Site) Peer() (string, error) {
	if !strings.HasPrefix(s.Upstream, "/") {
		return s.Upstream, nil
	}
	return quote("unix:" + s.Upstream)
}

// Upgrade is the variable with what becomes of Connection. Names of variables have no -.
func (s Site) Upgrade() string { return "$" + strings.ReplaceAll(s.App, "-", "_") + "_connection" }

// Files is where, inside nginx, the files below Root are.
func (s Site) Files() string { return "/__" + s.App + "_files__/" }

// Mapping tells Rack::Sendfile what to say for a file's path.
func (s Site) Mapping() string { return s.Root + "/=" + s.Files() }

// Spools reports whether the web server keeps bodies on disk itself, both ways, so that nginx need not, and sends the app's files.
func (s Site) Spools() bool { return s.Server == "Serval" }

// Variable is a variable with its value.
type Variable struct{ Name, Value string }

// Told are the variables that Passenger is to give to the app, by name. Of two with the same name, the later one counts.
func (s Site) Told() (told []Variable) {
	values := map[string]string{}
	for _, v := range s.Variables {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		told = append(told, Variable{name, values[name]})
	}
	return told
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,*-]+$`)

// quote writes a text as one word of nginx's. A $ cannot be written there: nginx would look for a variable.
func quote(text string) (string, error) {
	switch {
	case strings.Contains(text, "$"):
		return "", fmt.Errorf("nginx takes the $ in %q for a variable: use a name without it", text)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("%q has a control character in it: use a name without it", text)
	}
	return value(text), nil
}

// value writes any text as one word of nginx's where that looks for no variables.
func value(text string) string {
	if plain.MatchString(text) {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// Address is where nginx reaches a web server that listens on a TCP address: 127.0.0.1:3000 for tcp://0.0.0.0:3000 and for
// 3000. It is empty where that cannot be told.
func Address(bind string) string {
	bind, _, _ = strings.Cut(strings.TrimPrefix(bind, "tcp://"), "?")
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		host, port = "", bind
	}
	if number := strings.Trim(port, "0123456789"); port == "" || number != "" {
		return ""
	}
	switch host {
	case "", "0.0.0.0", "*", "localhost":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
