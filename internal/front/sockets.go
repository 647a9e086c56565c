package front

import (
	"slices"

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
		binds, err := listener.ParseAll(cfg.Directory, cfg.Binds)
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
	serving, opened, surplus, err := rebind(inherited, cfg)
	if err != nil {
		listener.CloseAll(inherited)
		return sockets{}, err
	}
	return sockets{all: append(serving, surplus...), opened: opened, surplus: surplus}, nil
}

// rebind finds out what becomes of open listeners with another configuration, and opens what it has beyond them.
func rebind(open []*listener.Listener, cfg config.Config) (serving, opened, surplus []*listener.Listener, err error) {
	binds, err := listener.ParseAll(cfg.Directory, cfg.Binds)
	if err != nil {
		return nil, nil, nil, err
	}
	activated := func(l *listener.Listener) bool { return l.Activated != "" }
	if cfg.ActivatedSockets == "only" && slices.ContainsFunc(open, activated) {
		binds = nil
	}
	return listener.Rebind(open, binds)
}
