package cli

import (
	"fmt"
	"io"
	"strings"

	"serval/internal/config"
)

const helpColumn = 31 // where the explanations begin

const helpHead = `Usage: serval [flags] [config.ru]

Serves the Rack application in config.ru. Flags have the names and meanings
of Puma's where Puma has them.
`

const helpTail = `
SEC is seconds (30, 1.5) or has a unit (500ms, 2m). BYTES may end in K, M or G.
A limit of 0 is no limit, but --queue-limit 0 queues nothing,
--shutdown-timeout 0 waits for nobody and --keepalive-timeout 0 closes at once.

The configuration file is config/serval.rb or config/puma.rb, in Ruby. Flags win
over variables with names as SERVAL_QUEUE_LIMIT, which win over the file, which
wins over WEB_CONCURRENCY (workers), PUMA_MIN_THREADS, PUMA_MAX_THREADS,
PUMA_PERSISTENT_TIMEOUT (keep-alive), APP_ENV or RACK_ENV or RAILS_ENV
(environment) and TMPDIR (spool-dir).

Examples:
  serval                                  serve ./config.ru on port 9292
  serval -p 3000 -t 5 -w auto -e production
  serval --dir /srv/blog -b 'unix:///run/blog.sock?umask=0117'
  serval ctl --help                       operate a running server

Commands for apps with a Procfile, each with --help:
  analyze, install, diff, uninstall, nginx
  start, stop, restart, reload, status, logs, scale
  up, supervise, bluepill, migrate
`

// writeHelp writes the help text. It is made from the table of settings, so it cannot leave one out.
func writeHelp(w io.Writer) {
	io.WriteString(w, helpHead)
	writeFlags(w)
	io.WriteString(w, helpTail)
}

// writeFlags writes what all flags mean.
func writeFlags(w io.Writer) {
	var b strings.Builder
	for _, group := range config.Groups {
		fmt.Fprintf(&b, "\n%s:\n", group)
		for _, s := range config.Settings {
			if s.Group == group && s.Help != "" {
				writeFlag(&b, s)
			}
		}
	}
	b.WriteString("\nOther:\n")
	writeFlag(&b, config.Setting{Name: "help", Short: "h", Help: "show this help"})
	writeFlag(&b, config.Setting{Name: "version", Short: "V", Help: "show the version"})
	io.WriteString(w, b.String())
}

func writeFlag(b *strings.Builder, s config.Setting) {
	left := "      --" + s.Name
	if s.Short != "" {
		left = "  -" + s.Short + ", --" + s.Name
	}
	switch {
	case s.Bare() != "":
		left += "[=" + s.Arg + "]"
	case s.Arg != "":
		left += " " + s.Arg
	}
	text := s.Help
	switch s.Default {
	case "":
	case "0":
		text += " (default no limit)"
	default:
		text += " (default " + s.Default + ")"
	}
	if len(left) > helpColumn-2 {
		b.WriteString(left + "\n")
		left = ""
	}
	fmt.Fprintf(b, "%-*s%s\n", helpColumn, left, text)
}
