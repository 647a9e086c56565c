package front

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"serval/internal/config"
	"serval/internal/control"
	"serval/internal/listener"
)

// door is an open control server.
type door struct {
	asked config.Config
	url   string
	token string
	dir   string // made for its socket; empty: none
	close func()
}

// openDoor listens where cfg says. It returns the zero value when that is nowhere.
func openDoor(cfg config.Config) (d door, l net.Listener, err error) {
	d = door{asked: cfg, close: func() {}}
	if err := checkState(cfg.StatePath); err != nil {
		return door{}, nil, err
	}
	if cfg.ControlURL == "" {
		return d, nil, nil
	}
	d.token = cfg.ControlToken
	if d.token == "" {
		d.token = control.NewToken()
	}
	uri := cfg.ControlURL
	if uri == "auto" {
		if d.dir, err = os.MkdirTemp("", "serval-control-"); err != nil { // 0700
			return door{}, nil, fmt.Errorf("cannot make a directory for the control server's socket: %w; name an address with --control-url", err)
		}
		uri = "unix://" + filepath.Join(d.dir, "socket")
	}
	open, cert, err := listenControl(cfg, uri)
	if err != nil {
		d.remove()
		return door{}, nil, fmt.Errorf("--control-url: %w", err)
	}
	d.url = strings.Replace(open.URL, "http://", "tcp://", 1)
	if secure := open.TLS(); secure != nil {
		d.url = strings.Replace(open.URL, "https://", "ssl://", 1) + "?" + url.Values{"cert": {cert}}.Encode()
		return d, tls.NewListener(open, secure), nil
	}
	return d, open, nil
}

// checkState refuses a state file that cannot be written, before an app takes a minute to boot in vain.
func checkState(path string) error {
	if path == "" {
		return nil
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("cannot write the state file %s: %w; choose another with --state", path, err)
	}
	return nil
}

// listenControl opens a control socket. Unlike the app's, a socket file is for this user alone unless its URL says otherwise:
// who reaches it can stop the server. cert is the path of its certificate, by which clients know whom they talk to.
func listenControl(cfg config.Config, uri string) (l *listener.Listener, cert string, err error) {
	binds, err := listener.ParseAll(cfg.Directory, []string{uri})
	if err == nil {
		err = certify(&binds[0], cfg)
	}
	if err != nil {
		return nil, "", err
	}
	if _, query, _ := strings.Cut(uri, "?"); !strings.Contains(query, "mode=") && !strings.Contains(query, "umask=") {
		binds[0].Mode = 0o600
	}
	if binds[0].Host == "localhost" {
		binds[0].Host = "127.0.0.1" // one address, since the state file has room for one
	}
	open, err := listener.Listen(binds)
	if err != nil {
		return nil, "", err
	}
	if binds[0].TLS != nil {
		cert = binds[0].TLS.Cert
	}
	return open[0], cert, nil
}

// remove removes what only this door needs.
func (d *door) remove() {
	if d.dir != "" {
		os.Remove(filepath.Join(d.dir, "socket"))
		os.Remove(d.dir)
	}
}
