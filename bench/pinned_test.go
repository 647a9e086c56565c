package main

import (
	"strings"
	"testing"
)

func TestWaitsAreCountedForEachServerAndNumberOfClients(t *testing.T) {
	runs := []pinnedRun{
		{"serval", 1, 1, []float64{1, 2, 3}}, {"serval", 4, 1, []float64{1}},
		{"puma", 1, 1, []float64{1, 4800, 1001}}, {"puma", 1, 2, []float64{1, 100, 2}}, {"puma", 4, 1, []float64{1}},
	}
	words := strings.Join(pinnedWords(runs, []string{"serval", "puma"}), "\n")
	for _, sentence := range []string{
		"serval, one after another: 0 of 3 fast requests waited longer than a second, the longest took 3.00 ms.",
		"puma, one after another: 2 of 6 fast requests waited longer than a second, the longest took 4.80 s.",
		"puma, from 4 clients at once: 0 of 1 fast requests waited",
	} {
		if !strings.Contains(words, sentence) {
			t.Errorf("there is no %q in\n%s", sentence, words)
		}
	}
	line := "| puma, 1 | 6 | 2 | 51.0 ms | 4.80 s | 4.80 s | 4.80 s, 100 ms |\n"
	if got := pinnedTable(runs, []string{"serval", "puma"}).String(); !strings.Contains(got, line) {
		t.Errorf("there is no %q in\n%s", line, got)
	}
}
