package cli

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"serval/internal/control"
)

// progress shows how a command goes: on a terminal as one line that is drawn over and over, elsewhere as plain lines.
type progress struct {
	ctl      *ctl
	ends     bool // the command ends the server
	terminal bool
	colour   bool
	began    time.Time
	booted   int
	retired  int
	total    int
	last     string
}

func newProgress(c *ctl, ends bool) *progress {
	p := &progress{ctl: c, ends: ends, began: time.Now(), terminal: isTerminal(c.Out)}
	p.colour = p.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if p.terminal {
		p.draw(c.command + " …")
	}
	return p
}

func isTerminal(out any) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// show takes an event.
func (p *progress) show(e control.Event) {
	if e.Total > 0 {
		p.total = e.Total
	}
	line := ""
	switch e.Step {
	case control.StepBooting:
		line = "The server is booting"
	case "booted":
		p.booted = e.Done
		line = fmt.Sprintf("Worker %d booted (PID: %d), %d of %d", *e.Worker, e.PID, e.Done, e.Total)
	case "retired":
		p.retired = e.Done
	case "draining":
		line = fmt.Sprintf("%d requests to finish, %d waiting, %d workers", e.Held, e.Queued, e.Total)
	default:
		return
	}
	switch {
	case p.terminal && e.Step == control.StepBooting:
		p.draw(p.ctl.command + ": the server is booting")
	case p.terminal && p.ends:
		p.draw(fmt.Sprintf("%s: %s", p.ctl.command, line))
	case p.terminal:
		p.draw(fmt.Sprintf("%s: %d of %d workers booted, %.1f s", p.ctl.command, p.booted, p.total, p.seconds()))
	case line != "":
		p.ctl.say("%s", line)
	}
}

func (p *progress) seconds() float64 { return time.Since(p.began).Seconds() }

// draw replaces the line on the terminal.
func (p *progress) draw(line string) {
	if !p.ctl.quiet && line != p.last {
		fmt.Fprintf(p.ctl.Out, "\r\x1b[K%s", line)
		p.last = line
	}
}

// end says how it went. done false: it was asked for, and nobody tells what becomes of it.
func (p *progress) end(done bool, err error) {
	if p.terminal && !p.ctl.quiet {
		fmt.Fprint(p.ctl.Out, "\r\x1b[K")
	}
	switch {
	case err != nil:
	case !done:
		p.ctl.say("Command %s sent success", p.ctl.command)
	default:
		word := "success"
		if p.colour {
			word = "\x1b[32msuccess\x1b[0m"
		}
		p.ctl.say("Command %s %s in %.1f s", p.ctl.command, word, p.seconds())
	}
}
