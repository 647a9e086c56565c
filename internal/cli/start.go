package cli

import (
	"context"

	"serval/internal/config"
	"serval/internal/listener"
	"serval/internal/logs"
)

// start runs the server until ctx ends.
func start(ctx context.Context, cfg config.Config, streams Streams) error {
	binds, err := listener.ParseAll(cfg.Directory, cfg.Binds)
	if err != nil {
		return err
	}
	listeners, err := listener.Listen(binds)
	if err != nil {
		return err
	}
	defer listener.CloseAll(listeners)
	log := logs.New(streams.Out, streams.Err, cfg.Cluster())
	for _, l := range listeners {
		log.Event("Listening on %s", l.URL)
	}
	<-ctx.Done()
	return nil
}
