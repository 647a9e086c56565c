package main

import (
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestAnActionOfThePageIsDoneAndMeasured(t *testing.T) {
	testkit.NeedSandbox(t)
	testkit.Need(t, "nginx")
	b := aBench(t)
	m, err := b.machineOfItsOwn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer m.down()
	host := &pageHost{box: m, bench: b, server: pageServers[0]}
	if err := host.install(t.Context(), true, 0); err != nil {
		t.Fatal(err)
	}
	for _, load := range []string{"steadily", "saturated"} {
		run := pageRun{Server: "serval", Action: "kill -USR1", Times: 2}
		measure := host.steadily
		if load == "saturated" {
			measure = host.saturated
		}
		if err := measure(t.Context(), pageActions[4], &run); err != nil {
			t.Fatal(err)
		}
		if run.Sent < 100 || run.Failed > 0 || len(run.Problems) > 0 || len(run.Took) != run.Times || run.Slowest == 0 {
			t.Errorf("%s: %+v", load, run)
		}
		if table := pageTable([]pageRun{run}, run.Load).String(); !strings.Contains(table, "| kill -USR1 | no | 0 s | serval | ") {
			t.Errorf("the table is\n%s", table)
		}
	}
	if host.release != 4 {
		t.Errorf("there are %d releases after three actions", host.release)
	}
	if err := host.uninstall(); err != nil {
		t.Error(err)
	}
}
