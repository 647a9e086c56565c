package bluepill

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"serval/internal/process"
)

// watch is a check with what it has found lately.
type watch struct {
	Check
	last    time.Time
	busy    bool // it is being carried out
	results []result
}

// result is what one look has found.
type result struct {
	value string
	well  bool
}

// outcome is a result on its way to the monitor.
type outcome struct {
	result
	watch *watch
	child process.ID // whose it is, when it is no result of the process itself
}

func newWatches(checks []Check) []*watch {
	watches := make([]*watch, len(checks))
	for i, c := range checks {
		watches[i] = &watch{Check: c}
	}
	return watches
}

func (w *watch) forget() { w.results = nil }

func (w *watch) String() string {
	var values []string
	for _, r := range w.results {
		values = append(values, r.value+strings.Repeat("*", 1-count(r.well)))
	}
	return fmt.Sprintf("%s: [%s]", w.Kind, strings.Join(values, ", "))
}

func count(well bool) int {
	if well {
		return 1
	}
	return 0
}

// add keeps a result, and reports whether the check fires now.
func (w *watch) add(r result) bool {
	w.results = append(w.results, r)
	if len(w.results) > w.Of {
		w.results = w.results[1:]
	}
	failures := 0
	for _, r := range w.results {
		failures += 1 - count(r.well)
	}
	return failures >= w.Failures
}

// watch begins with the checks whose time has come, of the process and of its children.
func (m *monitor) watch(ctx context.Context) {
	for _, w := range m.checks {
		m.carryOut(ctx, w, m.handle.ID, process.ID{})
	}
	if m.Children == nil {
		return
	}
	m.meet()
	for id, watches := range m.children {
		for _, w := range watches {
			m.carryOut(ctx, w, id, id)
		}
	}
}

// meet finds the children that are there now.
func (m *monitor) meet() {
	var family []int
	now := map[process.ID][]*watch{}
	for _, row := range m.daemon.table().Descendants(m.handle.PID) {
		if row.State == 'Z' {
			continue
		}
		family = append(family, row.PID)
		now[row.ID] = m.children[row.ID]
		if now[row.ID] == nil {
			now[row.ID] = newWatches(m.Children.Checks)
		}
	}
	m.children = now
	slices.Sort(family)
	m.mu.Lock()
	m.family = family
	m.mu.Unlock()
}

// carryOut carries out a check in the background if its time has come.
func (m *monitor) carryOut(ctx context.Context, w *watch, id, child process.ID) {
	if w.busy || time.Since(w.last) < w.Every-tick/10 { // a tick may come early
		return
	}
	w.busy, w.last = true, time.Now()
	check := w.Check
	go func() {
		r := check.measure(ctx, id, m.daemon.table)
		select {
		case m.outcomes <- outcome{r, w, child}:
		case <-ctx.Done():
		}
	}()
}

// take draws the consequences of a result.
func (m *monitor) take(ctx context.Context, f outcome) {
	f.watch.busy = false
	if m.current() != up || m.action != nil {
		return
	}
	fired := f.watch.add(f.result)
	m.log(info, "%s", f.watch)
	if !fired {
		return
	}
	m.log(info, "%s dispatched: %s", f.watch.Kind, strings.Join(f.watch.Fires, ","))
	reason := f.watch.String()
	f.watch.forget()
	for _, name := range f.watch.Fires {
		if f.child != (process.ID{}) {
			m.endChild(ctx, f.child, name)
			continue
		}
		if m.current() != up || m.action != nil {
			return
		}
		m.dispatch(ctx, name, reason)
	}
}

// endChild runs the stop command of a child that a check wants to be stopped or restarted; its parent makes a new one.
func (m *monitor) endChild(ctx context.Context, id process.ID, event string) {
	if event == "start" || event == "unmonitor" || !id.Alive() {
		return
	}
	words := filled(m.Children.Stop, id.PID)
	m.log(warning, "Executing stop command of child %d: %s", id.PID, join(words))
	if err := m.Process.run(ctx, words, m.Children.StopGrace, m.daemon.log.path); err != nil {
		m.log(warning, "Stop command execution returned non-zero exit code: %v", err)
	}
}

// measure looks once.
func (c Check) measure(ctx context.Context, id process.ID, table func() process.Table) result {
	switch c.Kind {
	case "cpu_usage":
		percent := cpu(table(), id, c.Children)
		return result{fmt.Sprintf("%.1f", percent), percent < c.Below}
	case "mem_usage":
		bytes := memory(table(), id, c.Children)
		return result{size(bytes), float64(bytes) < c.Below}
	case "running_time":
		age, err := id.Age()
		return result{fmt.Sprint(int(age.Seconds())), err != nil || age.Seconds() < c.Below}
	case "file_time":
		info, err := os.Stat(c.File)
		if err != nil {
			return result{"", false}
		}
		age := time.Since(info.ModTime()).Seconds()
		return result{fmt.Sprintf("%.1f", age), age < c.Below}
	case "http":
		return c.ask(ctx)
	case "zombie_process":
		row, err := process.Look(id.PID)
		return result{string(rune(max(row.State, ' '))), err != nil || row.State != 'Z'}
	}
	return result{"1", true} // always_true
}

// cpu is the share of one core, in percent, that a process has used since it began, as ps counts it.
func cpu(t process.Table, id process.ID, children bool) (percent float64) {
	for _, row := range rows(t, id, children) {
		if age, err := row.Age(); err == nil && age > 0 {
			percent += 100 * row.CPU.Seconds() / age.Seconds()
		}
	}
	return percent
}

func memory(t process.Table, id process.ID, children bool) (bytes int64) {
	for _, row := range rows(t, id, children) {
		bytes += row.Memory
	}
	return bytes
}

func rows(t process.Table, id process.ID, children bool) []process.Row {
	row, there := t[id.PID]
	if !there || row.ID != id {
		return nil
	}
	if !children {
		return []process.Row{row}
	}
	return append(t.Descendants(id.PID), row)
}

func size(bytes int64) string {
	if bytes >= 1<<30 {
		return fmt.Sprintf("%dMB", bytes>>20)
	}
	return fmt.Sprintf("%dKB", bytes>>10)
}

// maxBody is how much of a response a pattern is looked for in.
const maxBody = 1 << 20

// ask makes a check's request. Certificates are not verified, as in Bluepill: it is this host that is asked.
func (c Check) ask(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, c.Open+c.Read)
	defer cancel()
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: c.Open}).DialContext,
		ResponseHeaderTimeout: c.Read,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives:     true,
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return result{err.Error(), false}
	}
	response, err := client.Do(request)
	if err != nil {
		return result{err.Error(), false}
	}
	defer response.Body.Close()
	well := response.StatusCode >= c.Lowest && response.StatusCode <= c.Highest
	if well && c.Pattern != "" {
		body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
		matches, badPattern := regexp.Match(c.Pattern, body)
		well = err == nil && badPattern == nil && matches
	}
	return result{response.Status, well}
}
