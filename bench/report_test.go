package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func aReport() report {
	cells, o := threeRounds()
	return report{
		Scenario: "core", About: "throughput", Started: time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC), Took: 90 * time.Second, Load: "0.10 0.20 0.30",
		Machine: []fact{{"ruby", "3.1.2"}, {"cores", "2"}}, Options: o,
		finding: finding{method: []string{"Carefully."}, words: coreWords(cells, o), tables: coreTables(cells, o), charts: coreCharts(cells, o),
			commands: []string{"bin/serval -b tcp://127.0.0.1:PORT bench/apps/hello.ru"}, raw: cells},
	}
}

func TestAReportIsWrittenForPeopleAndForMachines(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "results")
	path, err := aReport().write(directory)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(directory, "2026-11-22-core.md"); path != want {
		t.Errorf("it is in %s, want %s", path, want)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"# core: throughput\n", "22 November 2026, 18:00 UTC, in 1m30s", "before: 0.10 0.20 0.30",
		"- hello: serval answered 2.00 times as many", "## Latency\n", "Carefully.\n", "\n![Requests per second](2026-11-22-core.svg)\n", "\nbin/serval -b tcp://127.0.0.1:PORT", "| ruby | 3.1.2 |"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("there is no %q in\n%s", part, text)
		}
	}
}

func TestThePicturesOfAReportAreBesideIt(t *testing.T) {
	path, err := aReport().write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for picture, text := range map[string]string{".svg": "2.00 × serval, 4,000/s|", "-cpu.svg": "0.50 × serval, 30 µs|"} {
		svg, err := os.ReadFile(strings.TrimSuffix(path, ".md") + picture)
		if err != nil {
			t.Fatal(err)
		}
		if _, texts := parsed(t, string(svg)); !strings.Contains(texts, text) {
			t.Errorf("%s has no %q but %s", picture, text, texts)
		}
	}
}

func TestEveryFigureOfAReportIsInItsJSON(t *testing.T) {
	path, err := aReport().write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(strings.TrimSuffix(path, ".md") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Scenario string
		Machine  map[string]string
		Figures  []struct {
			Server   string
			Round    int
			Rate     float64 `json:"requests_per_second"`
			Failures map[string]int
		}
	}
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if read.Scenario != "core" || read.Machine["ruby"] != "3.1.2" || len(read.Figures) != 6 {
		t.Fatalf("read %+v", read)
	}
	last := read.Figures[5]
	if last.Server != "puma" || last.Round != 3 || last.Rate != 2000 || last.Failures["timeout"] != 2 {
		t.Errorf("the last figure is %+v", last)
	}
}
