package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// whole writes a number without decimals and with a comma after every third digit.
func whole(value float64) string {
	digits := strconv.FormatFloat(math.Abs(math.Round(value)), 'f', 0, 64)
	var b strings.Builder
	if math.Round(value) < 0 {
		b.WriteByte('-')
	}
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// twoDecimals writes a ratio; a dash stands for one that could not be had.
func twoDecimals(value float64) string {
	if value == 0 {
		return "–"
	}
	return strconv.FormatFloat(value, 'f', 2, 64)
}

// oneDecimal writes a number of KiB or MiB.
func oneDecimal(value float64) string {
	return strconv.FormatFloat(value, 'f', 1, 64)
}

// shortTime writes milliseconds with three digits or so and a unit: 0.82 ms, 14.3 ms, 4.81 s. Nothing takes no time at
// all: 0 stands for a time that could not be had.
func shortTime(ms float64) string {
	switch {
	case ms == 0:
		return "–"
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}

// inMilliseconds is a duration as a number.
func inMilliseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Millisecond)
}
