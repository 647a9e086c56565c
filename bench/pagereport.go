package main

import "fmt"

func (r pageRun) String() string {
	text := fmt.Sprintf("%-6s %-17s preload %-5t boot %d s, %-9s: %d times in %s, %d of %d failed, silence %s (machine still %s, steady %s), slowest %s", r.Server, r.Action, r.Preload, r.Boot, r.Load,
		r.Times, shortTime(median(r.Took)), r.Failed, r.Sent, medianAndMost(r.Silences), medianAndMost(r.Stills), shortTime(r.Steady), shortTime(r.Slowest))
	if r.Failed > 0 {
		text += fmt.Sprintf(" %v", r.Kinds)
	}
	if len(r.Problems) > 0 {
		text += fmt.Sprintf("; %d did not work: %s", len(r.Problems), r.Problems[0])
	}
	return text
}

// pageTable has a row for each action, and a column for each server.
func pageTable(runs []pageRun, load string) table {
	yes := map[bool]string{true: "yes", false: "no"}
	t := table{title: "On the unix socket, 500 requests a second", head: []string{"action", "preload", "boot", "server", "times", "failed", "silence", "machine still", "steady", "sent late", "took"},
		notes: []string{"Silence is the longest time without an answer, the median of all times and, in brackets, the worst. Steady is that of the second before the first. " +
			"Machine still is how long one of the processors did nothing for anybody meanwhile, not even for a thread that goes before all others: the same for the longest of each time. " +
			"Sent late is the most that the load generator, which goes first, waited for a processor. Took is the time until only the new release answers."}}
	if load == "saturated" {
		t = table{title: fmt.Sprintf("Through nginx, %d clients that never pause", pageClients), head: []string{"action", "preload", "boot", "server", "times", "failed", "slowest request", "took"}}
	}
	for _, a := range pageActions {
		for _, r := range runs {
			if r.Action != a.name || r.Load != load {
				continue
			}
			failed := whole(float64(r.Failed)) + " / " + whole(float64(r.Sent))
			if len(r.Problems) > 0 {
				failed += " (did not work)"
			}
			row := []string{r.Action, yes[r.Preload], fmt.Sprintf("%d s", r.Boot), r.Server, fmt.Sprint(r.Times), failed}
			if load == "saturated" {
				row = append(row, shortTime(r.Slowest))
			} else {
				row = append(row, medianAndMost(r.Silences), medianAndMost(r.Stills), shortTime(r.Steady), shortTime(r.Lag))
			}
			t.rows = append(t.rows, append(row, shortTime(median(r.Took))))
		}
	}
	return t
}

// pageWords sums up each server.
func pageWords(runs []pageRun) []string {
	gentle := map[string]bool{}
	for _, a := range pageActions {
		gentle[a.name] = a.gentle
	}
	var words []string
	for _, s := range pageServers {
		var sent, failed, problems, times int
		var silence, stopped float64
		for _, r := range runs {
			if r.Server != s.name {
				continue
			}
			sent, failed, problems, times = sent+r.Sent, failed+r.Failed, problems+len(r.Problems), times+r.Times
			if gentle[r.Action] {
				silence = max(silence, spreadOf(r.Silences).Most)
			} else {
				stopped = max(stopped, spreadOf(r.Silences).Most)
			}
		}
		if times == 0 {
			continue
		}
		words = append(words, fmt.Sprintf("%s: %s of %s requests failed; the longest silence was %s, and %s for systemctl restart and stop + start; %d of %d actions did not work.",
			s.name, whole(float64(failed)), whole(float64(sent)), shortTime(silence), shortTime(stopped), problems, times))
	}
	return words
}

func pageMethod(o Options) []string {
	return []string{
		"A machine with a systemd of its own (script/systemd-sandbox). `serval install` writes the units for the page's Procfile line and for the same with Serval, from a manifest that says " +
			"`restart_signal: usr1`; two workers each; `serval nginx` writes the site. An action begins with another release and is over when " + fmt.Sprint(pageRow) + " answers in a row are that release's.",
		fmt.Sprintf("On the socket, %d requests a second come in an open loop, half of them POST, each on a connection of its own, from a second before the first action to the end. Through nginx, wrk has %d clients, "+
			"and one action is done. Boot is how long the app takes to load.", openRate, pageClients),
	}
}
