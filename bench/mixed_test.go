package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	generator "serval/internal/load"
	"serval/internal/testkit"
)

// mixedRounds are figures of three servers under two mixes.
func mixedRounds() ([]mixRun, Options) {
	var runs []mixRun
	for i, ms := range []float64{30, 10, 20} {
		runs = append(runs,
			mixRun{Mix: "cpu", Server: "serval", Round: i + 1, P99: ms / 5, P999: 70, Late: ms, CPU: cpu{10, 30}, PSS: 50 * 1024},
			mixRun{Mix: "cpu", Server: "puma", Round: i + 1, P99: ms, Failed: i, Beside: 100},
			mixRun{Mix: "cpu", Server: "iodine", Round: i + 1, P99: ms / 2},
			mixRun{Mix: "half", Server: "serval", Round: i + 1, Rate: 1000 * ms, P99: 1, P999: 6},
			mixRun{Mix: "half", Server: "puma", Round: i + 1, Rate: 1000 * ms, P99: 1, P999: 3},
			mixRun{Mix: "half", Server: "iodine", Round: i + 1, Rate: 1000 * ms, P99: 1, P999: 4},
		)
	}
	return runs, Options{Servers: list{"serval", "puma", "iodine"}, Mixes: list{"cpu", "half"}, Rounds: 3}
}

func TestAMixIsShownByItsMediansAndComparedWithPuma(t *testing.T) {
	runs, o := mixedRounds()
	tables := mixedTables(runs, o)
	if len(tables) != 2 {
		t.Fatalf("there are %d tables, want one for each mix", len(tables))
	}
	for i, lines := range [][]string{
		{"| server | p50 | p99 | p99.9 |", "p99 ÷ puma |", "| serval | – | 4.00 ms (2.00 ms–6.00 ms) | 70.0 ms | – | 30.0 ms | 0 | 0 | 0 | 40 | 50 | 0.20 |",
			"| puma | – | 20.0 ms (10.0 ms–30.0 ms) | – | – | – | 3 | 100 | 0 | 0 | 0 | 1.00 |", "200 requests a second"},
		{"p99.9 ÷ puma |", "| 2.00 |\n", "20,000 (10,000–30,000) requests a second"},
	} {
		for _, line := range lines {
			if got := tables[i].String(); !strings.Contains(got, line) {
				t.Errorf("there is no %q in\n%s", line, got)
			}
		}
	}
}

func TestTheWordsOnAMixNamePumaAndTheBestOfTheOthers(t *testing.T) {
	runs, o := mixedRounds()
	want := []string{
		"cpu: serval's p99 is 4.00 ms, 0.20 of puma's (20.0 ms), 0.40 of iodine's (10.0 ms), the lowest of the others.",
		"half: serval's p99.9 is 6.00 ms, 2.00 of puma's (3.00 ms).",
	}
	if got := mixedWords(runs, o); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	o.Servers = append(o.Servers, "agoo") // which was not measured
	if got := mixedWords(runs, o); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	o.Servers = list{"serval"}
	if got := mixedWords(runs, o); len(got) > 0 {
		t.Errorf("there is nothing to compare, but it says %q", got)
	}
}

func TestARunCountsFromWhenRequestsWereDueAndHidesNoFailure(t *testing.T) {
	var seen generator.Report
	for ms := 1; ms <= 1000; ms++ {
		seen.Waits = append(seen.Waits, time.Duration(ms)*time.Millisecond)
	}
	seen.Sent, seen.Failed, seen.P99, seen.Lag = 1001, 1, time.Second, 2*time.Millisecond
	var r mixRun
	r.take(seen)
	if r.P50 != 501 || r.P99 != 991 || r.P999 != 1000 || r.Longest != 5000 || r.Late != 2 || r.Sent != 1001 || r.Failed != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestEveryMixIsServedWithoutFailures(t *testing.T) {
	testkit.Need(t, "puma")
	b := aBench(t)
	b.Servers = list{"serval", "puma"}
	b.Mixes = mixNames()
	b.HalfRate = 200 // this is no place to find out what a machine can do at most
	found, err := b.mixed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runs := found.raw.([]mixRun)
	if len(runs) != 2*len(mixes) || len(found.tables) != len(mixes) || len(found.commands) != 4 {
		t.Errorf("there are %d runs, %d tables and the commands %q", len(runs), len(found.tables), found.commands)
	}
	for _, r := range runs {
		if r.Failed+r.BesideFailed > 0 || r.Sent == 0 || r.P99 < r.P50 || r.P50 <= 0 || r.PSS <= 0 || r.CPU.sum() <= 0 {
			t.Errorf("%+v", r)
		}
		if beside := r.Mix != "half"; beside != (r.Beside > 0) {
			t.Errorf("%s had %.0f requests a second beside it", r.Mix, r.Beside)
		}
	}
}
