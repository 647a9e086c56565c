package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"serval/internal/backend"
	"serval/internal/installation"
)

// serviceProgress shows how services come along: on a terminal one line that is drawn over and over below what is done,
// elsewhere plain lines.
type serviceProgress struct {
	mu       sync.Mutex
	out, err io.Writer
	quiet    bool
	terminal bool
	colour   bool
	verb     string
	width    int // of the longest name
	drawn    bool
	doing    []backend.Event // the last of each service that goes on
}

func newServiceProgress(streams Streams, verb string, quiet bool, services []installation.Service) *serviceProgress {
	p := &serviceProgress{out: streams.Out, err: streams.Err, quiet: quiet, verb: verb, terminal: isTerminal(streams.Out)}
	p.colour = p.terminal && coloured()
	for _, s := range services {
		p.width = max(p.width, len(s.Name))
	}
	return p
}

// coloured reports whether the user's terminal is to be written to in colours (no-color.org).
func coloured() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// show takes an event.
func (p *serviceProgress) show(e backend.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	switch e.Kind {
	case backend.Warning:
		fmt.Fprintf(p.err, "serval: %s: %s\n", e.Service, e.Text)
	case backend.Done:
		p.remember(e)
		p.line(e, "\x1b[32m")
	default:
		p.remember(e)
		if !p.terminal {
			p.line(e, "")
		}
	}
	p.draw()
}

// remember keeps what a service is doing, and forgets it when it has done it.
func (p *serviceProgress) remember(e backend.Event) {
	kept := p.doing[:0]
	for _, other := range p.doing {
		if other.Service != e.Service {
			kept = append(kept, other)
		}
	}
	if e.Kind == backend.Doing {
		kept = append(kept, e)
	}
	p.doing = kept
}

func (p *serviceProgress) line(e backend.Event, colour string) {
	if p.quiet {
		return
	}
	if !p.colour || colour == "" {
		fmt.Fprintf(p.out, "%-*s  %s\n", p.width, e.Service, e.Text)
		return
	}
	fmt.Fprintf(p.out, "%s%-*s\x1b[0m  %s\n", colour, p.width, e.Service, e.Text)
}

// draw writes the line about what goes on.
func (p *serviceProgress) draw() {
	if !p.terminal || p.quiet || len(p.doing) == 0 {
		return
	}
	last := p.doing[len(p.doing)-1]
	text := fmt.Sprintf("%-*s  %s …", p.width, last.Service, last.Text)
	if others := len(p.doing) - 1; others > 0 {
		text += fmt.Sprintf(" (and %d more)", others)
	}
	fmt.Fprint(p.out, strings.TrimRight(text, " "))
	p.drawn = true
}

func (p *serviceProgress) wipe() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}

// end leaves the terminal as it should be.
func (p *serviceProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
}
