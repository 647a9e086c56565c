package main

import (
	"testing"
	"time"
)

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{whole(0), "0"},
		{whole(999.4), "999"},
		{whole(999.5), "1,000"},
		{whole(1234567), "1,234,567"},
		{whole(-1234), "-1,234"},
		{twoDecimals(2.345), "2.35"},
		{twoDecimals(0), "–"},
		{oneDecimal(0.04), "0.0"},
		{shortTime(0), "–"},
		{shortTime(0.824), "0.82 ms"},
		{shortTime(14.26), "14.3 ms"},
		{shortTime(321.4), "321 ms"},
		{shortTime(4810), "4.81 s"},
		{shortTime(inMilliseconds(1500 * time.Microsecond)), "1.50 ms"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
