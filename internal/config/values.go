package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxThreads = 1024
	maxWorkers = 1024
)

// setWorkers takes a number of workers or "auto".
func setWorkers(c *Config, value string) error {
	if value == "auto" {
		c.Workers = availableCPUs()
		return nil
	}
	n, err := parseInt(value, 0, maxWorkers)
	if err != nil {
		return fmt.Errorf("%w, or auto for one per CPU", err)
	}
	c.Workers = n
	return nil
}

// setThreads takes "MIN:MAX", or one number for both.
func setThreads(c *Config, value string) error {
	low, high, pair := strings.Cut(value, ":")
	if !pair {
		high = low
	}
	most, err := parseInt(high, 1, maxThreads)
	if err != nil {
		return fmt.Errorf("%w, or two as in 0:5", err)
	}
	least, err := parseInt(low, 0, maxThreads)
	if err != nil {
		return fmt.Errorf("%w, or two as in 0:5", err)
	}
	if least > most {
		return fmt.Errorf("the smaller number comes first: write %d:%d", most, least)
	}
	c.MinThreads, c.MaxThreads = least, most
	return nil
}

// The functions below make setters out of the address of a field.

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		if value == "" {
			return errors.New("give a value, or leave it out")
		}
		if strings.ContainsRune(value, 0) {
			return errors.New("a NUL byte cannot be part of it")
		}
		*field(c) = value
		return nil
	}
}

// choice takes one of a few words.
func choice(field func(*Config) *string, words ...string) func(*Config, string) error {
	return func(c *Config, value string) error {
		if !slices.Contains(words, value) {
			return errors.New("give one of: " + strings.Join(words, ", "))
		}
		*field(c) = value
		return nil
	}
}

func on(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, _ string) error {
		*field(c) = true
		return nil
	}
}

func off(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, _ string) error {
		*field(c) = false
		return nil
	}
}

func number(field func(*Config) *int, low, high int) func(*Config, string) error {
	return func(c *Config, value string) error {
		n, err := parseInt(value, low, high)
		if err != nil {
			return err
		}
		*field(c) = n
		return nil
	}
}

func size(field func(*Config) *int64, low int64) func(*Config, string) error {
	return func(c *Config, value string) error {
		n, err := parseSize(value, low, math.MaxInt64)
		if err != nil {
			return err
		}
		*field(c) = n
		return nil
	}
}

func sizeInt(field func(*Config) *int, low int64) func(*Config, string) error {
	return func(c *Config, value string) error {
		n, err := parseSize(value, low, 1<<30)
		if err != nil {
			return err
		}
		*field(c) = int(n)
		return nil
	}
}

func duration(field func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, value string) error {
		d, err := parseDuration(value)
		if err != nil {
			return err
		}
		*field(c) = d
		return nil
	}
}

func parseInt(value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("give a whole number from %d to %d", low, high)
	}
	return n, nil
}

// parseSize takes bytes, with K, M, G or T for powers of 1024; "10M", "10MB" and "10MiB" are the same.
func parseSize(value string, low, high int64) (int64, error) {
	digits := strings.TrimRight(value, "BbIiKkMmGgTt")
	shift, known := units[strings.ToUpper(value[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if !known || err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, errors.New("give a number of bytes, as 500000, 512K, 10M or 1G")
	}
	n <<= shift
	if n < low {
		return 0, fmt.Errorf("give at least %d bytes", low)
	}
	if n > high {
		return 0, fmt.Errorf("give at most %d bytes", high)
	}
	return n, nil
}

var units = map[string]uint{
	"": 0, "B": 0,
	"K": 10, "KB": 10, "KIB": 10,
	"M": 20, "MB": 20, "MIB": 20,
	"G": 30, "GB": 30, "GIB": 30,
	"T": 40, "TB": 40, "TIB": 40,
}

// maxDuration keeps sums of a few durations far from overflow.
const maxDuration = 10 * 365 * 24 * time.Hour

// parseDuration takes seconds, as Puma does, or Go's notation with units.
func parseDuration(value string) (time.Duration, error) {
	bad := errors.New("give seconds, as 30 or 1.5, or a unit as in 500ms or 2m")
	d, err := time.ParseDuration(value)
	if err != nil {
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(seconds) {
			return 0, bad
		}
		if math.Abs(seconds) > maxDuration.Seconds() {
			return 0, errors.New("that is more than ten years; 0 usually stands for no limit")
		}
		d = time.Duration(math.Round(seconds * float64(time.Second)))
	}
	switch {
	case d < 0:
		return 0, errors.New("it cannot be less than 0")
	case d > maxDuration:
		return 0, errors.New("that is more than ten years; 0 usually stands for no limit")
	}
	return d, nil
}
