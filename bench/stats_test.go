package main

import "testing"

func TestTheMedianIsInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 3}, 2.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestAPercentileIsAMeasuredValue(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, c := range []struct {
		values  []float64
		p, want float64
	}{
		{nil, 99, 0},
		{[]float64{3}, 99, 3},
		{hundred, 0, 1},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.5, 100},
		{hundred, 100, 100},
	} {
		if got := percentile(c.values, c.p); got != c.want {
			t.Errorf("percentile %v of %d values is %v, want %v", c.p, len(c.values), got, c.want)
		}
	}
}

func TestMedianAndPercentileLeaveTheirValuesInOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	median(values)
	percentile(values, 50)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("the values are now %v", values)
	}
}

func TestASpreadShowsItsEndsOnlyWhereTheyDiffer(t *testing.T) {
	if got, want := spreadOf([]float64{1200, 1000, 4100}).show(whole), "1,200 (1,000–4,100)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := spreadOf([]float64{1000.1, 1000.2}).show(whole), "1,000"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := spreadOf(nil); got != (spread{}) {
		t.Errorf("nothing has the spread %+v", got)
	}
}

func TestNothingCanBeDividedByNothing(t *testing.T) {
	if got := ratio(3, 0); got != 0 {
		t.Errorf("got %v", got)
	}
	if got := ratio(3, 2); got != 1.5 {
		t.Errorf("got %v", got)
	}
}
