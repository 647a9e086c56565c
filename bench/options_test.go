package main

import (
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestWithoutArgumentsEverythingIsMeasured(t *testing.T) {
	for _, p := range peers {
		t.Setenv(p.variable(), "") // not one that this machine happens to have
	}
	o, chosen, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(chosen) != len(scenarios)-1 {
		t.Errorf("%d scenarios were chosen, want all %d but page", len(chosen), len(scenarios))
	}
	if !reflect.DeepEqual(o.Servers, list{"serval", "puma", "unicorn"}) || len(o.Loads) != len(loads) {
		t.Errorf("servers %v and loads %v were chosen", o.Servers, o.Loads)
	}
	if got := o.connectionsOf(loadNamed("hello")); !reflect.DeepEqual(got, counts{64, 256}) || o.Rounds != 3 || o.Seconds != 5 {
		t.Errorf("%v connections, %d rounds, %d seconds", got, o.Rounds, o.Seconds)
	}
}

func TestFlagsAndNamesChoose(t *testing.T) {
	o, chosen, err := parseOptions(strings.Fields("-servers puma -loads hello,rails -connections 1,2 -rounds 1 pinned core"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(o.Servers, list{"puma"}) || !reflect.DeepEqual(o.Loads, list{"hello", "rails"}) || !reflect.DeepEqual(o.connectionsOf(loadNamed("rails")), counts{1, 2}) {
		t.Errorf("got %+v", o)
	}
	if len(chosen) != 2 || chosen[0].name != "pinned" || chosen[1].name != "core" {
		t.Errorf("got %d scenarios", len(chosen))
	}
}

func TestMistakesAreNamedWithWhatThereIs(t *testing.T) {
	for args, want := range map[string]string{
		"-servers mongrel": "serval, puma, unicorn, puma8",
		"-loads hallo":     "hello, headers",
		"-mixes cpus":      "cpu, cpu-crowd",
		"-connections 0":   `"0" is not a number`,
		"-rounds 0":        "-rounds is 0",
		"cores":            "core, floor, mixed",
	} {
		_, _, err := parseOptions(strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something with %q", args, err, want)
		}
	}
}

func TestServalIsNoRivalOfItself(t *testing.T) {
	o := Options{Servers: list{"puma", "serval", "unicorn"}}
	if got := o.rivals(); !reflect.DeepEqual(got, []string{"puma", "unicorn"}) {
		t.Errorf("got %v", got)
	}
	o.Servers = list{"puma", "unicorn"}
	if got := o.rivals(); got != nil {
		t.Errorf("without Serval there is nothing to compare, but got %v", got)
	}
}
