package bluepill

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"serval/internal/sequence"
)

// maxSeconds is the longest time a setting may name; more does not fit into a time.Duration's range with room to spare.
const maxSeconds = 366 * 24 * 3600

func (s setting) text() (string, error) {
	switch v := s.Value.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			return "", fmt.Errorf("has a NUL byte in it: take it out")
		}
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("is %s: write a text", s.said())
}

// path is an absolute path: what is not one counts from where the file is loaded, as in Bluepill before it goes into the
// background.
func (s setting) path() (string, error) {
	path, err := s.text()
	if err == nil && path == "" {
		err = fmt.Errorf("is empty: write a path")
	}
	if err != nil || filepath.IsAbs(path) {
		return path, err
	}
	return absolute(path), nil
}

// truth is Ruby's: all but nil and false is true.
func (s setting) truth() bool { return s.Value != nil && s.Value != false }

func (s setting) number() (float64, error) {
	n, ok := s.Value.(float64)
	if !ok || n < 0 {
		return 0, fmt.Errorf("is %s: write a number, not below 0", s.said())
	}
	return n, nil
}

func (s setting) seconds() (time.Duration, error) {
	n, ok := s.Value.(float64)
	if !ok || n < 0 || n > maxSeconds {
		return 0, fmt.Errorf("is %s: write seconds, such as 30.seconds", s.said())
	}
	return time.Duration(math.Round(n * float64(time.Second))), nil
}

func (s setting) whole() (int, error) {
	n, ok := s.Value.(float64)
	if !ok || n != math.Trunc(n) || n < 1 || n > 1e6 {
		return 0, fmt.Errorf("is %s: write a whole number from 1 on", s.said())
	}
	return int(n), nil
}

func (s setting) command() ([]string, error) {
	command, err := s.text()
	if err != nil {
		return nil, err
	}
	words, err := split(command)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be taken apart: %w", err)
	case len(words) == 0:
		return nil, fmt.Errorf("is empty: write a command")
	}
	return words, nil
}

// texts is a list of texts; one by itself is a list, too.
func (s setting) texts() (texts []string, err error) {
	list, ok := s.Value.([]any)
	if !ok {
		list = []any{s.Value}
	}
	for _, value := range list {
		text, err := setting{Value: value}.text()
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func (s setting) environment() (env []string, err error) {
	values, ok := s.Value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("is %s: write a hash, such as { \"RACK_ENV\" => \"production\" }", s.said())
	}
	for _, name := range sorted(values) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, fmt.Errorf("has a variable called %q: use letters, digits and _", name)
		}
		text, err := setting{Value: asText(values[name])}.text()
		if err != nil {
			return nil, fmt.Errorf("has %s, which %w", name, err)
		}
		env = append(env, name+"="+text)
	}
	return env, nil
}

// asText is Ruby's to_s for the values that it is needed for.
func asText(value any) any {
	switch v := value.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)
	}
	return value
}

// sequence is Bluepill's stop_signals: [:quit, 30, :term, 5, :kill].
func (s setting) sequence() (sequence.Sequence, error) {
	words, err := s.texts()
	if err != nil {
		return nil, err
	}
	for i, word := range words {
		if seconds, err := strconv.ParseFloat(word, 64); err == nil && i%2 == 1 {
			words[i] = strconv.Itoa(int(math.Ceil(seconds)))
		}
	}
	signals, err := sequence.FromWords(words)
	if err != nil {
		return nil, fmt.Errorf("are wrong: %w", err)
	}
	return signals, nil
}

// said is a value for the sentence about it.
func (s setting) said() string {
	switch v := s.Value.(type) {
	case nil:
		return "nil"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return strconv.Quote(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a hash"
	}
	return fmt.Sprint(s.Value)
}
