package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// threeRounds are figures of two servers under one load.
func threeRounds() ([]cell, Options) {
	var cells []cell
	for round, rate := range []float64{3000, 1000, 2000} {
		cells = append(cells,
			cell{"hello", 16, "serval", round + 1, cpu{Front: 10, Workers: rate / 100}, 50 * 1024, result{Requests: 10, Rate: rate * 2, P50: 1, P99: float64(round)}},
			cell{"hello", 16, "puma", round + 1, cpu{Workers: 60}, 25 * 1024, result{Requests: 1000, Rate: rate, P50: 2, P99: 4, Failures: failures{Timeout: round}}},
		)
	}
	return cells, Options{Servers: list{"serval", "puma"}, Loads: list{"hello"}, Connections: counts{16}, Rounds: 3}
}

func TestRoundsAreSummedUpByTheirMedian(t *testing.T) {
	cells, _ := threeRounds()
	got := groupOf(cells, "hello", 16, "serval")
	want := group{rate: spread{4000, 2000, 6000}, p50: 1, p99: 1, cpu: cpu{Front: 10, Workers: 20}, pss: 50 * 1024, requests: 30}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if failed := groupOf(cells, "hello", 16, "puma").failures.Timeout; failed != 3 {
		t.Errorf("%d timeouts were counted over all rounds, want 3", failed)
	}
}

func TestTheRateTableComparesServalWithTheOthers(t *testing.T) {
	cells, o := threeRounds()
	got := rateTable(cells, o, loadNamed("hello")).String()
	for _, line := range []string{
		"| connections | serval | puma | serval ÷ puma |",
		"|---|---:|---:|---:|",
		"| 16 | 4,000 (2,000–6,000) | 2,000 (1,000–3,000) | 2.00 |",
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, got)
		}
	}
}

func TestTheCPUTableTellsFrontAndWorkersApart(t *testing.T) {
	cells, o := threeRounds()
	if got, want := cpuTable(cells, o).String(), "| hello, 16 | 10 + 20 | 0 + 60 | 0.50 |\n"; !strings.Contains(got, want) {
		t.Errorf("there is no line %q in\n%s", want, got)
	}
}

func TestTheMemoryTableShowsTheWholeServer(t *testing.T) {
	cells, o := threeRounds()
	if got, want := memoryOfAllTable(cells, o).String(), "| hello, 16 | 50.0 | 25.0 | 2.00 |\n"; !strings.Contains(got, want) {
		t.Errorf("there is no line %q in\n%s", want, got)
	}
}

func TestTheWordsNameTheFastestWhereThereAreSeveral(t *testing.T) {
	cells, o := threeRounds()
	for round := range 3 {
		cells = append(cells, cell{Load: "hello", Connections: 16, Server: "iodine", Round: round + 1, result: result{Requests: 10, Rate: 5000}})
	}
	o.Servers = list{"serval", "puma", "iodine"}
	if got, want := coreWords(cells, o)[0], "hello: serval answered 2.00 times as many requests as puma, 0.80 times as many as the fastest of the others."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := rateTable(cells, o, loadNamed("hello")).String(), "| 2.00 | 0.80 (iodine) |"; !strings.Contains(got, want) {
		t.Errorf("there is no %q in\n%s", want, got)
	}
}

func TestFailuresAreShownAndSaid(t *testing.T) {
	cells, o := threeRounds()
	if got, want := failureTable(cells, o).String(), "| puma | 3,000 | 0 | 0 | 0 | 3 | 0 |\n"; !strings.Contains(got, want) {
		t.Errorf("there is no line %q in\n%s", want, got)
	}
	words := strings.Join(coreWords(cells, o), "\n")
	if !strings.Contains(words, "puma failed to answer 3 requests well") || strings.Contains(words, "serval failed") {
		t.Errorf("it says\n%s", words)
	}
}

func TestAServerThatFailsIsShownButNotCompared(t *testing.T) {
	cells, o := threeRounds()
	for i := range cells {
		if cells[i].Server == "puma" {
			cells[i].Failures.Status = 20
		}
	}
	if got, want := rateTable(cells, o, loadNamed("hello")).String(), "| 2,000 (1,000–3,000) (fails) | – |\n"; !strings.Contains(got, want) {
		t.Errorf("there is no %q in\n%s", want, got)
	}
	o.Servers = list{"serval", "iodine"}
	if got, want := rateTable(cells, o, loadNamed("hello")).String(), "| 16 | 4,000 (2,000–6,000) | – | – |\n"; !strings.Contains(got, want) {
		t.Errorf("one that was not measured: there is no %q in\n%s", want, got)
	}
}

func TestAPeerThatDoesNotBootIsLeftOutOnly(t *testing.T) {
	noBoot := fmt.Errorf("cpu: %w", bootError{errors.New("agoo did not boot")})
	if !isRefusal("agoo", noBoot) {
		t.Error("agoo did not boot, and nothing else is measured")
	}
	if isRefusal("serval", noBoot) || isRefusal("agoo", errors.New("wrk failed")) || isRefusal("agoo", nil) {
		t.Error("what ends the measurement, or does not hinder it, counts as a refusal")
	}
}

func TestRatiosAreWrittenFromTheLeastToTheMost(t *testing.T) {
	if got, want := fromTo([]float64{2.5, 0.9, 1}), "0.90 to 2.50"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := fromTo([]float64{1.001, 1.002}), "1.00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithoutServalNothingIsCompared(t *testing.T) {
	cells, o := threeRounds()
	o.Servers = list{"puma"}
	if got := rateTable(cells, o, loadNamed("hello")).String(); strings.Contains(got, "÷") {
		t.Errorf("the table compares:\n%s", got)
	}
	for _, sentence := range coreWords(cells, o) {
		if strings.Contains(sentence, "serval") {
			t.Errorf("it says %q", sentence)
		}
	}
}

func TestOneRoundOfCoreGoesWell(t *testing.T) {
	testkit.Need(t, "wrk")
	b := aBench(t)
	b.Servers, b.Loads, b.Connections = list{"serval"}, list{"post"}, counts{2}
	found, err := b.core(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cells := found.raw.([]cell)
	if len(cells) != 1 || cells[0].Requests == 0 || cells[0].Failures.sum() != 0 || cells[0].CPU.Front <= 0 || cells[0].CPU.Workers <= 0 {
		t.Errorf("measured %+v", cells)
	}
	if len(found.commands) != 2 {
		t.Errorf("the commands are %q, want those of the server and of wrk", found.commands)
	}
}
