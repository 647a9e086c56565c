package config

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestDurationsAreSecondsOrHaveAUnit(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, "1.5": 1500 * time.Millisecond, ".25": 250 * time.Millisecond,
		"1e2": 100 * time.Second, "500ms": 500 * time.Millisecond, "1.5s": 1500 * time.Millisecond,
		"2m": 2 * time.Minute, "1h30m": 90 * time.Minute, "0.0000000001": 0,
	} {
		if have, err := parseDuration(value); err != nil || have != want {
			t.Errorf("%q: have %v, %v, want %v", value, have, err, want)
		}
	}
	for value, want := range map[string]string{
		"": "give seconds", "x": "give seconds", "1 s": "give seconds", "NaN": "give seconds", "5 ": "give seconds",
		"-1": "less than 0", "-1s": "less than 0", "-1e-3": "less than 0",
		"Inf": "ten years", "1e300": "ten years", "1000000h": "ten years", "315360001": "ten years",
	} {
		if have, err := parseDuration(value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: have %v, %v, want an error with %q", value, have, err, want)
		}
	}
}

func TestSizesTakeUnitsOf1024(t *testing.T) {
	for value, want := range map[string]int64{
		"0": 0, "1": 1, "500000": 500000, "512K": 512 << 10, "512k": 512 << 10, "10M": 10 << 20, "10MB": 10 << 20,
		"10MiB": 10 << 20, "1G": 1 << 30, "2T": 2 << 40, "7B": 7, "9223372036854775807": math.MaxInt64,
	} {
		if have, err := parseSize(value, 0, math.MaxInt64); err != nil || have != want {
			t.Errorf("%q: have %d, %v, want %d", value, have, err, want)
		}
	}
	for value, want := range map[string]string{
		"": "number of bytes", "K": "number of bytes", "-1": "number of bytes", "1.5G": "number of bytes",
		"10X": "number of bytes", "10KM": "number of bytes", "1 K": "number of bytes",
		"9223372036854775808": "number of bytes", "9000000000000K": "at most", "9007199254740992K": "number of bytes",
		"15": "at least 16",
	} {
		have, err := parseSize(value, 16, 1<<40)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: have %d, %v, want an error with %q", value, have, err, want)
		}
	}
}

func TestThreadsAreAPairOrOneNumberForBoth(t *testing.T) {
	for value, want := range map[string][2]int{"5": {5, 5}, "0:5": {0, 5}, "3:3": {3, 3}, "1:1024": {1, 1024}} {
		var c Config
		if err := setThreads(&c, value); err != nil || c.MinThreads != want[0] || c.MaxThreads != want[1] {
			t.Errorf("%q: have %d:%d, %v", value, c.MinThreads, c.MaxThreads, err)
		}
	}
	for value, want := range map[string]string{
		"": "whole number", "0": "from 1", "0:0": "from 1", "x": "whole number", "1:x": "whole number", "x:1": "whole number",
		"1:2:3": "whole number", "-1:5": "from 0", "5:1": "write 1:5", "1025": "to 1024", ":5": "from 0", "5:": "from 1",
	} {
		c := Config{MinThreads: 8, MaxThreads: 9}
		err := setThreads(&c, value)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: have %v, want an error with %q", value, err, want)
		}
		if c.MinThreads != 8 || c.MaxThreads != 9 {
			t.Errorf("%q is wrong and yet set %d:%d", value, c.MinThreads, c.MaxThreads)
		}
	}
}

func TestWorkersAreANumberOrAuto(t *testing.T) {
	var c Config
	if err := setWorkers(&c, "auto"); err != nil || c.Workers < 1 || c.Workers > runtime.NumCPU() {
		t.Errorf("auto: have %d, %v with %d CPUs", c.Workers, err, runtime.NumCPU())
	}
	for _, value := range []string{"", "x", "-1", "1025", "1.5", "AUTO"} {
		if err := setWorkers(&c, value); err == nil || !strings.Contains(err.Error(), "auto for one per CPU") {
			t.Errorf("%q: have %v", value, err)
		}
	}
}
