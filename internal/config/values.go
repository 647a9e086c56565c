package config

import (
	"errors"
	"fmt"
	"math"
	"os"
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

func text(field func(*Config) *string) access {
	return access{func(c *Config, value string) error {
		if value == "" {
			return errors.New("give a value, or leave it out")
		}
		if strings.ContainsRune(value, 0) {
			return errors.New("a NUL byte cannot be part of it")
		}
		*field(c) = value
		return nil
	}, func(c *Config) string { return *field(c) }}
}

// choice takes one of a few words.
func choice(field func(*Config) *string, words ...string) access {
	return access{func(c *Config, value string) error {
		if !slices.Contains(words, value) {
			return errors.New("give one of: " + strings.Join(words, ", "))
		}
		*field(c) = value
		return nil
	}, func(c *Config) string { return *field(c) }}
}

// choiceOrNone is choice, where an empty value takes it back.
func choiceOrNone(field func(*Config) *string, words ...string) access {
	a := choice(field, words...)
	set := a.set
	a.set = func(c *Config, value string) error {
		if value == "" {
			*field(c) = ""
			return nil
		}
		return set(c, value)
	}
	return a
}

func on(field func(*Config) *bool) access { return toggle(field, true) }

func off(field func(*Config) *bool) access { return toggle(field, false) }

// toggle takes a switch's value: true for the meaning of its name, false for the opposite.
func toggle(field func(*Config) *bool, meaning bool) access {
	return access{func(c *Config, value string) error {
		switch strings.ToLower(value) {
		case "true", "1", "yes", "on":
			*field(c) = meaning
		case "false", "0", "no", "off":
			*field(c) = !meaning
		default:
			return errors.New("give true or false")
		}
		return nil
	}, func(c *Config) string { return strconv.FormatBool(*field(c) == meaning) }}
}

func number(field func(*Config) *int, low, high int) access {
	return access{func(c *Config, value string) error {
		n, err := parseInt(value, low, high)
		if err != nil {
			return err
		}
		*field(c) = n
		return nil
	}, func(c *Config) string { return strconv.Itoa(*field(c)) }}
}

func size(field func(*Config) *int64, low int64) access {
	return access{func(c *Config, value string) error {
		n, err := parseSize(value, low, math.MaxInt64)
		if err != nil {
			return err
		}
		*field(c) = n
		return nil
	}, func(c *Config) string { return strconv.FormatInt(*field(c), 10) }}
}

func sizeInt(field func(*Config) *int, low int64) access {
	return access{func(c *Config, value string) error {
		n, err := parseSize(value, low, 1<<30)
		if err != nil {
			return err
		}
		*field(c) = int(n)
		return nil
	}, func(c *Config) string { return strconv.Itoa(*field(c)) }}
}

func duration(field func(*Config) *time.Duration) access {
	return access{func(c *Config, value string) error {
		d, err := parseDuration(value)
		if err != nil {
			return err
		}
		*field(c) = d
		return nil
	}, func(c *Config) string { return formatDuration(*field(c)) }}
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

// formatDuration writes what parseDuration reads: seconds, without a unit.
func formatDuration(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// setForkWorker takes a number of requests, 0 for a refork only when it is asked for, -1 for none.
func setForkWorker(c *Config, value string) error {
	n, err := parseInt(value, -1, math.MaxInt32)
	if err != nil {
		return err
	}
	c.ForkWorker = n
	return nil
}

func addEnvFile(c *Config, value string) error {
	if strings.TrimPrefix(value, "-") == "" {
		return errors.New("name a file")
	}
	c.EnvFiles = append(c.EnvFiles, value)
	return nil
}

func setCulling(c *Config, value string) error {
	if value != "youngest" && value != "oldest" {
		return errors.New("give one of: youngest, oldest")
	}
	c.CullOldest = value == "oldest"
	return nil
}

func getCulling(c *Config) string {
	if c.CullOldest {
		return "oldest"
	}
	return "youngest"
}

func setStatePermission(c *Config, value string) error {
	mode, err := strconv.ParseUint(strings.TrimPrefix(value, "0o"), 8, 32)
	if err != nil || mode > 0o777 {
		return errors.New("give a file mode in octal, as 0640")
	}
	c.StatePermission = os.FileMode(mode)
	return nil
}

// setRemoteAddress takes what Puma's set_remote_address takes: "socket", an address, "header:NAME" or "proxy_protocol:v1".
func setRemoteAddress(c *Config, value string) error {
	name, isHeader := strings.CutPrefix(value, "header:")
	switch {
	case isHeader && !isToken(name):
		return errors.New("give the name of a header, as header:X-Real-IP")
	case value == "":
		return errors.New("give socket, an address, header:NAME or proxy_protocol:v1")
	}
	c.RemoteAddress = value
	return nil
}

// setMethods takes a list with commas, "any", or "registered" for those that IANA lists.
func setMethods(c *Config, value string) error {
	c.Methods = nil
	if value == "registered" {
		return nil
	}
	for _, method := range strings.Split(value, ",") {
		if !isToken(method) {
			return errors.New("give a list of methods, as GET,HEAD,POST, or any, or registered")
		}
		c.Methods = append(c.Methods, method)
	}
	return nil
}

func getMethods(c *Config) string {
	if c.Methods == nil {
		return "registered"
	}
	return strings.Join(c.Methods, ",")
}

// isToken says whether text is a token of RFC 9110 §5.6.2.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// inert is a flag of Puma's that steers what Serval does not have. It is taken, and the log says so.
func inert(name, why string) access {
	return access{set: func(c *Config, _ string) error {
		c.Notices = append(c.Notices, "--"+name+" has no effect: "+why)
		return nil
	}}
}

// setPlugin takes the plugins that are built in, and names of others, which are Ruby.
func setPlugin(c *Config, name string) error {
	switch name {
	case "tmp_restart":
		c.TmpRestart = true
	case "systemd": // always on
	default:
		if !isToken(name) {
			return errors.New("give the name of a plugin, as tmp_restart")
		}
		c.Plugins = append(c.Plugins, name)
	}
	return nil
}
