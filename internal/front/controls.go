package front

import (
	"encoding/json"
	"net"
	"os"
	"sync"

	"serval/internal/config"
	"serval/internal/control"
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
