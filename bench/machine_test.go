package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestVersionsAreFoundInWhatProgramsSay(t *testing.T) {
	for said, want := range map[string]string{
		"puma version 5.6.5": "5.6.5",
		"unicorn v6.0.0":     "6.0.0",
		"wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer":     "4.1.0-3+b2 [epoll]",
		"ruby 3.3.0 (2023-12-25 revision 5124f9ac75) +YJIT [x86_64-linux]": "3.3.0 (2023-12-25 revision 5124f9ac75) +YJIT [x86_64-linux]",
		"sh: 1: puma: not found": "",
		"":                       "",
	} {
		if got := parseVersion(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

func TestFieldsOfProcAreFoundByName(t *testing.T) {
	if got := cpuModel("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nmodel name\t: another\n"); got != "Fast CPU @ 3 GHz" {
		t.Errorf("got %q", got)
	}
	if got := memoryTotal("MemTotal:       24683520 kB\nMemFree: 1 kB\n"); got != "23.5 GiB" {
		t.Errorf("got %q", got)
	}
	if got := memoryTotal("nothing"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestTheDescriptionOfTheMachineDoesNotNameIt(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	facts := inspect(Options{Serval: "bin/serval", Servers: list{"serval", "puma"}})
	if len(facts) == 0 {
		t.Fatal("it is empty")
	}
	for _, f := range facts {
		if strings.Contains(f.value, here) || len(host) > 3 && strings.Contains(f.value, host) {
			t.Errorf("%s is %q", f.name, f.value)
		}
	}
}

func TestTheLoadAverageIsThreeNumbers(t *testing.T) {
	for _, word := range strings.Fields(loadAverage()) {
		if _, err := strconv.ParseFloat(word, 64); err != nil {
			t.Errorf("%q is none", word)
		}
	}
	if words := strings.Fields(loadAverage()); len(words) != 3 {
		t.Errorf("it is %q", words)
	}
}
