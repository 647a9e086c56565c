package main

import (
	"reflect"
	"slices"
	"testing"
)

func TestServalIsComparedWithBothPumasAndTheBest(t *testing.T) {
	figures := map[string]float64{"serval": 30, "puma": 10, "puma8": 20, "iodine": 40} // unicorn could not be measured
	of := func(server string) float64 { return figures[server] }
	o := Options{Servers: list{"serval", "puma", "unicorn", "puma8", "iodine"}}
	if got, want := o.comparison(slices.Max, of), []string{"3.00", "1.50", "0.75 (iodine)"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := o.comparison(slices.Min, of), []string{"3.00", "1.50", "3.00 (puma)"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := o.comparisonHead("fastest"), []string{"serval ÷ puma", "serval ÷ puma8", "serval ÷ fastest"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheOnlyRivalIsComparedOnce(t *testing.T) {
	of := func(server string) float64 { return map[string]float64{"serval": 30, "iodine": 40}[server] }
	o := Options{Servers: list{"serval", "iodine"}}
	if got, want := o.comparison(slices.Max, of), []string{"0.75"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o.Servers = (list{"puma", "iodine"}); len(o.comparison(slices.Max, of)) != 0 || len(o.comparisonHead("fastest")) != 0 {
		t.Error("without Serval there is nothing to compare")
	}
	o.Servers = list{"serval", "puma", "unicorn"}
	if got, want := o.comparison(slices.Max, of), []string{"–", "–"}; !reflect.DeepEqual(got, want) {
		t.Errorf("where nobody else could be measured it is %q, want %q", got, want)
	}
}
