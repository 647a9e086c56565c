package front

import (
	"strings"
	"syscall"

	"serval/internal/config"
	"serval/internal/dispatch"
	"serval/internal/generation"
	"serval/internal/http1"
	"serval/internal/logs"
	"serval/internal/server"
)

// poolConfig is what the pool has to know of a generation.
func poolConfig(g *generation.Generation, log *logs.Log, asked *signals) dispatch.Config {
	cfg := &g.Config
	return dispatch.Config{
		Phase:          g.Number,
		Workers:        cfg.WorkerCount(),
		Threads:        cfg.MaxThreads,
		QueueLimit:     cfg.QueueLimit,
		QueueTimeout:   cfg.QueueTimeout,
		RequestTimeout: cfg.RequestTimeout,
		BootTimeout:    cfg.BootTimeout,
		DrainTimeout:   cfg.ShutdownTimeout,
		MemoryLimit:    cfg.WorkerMemoryLimit,
		MaxRequests:    cfg.MaxRequests,
		MaxAge:         cfg.MaxAge,
		CullOldest:     cfg.CullOldest,
		Log:            log,
		Launch:         g.Launch,
		Ended:          func(w dispatch.WorkerStats) { g.WorkerEnded(w.Worker, lastStatus(w)) },
		Plugins:        g.Plugins(),
		Warm:           func() { asked.wish(syscall.SIGURG) },
		WarmRequests:   max(cfg.ForkWorker, 0),
		Timeout:        cfg.WorkerTimeout,
		CheckEvery:     cfg.WorkerCheckInterval,
	}
}

// serverConfig is what the server has to know of the configuration.
func serverConfig(cfg config.Config, lines *logging, asked *signals) server.Config {
	sc := server.Config{
		Limits: http1.Limits{
			TargetBytes: cfg.MaxTarget, HeaderBytes: cfg.MaxHeader, HeaderCount: cfg.MaxHeaders, BodyBytes: cfg.MaxBody,
		},
		HeaderTimeout: cfg.HeaderTimeout, BodyTimeout: cfg.BodyTimeout, MinBodyRate: cfg.MinBodyRate,
		KeepAliveTimeout: cfg.KeepAliveTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		MaxRequests: cfg.MaxKeepAlive, MaxConnections: cfg.MaxConnections, SpoolDir: cfg.SpoolDir,
		HideUnderscores: !cfg.UnderscoreHeaders, Scheme: cfg.URLScheme, Details: cfg.LogFormat == "json", RequestIDs: cfg.RequestID, Log: lines.Log,
		OnIdle: func() {
			lines.Event("no request for %s (--idle-timeout)", cfg.IdleTimeout, logs.Named("idle"))
			asked.end(syscall.SIGINT)
		},
	}
	setRemoteAddress(&sc, cfg.RemoteAddress)
	setMethods(&sc.Limits, cfg.Methods)
	if cfg.LogRequests {
		sc.Access = lines.access.Add
	}
	return sc
}

func setRemoteAddress(sc *server.Config, from string) {
	switch header, isHeader := strings.CutPrefix(from, "header:"); {
	case isHeader:
		sc.RemoteHeader = header
	case from == "proxy_protocol:v1":
		sc.ProxyProtocol = true
	case from != "socket":
		sc.RemoteAddr = from
	}
}

func setMethods(limits *http1.Limits, methods []string) {
	if len(methods) == 1 && methods[0] == "any" {
		limits.AnyMethod = true
		return
	}
	for _, method := range methods {
		if limits.Methods == nil {
			limits.Methods = map[string]bool{}
		}
		limits.Methods[method] = true
	}
}
