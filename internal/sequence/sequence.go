// Package sequence is how a process is asked to stop: signals with seconds between them, such as "quit, 75, term, 15,
// kill". It parses them, prints them and carries them out.
package sequence

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	maxSteps = 16
	maxWait  = 24 * time.Hour
)

// Step is a signal and the time the process gets to end after it. The last step's wait is 0: nothing comes after it.
type Step struct {
	Signal syscall.Signal
	Wait   time.Duration
}

// Sequence is at least one step; nil is none at all.
type Sequence []Step

// Parse reads a sequence: signal, seconds, signal, seconds, …, signal, separated by commas or blanks. Signals are named as
// ParseSignal has it; seconds are "75", "75s" or Bluepill's "75.seconds", at most a day. The error names the word that is
// wrong.
func Parse(text string) (Sequence, error) {
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	return FromWords(words)
}

// FromWords is Parse for a sequence that somebody else has split, such as a list in YAML.
func FromWords(words []string) (Sequence, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("the sequence is empty: write signals with seconds between them, such as term, 90, kill")
	}
	if len(words) > 2*maxSteps-1 {
		return nil, fmt.Errorf("the sequence has %d words, and %d are the most: leave signals out", len(words), 2*maxSteps-1)
	}
	var s Sequence
	for i, word := range words {
		if i%2 == 0 {
			signal, err := ParseSignal(word)
			if err != nil {
				return nil, err
			}
			s = append(s, Step{Signal: signal})
			continue
		}
		wait, err := parseWait(word)
		if err != nil {
			return nil, err
		}
		s[i/2].Wait = wait
	}
	if len(words)%2 == 0 {
		last := words[len(words)-1]
		return nil, fmt.Errorf("%q is the last word, and no signal comes after it: end with a signal, such as %s, kill", last, strings.Join(words, ", "))
	}
	return s, nil
}

// split takes a text apart at commas and blanks. Between two commas there must be something.
func split(text string) (words []string, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "["), "]")
	for _, part := range strings.Split(text, ",") {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			return nil, fmt.Errorf("%q has a comma with nothing before or after it: take it out", text)
		}
		words = append(words, fields...)
	}
	return words, nil
}

// parseWait reads seconds.
func parseWait(word string) (time.Duration, error) {
	number := word
	for _, unit := range []string{".seconds", ".second", "s"} {
		if rest, cut := strings.CutSuffix(word, unit); cut {
			number = rest
			break
		}
	}
	if _, err := ParseSignal(word); err == nil {
		return 0, fmt.Errorf("%q is a signal where seconds belong: write how long to wait before it, such as 30, %[1]s", word)
	}
	n, err := strconv.Atoi(number)
	if err != nil || number[0] == '+' {
		return 0, fmt.Errorf("%q is not a number of seconds: write one such as 30", word)
	}
	if wait := time.Duration(n) * time.Second; n >= 0 && n <= int(maxWait/time.Second) {
		return wait, nil
	}
	return 0, fmt.Errorf("%q seconds are out of range: write 0 to %d", word, int(maxWait/time.Second))
}

// MustParse is Parse for sequences that the program itself knows.
func MustParse(text string) Sequence {
	s, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

// String is the sequence as the manifest has it: "quit, 75, term, 15, kill".
func (s Sequence) String() string {
	var b strings.Builder
	for i, step := range s {
		b.WriteString(Name(step.Signal))
		if i < len(s)-1 {
			fmt.Fprintf(&b, ", %d, ", int(step.Wait/time.Second))
		}
	}
	return b.String()
}

// Total is the time from the first signal to the last one.
func (s Sequence) Total() (total time.Duration) {
	for _, step := range s {
		total += step.Wait
	}
	return total
}

// Kills reports whether nothing survives the sequence: it ends with KILL.
func (s Sequence) Kills() bool { return len(s) > 0 && s[len(s)-1].Signal == syscall.SIGKILL }

// MarshalText is String, for JSON.
func (s Sequence) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is Parse, for JSON.
func (s *Sequence) UnmarshalText(text []byte) (err error) {
	*s, err = Parse(string(text))
	return err
}
