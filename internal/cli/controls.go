package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"serval/internal/config"
	"serval/internal/control"
	"serval/internal/listener"
	"serval/internal/logs"
)

// controls are the ways to operate this server from outside: the control server that the configuration asks for, its
// state file, and the private socket that every server has.
type controls struct {
	server *control.Server
	log    *logs.Log

	mu    sync.Mutex // guards following
	now   door       // what is open
	state string     // the state file that was written; empty: none
}

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
	open, err := listenControl(cfg.Directory, uri)
	if err != nil {
		d.remove()
		return door{}, nil, fmt.Errorf("--control-url: %w", err)
	}
	d.url = strings.Replace(open.URL, "http://", "tcp://", 1)
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
// who reaches it can stop the server.
func listenControl(dir, uri string) (*listener.Listener, error) {
	binds, err := listener.ParseAll(dir, []string{uri})
	if err != nil {
		return nil, err
	}
	if _, query, _ := strings.Cut(uri, "?"); !strings.Contains(query, "mode=") && !strings.Contains(query, "umask=") {
		binds[0].Mode = 0o600
	}
	if binds[0].Host == "localhost" {
		binds[0].Host = "127.0.0.1" // one address, since the state file has room for one
	}
	open, err := listener.Listen(binds)
	if err != nil {
		return nil, err
	}
	return open[0], nil
}

// remove removes what only this door needs.
func (d *door) remove() {
	if d.dir != "" {
		os.Remove(filepath.Join(d.dir, "socket"))
		os.Remove(d.dir)
	}
}

// newControls serves an open door, and the private socket.
func newControls(op control.Operator, log *logs.Log, d door, l net.Listener) *controls {
	c := &controls{server: control.New(op), log: log}
	if private, err := control.ListenPrivate(); err != nil {
		log.Warn("%v: serval ctl can only send signals", err, logs.Named("no_private_socket"))
	} else {
		c.server.Serve(private, control.Access{})
	}
	c.enter(d, l)
	return c
}

// enter has the control server answer at a door, and writes the state file.
func (c *controls) enter(d door, l net.Listener) {
	if l != nil {
		c.log.Event("Starting control server on %s", d.url, logs.Named("control_server", "url", d.url))
		access := control.Access{Token: d.token, DataOnly: d.asked.ControlDataOnly}
		if d.token == control.NoToken {
			access.Token = ""
		}
		d.close = c.server.Serve(l, access)
	}
	c.now = d
}

// writeState writes the state file that the configuration asks for.
func (c *controls) writeState() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cfg := &c.now.asked
	if c.state != "" && c.state != cfg.StatePath {
		control.RemoveState(c.state, os.Getpid())
	}
	c.state = cfg.StatePath
	if cfg.StatePath == "" {
		return nil
	}
	s := control.State{PID: os.Getpid(), ControlURL: c.now.url, Token: c.now.token, RunningFrom: cfg.Directory}
	return control.WriteState(cfg.StatePath, s, cfg.StatePermission)
}

// configure goes over to another configuration. What goes wrong is logged: the restart that brings it has happened.
func (c *controls) configure(cfg config.Config) {
	c.mu.Lock()
	before := c.now.asked
	same := before.ControlURL == cfg.ControlURL && before.ControlToken == cfg.ControlToken && before.ControlDataOnly == cfg.ControlDataOnly
	if same {
		c.now.asked = cfg
	} else {
		c.move(cfg)
	}
	c.mu.Unlock()
	if err := c.writeState(); err != nil {
		c.log.Error("%v", err)
	}
}

// move closes the door and opens another one. The address may be the same.
func (c *controls) move(cfg config.Config) {
	old := c.now
	old.close()
	old.remove()
	d, l, err := openDoor(cfg)
	if err != nil {
		c.log.Error("the control server is closed: %v", err, logs.Named("control_closed"))
		d = door{asked: cfg, close: func() {}}
	}
	c.enter(d, l)
}

// keepState leaves the state file for the program that comes after this one in the same process.
func (c *controls) keepState() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = ""
}

// close ends the control server and removes what leads to it. To be called when the server has ended.
func (c *controls) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != "" {
		control.RemoveState(c.state, os.Getpid())
	}
	c.server.Close()
	c.now.remove()
}

// pumaStats are the statistics as plugins get them.
func pumaStats(op control.Operator) func() string {
	return func() string {
		text, err := json.Marshal(control.StatsOf(op))
		if err != nil {
			return "{}"
		}
		return string(text)
	}
}
