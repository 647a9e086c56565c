package main

import (
	"strings"
	"testing"
)

func TestTheSupervisorIsMeasured(t *testing.T) {
	b := aBench(t)
	b.Supervised, b.Tries = 20, 3
	run, err := b.supervise(t.Context(), ", memory_limit: 1G")
	if err != nil {
		t.Fatal(err)
	}
	if run.Memory.RSS < 1024 || len(run.Noticed) != 3 || run.Up == 0 || run.Adopted == 0 {
		t.Errorf("%+v", run)
	}
	if table := supervisorTable([]supervisorRun{run}).String(); !strings.Contains(table, "|  | 20 | ") {
		t.Errorf("the table is\n%s", table)
	}
}
