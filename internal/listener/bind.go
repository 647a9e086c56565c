package listener

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"serval/internal/tlsconfig"
)

// Bind is an address to listen on, parsed.
type Bind struct {
	URI     string // as written
	Network string // "tcp" or "unix"

	Host string // tcp: a name or an address, an IPv6 one without its brackets
	Port int    // tcp: 0–65535; 0 lets the kernel choose

	Path     string // unix: the path; empty for an abstract name
	Abstract string // unix: the name without its @
	Mode     uint32 // unix: the permissions of the socket file

	TLS    *tlsconfig.Options // ssl: how TLS is spoken there; nil: it is not
	secure *tlsconfig.Config  // what Certify made of that

	Backlog int // connections the kernel keeps until they are accepted; it cuts it to net.core.somaxconn
}

const (
	defaultBacklog = 1024 // Puma's

	// maxUnixPath is the room in sockaddr_un.sun_path, less its closing NUL (unix(7)). An abstract name begins with a
	// NUL besides; the kernel needs none at its end, but Go's libraries do.
	maxUnixPath = 107
	maxAbstract = maxUnixPath - 1
)

// ParseAll parses several addresses. Relative paths count from dir.
func ParseAll(dir string, uris []string) ([]Bind, error) {
	binds := make([]Bind, 0, len(uris))
	for _, uri := range uris {
		b, err := Parse(uri)
		if err != nil {
			return nil, err
		}
		if b.Path != "" && !filepath.IsAbs(b.Path) {
			b.Path = filepath.Join(dir, b.Path)
		}
		if b.TLS != nil {
			b.TLS.From(dir)
		}
		if err := b.checkLength(); err != nil {
			return nil, err
		}
		binds = append(binds, b)
	}
	return binds, nil
}

// Parse reads an address as Puma writes them: tcp://HOST:PORT[?backlog=N&low_latency=BOOL],
// ssl://HOST:PORT?cert=PATH&key=PATH[&…], or unix://PATH[?umask=OCTAL&mode=OCTAL&backlog=N], where a PATH of @NAME is an
// abstract name.
func Parse(uri string) (Bind, error) {
	b := Bind{URI: uri, Backlog: defaultBacklog}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		if host, port, err := net.SplitHostPort(uri); err == nil {
			return Bind{}, b.refuse(nil, "the kind of address is missing; write tcp://%s", net.JoinHostPort(host, port))
		}
		return Bind{}, b.refuse(nil, "write tcp://HOST:PORT or unix:///PATH")
	}
	rest, query, _ := strings.Cut(rest, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return Bind{}, b.refuse(nil, "what follows the ? is no list of parameters; write it as ?backlog=1024")
	}
	switch strings.ToLower(scheme) {
	case "tcp":
		err = b.parseTCP("tcp", rest, params)
	case "unix":
		err = b.parseUnix(rest, params)
	case "ssl":
		if b.TLS, err = tlsconfig.Parse(params); err == nil {
			err = b.parseTCP("ssl", rest, params)
		}
	default:
		err = fmt.Errorf("%q is not a kind of address; write tcp://HOST:PORT, ssl://HOST:PORT or unix:///PATH", scheme)
	}
	if err != nil {
		return Bind{}, b.refuse(nil, "%v", err)
	}
	return b, nil
}

func (b *Bind) parseTCP(scheme, address string, params url.Values) error {
	b.Network = "tcp"
	host, port, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
	switch {
	case err != nil && strings.Count(address, ":") > 1 && !strings.HasPrefix(address, "["):
		return errors.New("put brackets around an IPv6 address, as in " + scheme + "://[::1]:9292")
	case err != nil || port == "":
		return errors.New("the port is missing; write " + scheme + "://HOST:PORT")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("the port must be a number from 0 to 65535, not %q", port)
	}
	b.Host, b.Port = host, int(n)
	return b.parseParams(params, scheme, map[string]func(string) error{
		"backlog": b.setBacklog,
		// Small writes are never held back here, so asking for low latency changes nothing.
		"low_latency": func(v string) error {
			if v != "true" && v != "false" {
				return errors.New("must be true or false")
			}
			return nil
		},
	})
}

func (b *Bind) parseUnix(path string, params url.Values) error {
	b.Network, b.Mode = "unix", 0o777
	path = strings.ReplaceAll(path, "%20", " ")
	switch {
	case strings.ContainsRune(path, 0):
		return errors.New("the path has a NUL byte in it; take it out")
	case strings.HasPrefix(path, "@") && len(path) > 1:
		b.Abstract = path[1:]
	case path == "" || path == "@" || strings.HasSuffix(path, "/"):
		return errors.New("the path is missing; write unix:///PATH, or unix://@NAME for an abstract one")
	default:
		b.Path = path
	}
	err := b.parseParams(params, "unix", map[string]func(string) error{
		"backlog": b.setBacklog,
		"umask":   func(v string) error { mask, err := octal(v); b.Mode = 0o777 &^ mask; return err },
		"mode":    func(v string) error { _, err := octal(v); return err },
	})
	if err == nil && params.Has("mode") {
		b.Mode, err = octal(params.Get("mode"))
	}
	return err
}

// parseParams hands each parameter to its setter.
func (b *Bind) parseParams(params url.Values, scheme string, setters map[string]func(string) error) error {
	for name, values := range params {
		set, ok := setters[name]
		if !ok {
			return fmt.Errorf("%s:// does not know the parameter %q; it takes %s", scheme, name, paramNames[scheme])
		}
		for _, value := range values {
			if err := set(value); err != nil {
				return fmt.Errorf("%s %w, not %q", name, err, value)
			}
		}
	}
	return nil
}

var paramNames = map[string]string{
	"tcp":  "backlog and low_latency",
	"ssl":  tlsconfig.Names + ", backlog and low_latency",
	"unix": "umask, mode and backlog",
}

func (b *Bind) setBacklog(value string) error {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || n == 0 {
		return errors.New("must be a number above 0")
	}
	b.Backlog = int(n)
	return nil
}

func octal(value string) (uint32, error) {
	n, err := strconv.ParseUint(value, 8, 32)
	if err != nil || n > 0o777 {
		return 0, errors.New("must be octal permissions, as 0117 or 660")
	}
	return uint32(n), nil
}

func (b *Bind) checkLength() error {
	switch {
	case len(b.Path) > maxUnixPath:
		return b.refuse(nil, "the path has %d bytes and there is room for %d; choose a shorter one", len(b.Path), maxUnixPath)
	case len(b.Abstract) > maxAbstract:
		return b.refuse(nil, "the name has %d bytes and there is room for %d; choose a shorter one", len(b.Abstract), maxAbstract)
	}
	return nil
}

// Certify reads the certificate of a bind that speaks TLS, and all else that it needs. store are the texts of the configuration
// file that it may name. It comes before Listen and Rebind.
func (b *Bind) Certify(store []string) error {
	if b.TLS == nil {
		return nil
	}
	secure, err := tlsconfig.Load(*b.TLS, store)
	if err != nil {
		return b.refuse(err, "%v", err)
	}
	b.secure = secure
	return nil
}

// key tells binds apart: two with the same key cannot be open at the same time. With or without TLS, the socket is the same.
func (b *Bind) key() string {
	switch {
	case b.Network == "tcp":
		return "tcp://" + net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
	case b.Abstract != "":
		return "unix://@" + b.Abstract
	}
	return "unix://" + b.Path
}
