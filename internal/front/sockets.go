package front

import (
	"fmt"
	"slices"
	"strings"

	"serval/internal/config"
	"serval/internal/listener"
)

// sockets are the listeners of a server that starts.
type sockets struct {
	all     []*listener.Listener
	opened  []*listener.Listener // of these, the ones that were not inherited
	surplus []*listener.Listener // of these, the ones that no bind wants any more; they serve until the restart is over
}

// open opens the sockets, as far as they are not inherited.
func (s *Succession) open(activation *listener.Activation, cfg config.Config) (sockets, error) {
	if s.inherited == nil {
		binds, err := binds(cfg)
		if err != nil {
			return sockets{}, err
		}
		opened, err := activation.Listen(binds, cfg.ActivatedSockets)
		return sockets{all: opened}, err
	}
	inherited, err := s.inherited.Listeners()
	if err != nil {
		return sockets{}, err
	}
	c, err := rebind(inherited, cfg)
	if err != nil {
		listener.CloseAll(inherited)
		return sockets{}, err
	}
	c.secure()
	surplus := slices.DeleteFunc(c.surplus, func(l *listener.Listener) bool {
		mute := l.Mute() // its certificate is not known here
		if mute {
			l.Close()
		}
		return mute
	})
	return sockets{all: append(c.serving, surplus...), opened: c.opened, surplus: surplus}, nil
}

// binds are the addresses of a configuration, with their certificates.
func binds(cfg config.Config) ([]listener.Bind, error) {
	binds, err := listener.ParseAll(cfg.Directory, cfg.Binds)
	if err != nil {
		return nil, err
	}
	for i := range binds {
		if err := certify(&binds[i], cfg); err != nil {
			if source := cfg.BindSource(i); !strings.HasPrefix(source, "--") {
				err = fmt.Errorf("%s: %w", source, err)
			}
			return nil, err
		}
	}
	return binds, nil
}

// certify reads the certificate of an address that speaks TLS.
func certify(b *listener.Bind, cfg config.Config) error {
	if b.TLS != nil && b.TLS.SelfSigned() {
		b.TLS.Cert, b.TLS.Key = cfg.Localhost.Cert, cfg.Localhost.Key
	}
	return b.Certify(cfg.Store)
}

// change is what becomes of open listeners with another configuration.
type change struct {
	binds                    []listener.Bind
	serving, opened, surplus []*listener.Listener // as listener.Rebind returns them
}

// secure has the listeners take over what the configuration says about TLS.
func (c change) secure() { listener.Secure(c.serving, c.binds) }

// rebind finds out what becomes of open listeners with another configuration, and opens what it has beyond them.
func rebind(open []*listener.Listener, cfg config.Config) (c change, err error) {
	if c.binds, err = binds(cfg); err != nil {
		return change{}, err
	}
	activated := func(l *listener.Listener) bool { return l.Activated != "" }
	wanted := c.binds
	if cfg.ActivatedSockets == "only" && slices.ContainsFunc(open, activated) {
		wanted = nil
	}
	c.serving, c.opened, c.surplus, err = listener.Rebind(open, wanted)
	return c, err
}
